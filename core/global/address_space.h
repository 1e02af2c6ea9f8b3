// What it owns: the memory we hold from the system - where the next SuperSlab or large block is
// mapped, what is mapped where (the registry), descriptors, and the ledger of calls and bytes
// (invariant M3: mapped = released + held).
// Thread-safety: any thread; no lock is held across a system call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/settings.h"
#include "core/global/metadata.h"
#include "core/global/registry.h"
#include "core/mode/config.h"
#include "core/os/aligned_map.h"
#include "core/os/guard.h"
#include "core/os/huge.h"
#include "core/os/prefault.h"

namespace hakmem {

// Relaxed counters: figures for reports, nothing is ordered by them.
template <class C>
class Counter {
 public:
  constexpr Counter() noexcept = default;
  void add(std::uint64_t amount) noexcept { value_.fetch_add(amount, std::memory_order_relaxed); }
  void subtract(std::uint64_t amount) noexcept { value_.fetch_sub(amount, std::memory_order_relaxed); }
  // The same for a counter with one writer: no locked instruction.
  void add_alone(std::uint64_t amount) noexcept { value_.store(get() + amount, std::memory_order_relaxed); }
  std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  typename C::template Atomic<std::uint64_t> value_{0};
};

template <class C>
class AddressSpace {
  using G = typename C::Geo;
  using Os = typename C::Os;

 public:
  constexpr AddressSpace() noexcept = default;

  // `bytes` (whole pages) at a multiple of `alignment`; null: refused.
  std::byte* map(std::size_t bytes, std::size_t alignment, MapKind kind, char const* name) noexcept {
    return keep(map_aligned<Os>(hint(bytes, alignment), bytes, alignment, kind, leftovers_), 1, name);
  }

  // The same for SuperSlabs, which are released one by one, from the kind of pages that the options ask for.
  std::byte* map_super_slabs(unsigned count) noexcept {
    std::size_t const bytes = count * G::kSuperSlabBytes;
    return keep(map_data<Os>(hint(bytes, G::kSuperSlabBytes), bytes, G::kSuperSlabBytes, settings.huge, leftovers_),
                count, "hakmem SuperSlab");
  }

  // Whether a change that may split mappings is affordable: the program keeps half of those that
  // the kernel allows it.
  bool may_split() noexcept {
    std::size_t const most = Os::mappings_max();
    if (most == 0 || estimated_mappings() < most / 2) return true;
    count_mappings();
    std::uint64_t const estimated = estimated_mappings(), surplus = surplus_.load(std::memory_order_relaxed);
    return estimated < surplus + most / 2;
  }

  // The same for a block that would do without guard pages; says once that it has to.
  bool may_guard() noexcept {
    if (may_split()) return true;
    warn_once<Os>(guards_warned_,
                  "blocks get no guard pages: half of the mappings that vm.max_map_count allows are in use");
    return false;
  }

  // Makes a guard inside a mapping, if that is affordable: the kernel may refuse it. The mappings that it made.
  unsigned guard_part(std::byte* start, std::size_t bytes) noexcept {
    if (Os::guards_split() && !may_guard()) return 0;
    if (!install_guard<Os>(start, bytes) || !Os::guards_split()) return 0;
    constexpr unsigned kSplits = 2;
    note_splits(kSplits);
    return kSplits;
  }

  // Mappings that were made by splitting, and are no more.
  void note_splits(unsigned count) noexcept { splits_.add(count); }
  void forget_splits(unsigned count) noexcept { splits_.subtract(count); }

  // Huge pages for a SuperSlab on later faults: not any more, because part of it is given back and
  // khugepaged would fill it again; or again, because all of it is.
  bool stop_huge(std::byte* base) noexcept {
    if (!may_split() || !Os::advise_no_huge(base, G::kSuperSlabBytes).ok()) return false;
    splits_.add(2);
    return true;
  }
  bool resume_huge(std::byte* base) noexcept {
    if (!Os::advise_huge(base, G::kSuperSlabBytes).ok()) return false;
    splits_.subtract(2);
    return true;
  }

