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
    leftovers_.retry();
    // The kernel maps downwards: just below the last mapping there is usually room.
    std::uintptr_t const last = last_base_.load(std::memory_order_relaxed);
    std::uintptr_t const hint = last > bytes ? kernels::align_down(last - bytes, alignment) : 0;
    AlignedMapping const range = map_aligned<Os>(reinterpret_cast<void*>(hint), bytes, alignment, kind, leftovers_);
    map_calls_.add(range.calls);
    if (!range.ok()) return nullptr;
    auto* const base = static_cast<std::byte*>(range.base);
    last_base_.store(reinterpret_cast<std::uintptr_t>(base), std::memory_order_relaxed);
    held_bytes_.add(bytes);
    Os::name(base, bytes, name);
    return base;
  }

  // Never fails: what the kernel refuses to unmap is kept as a leftover and retried.
  void release(std::byte* base, std::size_t bytes) noexcept {
    unmap_calls_.add(1);
    held_bytes_.subtract(bytes);
    hakmem::release<Os>(base, bytes, leftovers_);
  }

  // The same for a range of kind kReserve, which is opened first so that it can hold its own record.
  void release_reserved(std::byte* base, std::size_t bytes) noexcept {
    if (Os::protect_read_write(base, bytes).ok()) return release(base, bytes);
    unmap_calls_.add(1);
    held_bytes_.subtract(bytes);
    Released const released = hakmem::release<Os>(base, bytes, leftovers_, nullptr);
    VERIFY(released.disposal != Disposal::kRefused, "too many reserved ranges could not be unmapped");
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

  // Makes a range resident as the policy says. A failed prefault never fails an allocation.
  void prefault(std::byte* start, std::size_t bytes, PrefaultPolicy policy) noexcept {
    PrefaultResult const result = hakmem::prefault<Os>({start, bytes}, policy);
    prefault_asked_.add(result.asked_bytes);
    prefault_populated_.add(result.populated_bytes);
  }

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
  MetadataArena<C> arena_;
  Registry<C> registry_;
  Leftovers<Os> leftovers_;
  // protocol: a hint only; any value is correct, so relaxed.
  typename C::template Atomic<std::uintptr_t> last_base_{0};
  Counter<C> held_bytes_, map_calls_, unmap_calls_, purge_calls_, purged_bytes_, prefault_asked_, prefault_populated_;
};

}  // namespace hakmem