  // A range was cut in two, or two became one: each counts as a mapping that is released on its own.
  void note_cut() noexcept { ranges_.add(1); }
  void note_joined(unsigned count) noexcept { ranges_.subtract(count); }

  // Never fails: what the kernel refuses to unmap is kept as a leftover and retried.
  void release(std::byte* base, std::size_t bytes) noexcept {
    unmap_calls_.add(1);
    ranges_.subtract(1);
    held_bytes_.subtract(bytes);
    hakmem::release<Os>(base, bytes, leftovers_);
  }

  // A range whose last `margin` bytes are guarded, and as many behind the first `lead` ones; null: refused.
  // The kernel may refuse the guards alone: then the margins are memory like the rest.
  std::byte* map_guarded(std::size_t bytes, std::size_t alignment, std::size_t lead, std::size_t margin,
                         char const* name) noexcept {
    std::byte* const base = map(bytes, alignment, MapKind::kNormal, name);
    if (!base) return nullptr;
    install_guard<Os>(base + lead, margin);
    install_guard<Os>(base + bytes - margin, margin);
    note_splits(2);
    return base;
  }

  // Gives back a range of map_guarded(); what lies between the margins may be guarded, too.
  void release_guarded(std::byte* base, std::size_t bytes, std::size_t lead, std::size_t margin) noexcept {
    std::byte* record_at = base;  // in the lead, which is writable, or inside if that can be opened
    if (lead == 0) {
      bool const opened = Os::protect_read_write(base + margin, bytes - 2 * margin).ok();
      record_at = opened ? base + margin : nullptr;
    }
    unmap_calls_.add(1);
    ranges_.subtract(1);
    forget_splits(2);
    held_bytes_.subtract(bytes);
    Released const released = hakmem::release<Os>(base, bytes, leftovers_, record_at);
    VERIFY(released.disposal != Disposal::kRefused, "too many guarded ranges could not be unmapped");
  }

  // A mapping changed its size without passing through map() or release().
  void account_resized(std::size_t before, std::size_t after) noexcept {
    held_bytes_.add(after);
    held_bytes_.subtract(before);
  }

  // Gives the pages of a range back; false: they are still there.
  bool purge(std::byte* start, std::size_t bytes) noexcept {
    purge_calls_.add(1);
    if (!Os::purge(start, bytes).ok()) return false;
    purged_bytes_.add(bytes);
    return true;
  }

  // Makes a range resident as the policy says; the bytes that are. A failed prefault never fails an
  // allocation.
  std::size_t prefault(std::byte* start, std::size_t bytes, PrefaultPolicy policy) noexcept {
    PrefaultResult const result = hakmem::prefault<Os>({start, bytes}, policy);
    prefault_asked_.add(result.asked_bytes);
    prefault_populated_.add(result.populated_bytes);
    return result.populated_bytes;
  }

  // Whether the first touch of a SuperSlab brings a huge page; a guard at its end forbids that.
  bool takes_huge_pages() const noexcept {
    HugePolicy const policy = settings.huge;
    if (policy == HugePolicy::kAdvise || policy == HugePolicy::kHugetlb) return true;
    bool const guarded = C::Mode::kGuardsSuperSlabs && policy == HugePolicy::kNever;
    return !guarded && Os::gives_huge_pages();
  }

  void collapse(std::byte* base) noexcept { collapse_huge<Os>({base, G::kSuperSlabBytes}); }

  constexpr MetadataArena<C>& arena() noexcept { return arena_; }
  constexpr Registry<C>& registry() noexcept { return registry_; }
  Registry<C> const& registry() const noexcept { return registry_; }
  bool enter(std::byte* base, RegistryEntry<C> entry) noexcept { return registry_.insert(arena_, base, entry); }

  Settings settings{};  // written once, before the first mapping

  struct Ledger {
    std::uint64_t held_bytes, map_calls, unmap_calls, purge_calls, purged_bytes, prefault_asked, prefault_populated;
    std::uint64_t leftover_bytes;
  };
  Ledger ledger() noexcept {
    return {held_bytes_.get(),   map_calls_.get(),      unmap_calls_.get(),        purge_calls_.get(),
            purged_bytes_.get(), prefault_asked_.get(), prefault_populated_.get(), leftovers_.bytes()};
  }

  auto& leftovers() noexcept { return leftovers_; }

 private:
  // Each range counts, although the kernel makes one mapping of neighbours.
  std::uint64_t estimated_mappings() const noexcept { return splits_.get() + ranges_.get(); }

  // Asks the kernel by how many the estimate is too high, once a second, for that takes long.
  void count_mappings() noexcept {
    std::uint64_t const now_ms = Os::now_ms();
    if (now_ms < count_due_ms_.load(std::memory_order_relaxed)) return;
    count_due_ms_.store(now_ms + 1000, std::memory_order_relaxed);
    std::uint64_t const estimated = estimated_mappings(), counted = Os::mappings();
    surplus_.store(counted != 0 && counted < estimated ? estimated - counted : 0, std::memory_order_relaxed);
  }

  // Where the next mapping would best lie. The kernel maps downwards: just below the last one there
  // is usually room. A program that maps and unmaps for ever would so wander through all addresses, each stretch of
  // which costs a leaf of the registry: from time to time the kernel chooses, and takes what has become free.
  void* hint(std::size_t bytes, std::size_t alignment) noexcept {
    leftovers_.retry();
    std::uintptr_t const last = last_base_.load(std::memory_order_relaxed);
    if (last <= bytes) return nullptr;
    if (top_base_.load(std::memory_order_relaxed) - last > kWanderBytes) {
      top_base_.store(0, std::memory_order_relaxed);
      return nullptr;
    }
    return reinterpret_cast<void*>(kernels::align_down(last - bytes, alignment));
  }

  std::byte* keep(AlignedMapping const& range, unsigned count, char const* name) noexcept {
    map_calls_.add(range.calls);
    if (!range.ok()) {
      explain(range.status);
      return nullptr;
    }
    auto const base = reinterpret_cast<std::uintptr_t>(range.base);
    if (top_base_.load(std::memory_order_relaxed) < base) top_base_.store(base, std::memory_order_relaxed);
    last_base_.store(base, std::memory_order_relaxed);
    held_bytes_.add(range.kept);
    ranges_.add(count);
    Os::name(range.base, range.kept, name);
    return static_cast<std::byte*>(range.base);
  }

  // The kernel answers ENOMEM both when memory is short and when the process has as many mappings
  // as it may; only the second can be cured by a setting, so it is named.
  void explain(OsStatus status) noexcept {
    std::size_t const most = Os::mappings_max();
    if (status.error != OsError::kOutOfMemory || most == 0 || Os::mappings() + 2 < most) return;
    warn_once<Os>(mappings_warned_, "out of memory: the process has as many mappings as vm.max_map_count allows");
  }

  MetadataArena<C> arena_;
  Registry<C> registry_;
  Leftovers<Os, typename C::Sync> leftovers_;
  static constexpr std::uintptr_t kWanderBytes = 16 * kGiB;
  // protocol: hints only, of the last mapping and of the highest since the kernel chose; any value is correct, so
  // relaxed.
  typename C::template Atomic<std::uintptr_t> last_base_{0}, top_base_{0};
  // protocol: an estimate and when it is made anew; any value is correct, so relaxed.
  typename C::template Atomic<std::uint64_t> surplus_{0}, count_due_ms_{0};
  std::atomic<bool> mappings_warned_{false}, guards_warned_{false};
  Counter<C> ranges_, splits_;  // of mappings: that are released one by one; at most made by splitting
  Counter<C> held_bytes_, map_calls_, unmap_calls_, purge_calls_, purged_bytes_, prefault_asked_, prefault_populated_;
};

}  // namespace hakmem
