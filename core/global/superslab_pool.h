// What it owns: the SuperSlabs that no heap holds.
//
//   mapped -> cold -> (prefaulted) -> a heap -> warm -> purged: cold -> released
//
// *Warm* SuperSlabs are as the last heap left them, most recently freed first; *cold* ones hold no
// pages. Warm ones that nobody wanted for the purge delay turn cold, oldest first; cold ones beyond
// a bound are unmapped, oldest first.
// Invariants: no heap holds a pooled SuperSlab; M1 and M3 of the mapping layer.
// Thread-safety: any thread; the lock is never held across a system call. purge() is called under
// the purger's gate only, so that who holds the gate may walk all descriptors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/list.h"
#include "core/global/address_space.h"
#include "core/slab/superslab.h"

namespace hakmem {

template <class C>
class SuperSlabPool {
  using G = typename C::Geo;
  using Super = SuperSlab<C>;

 public:
  using Mutex = typename C::template Lock<LockRank::kPool>;
  using Descriptors = ObjectPool<C, SuperSlab<C>, LockRank::kSuperSlabDescriptors>;
  static constexpr unsigned kColdMax = 64;

  constexpr SuperSlabPool() noexcept = default;

  // A SuperSlab that is already mapped, resident ones first; null: there is none.
  SuperSlab<C>* take_pooled(AddressSpace<C>& space) noexcept {
    SuperSlab<C>* super = nullptr;
    bool cold = false;
    {
      Locked guard(lock_);
      super = warm_.pop_front();
      if (super) {
        --warm_count_;
      } else if ((super = cold_.pop_front())) {
        --cold_count_;
        cold = true;
      }
    }
    if (super && cold) prefault(space, super);
    return super;
  }

  // Maps a batch, keeps all but one of it as cold ones and returns that one; null: no memory.
  SuperSlab<C>* map_new(AddressSpace<C>& space) noexcept {
    unsigned const batch = kernels::batch_size(mapped_now_.get());
    unsigned const wanted = batch < space.settings.batch_max ? batch : space.settings.batch_max;
    if (SuperSlab<C>* const super = map_batch(space, wanted)) return super;
    return wanted > 1 ? map_batch(space, 1) : nullptr;
  }

  // Takes back an empty SuperSlab from a heap.
  void put_back(SuperSlab<C>* super, std::uint64_t now_ms) noexcept {
    INVARIANT(super->used_slabs == 0);
    super->freed_at_ms = now_ms;
    Locked guard(lock_);
    warm_.push_front(super);
    ++warm_count_;
  }

  // Purges up to `limit` warm SuperSlabs that are at least `age_ms` old, then unmaps up to `limit`
  // cold ones beyond `keep_cold`. Returns the number of SuperSlabs changed.
  unsigned purge(AddressSpace<C>& space, std::uint64_t now_ms, std::uint64_t age_ms, unsigned keep_cold,
                 unsigned limit) noexcept {
    unsigned done = 0;
    while (done < limit && cool_oldest(space, now_ms, age_ms)) ++done;
    for (unsigned released = 0; released < limit && release_coldest(space, keep_cold); ++released) ++done;
    return done;
  }

  // Maps and populates until `bytes` are warm; returns the bytes that are resident.
  std::size_t warm_up(AddressSpace<C>& space, std::size_t bytes, std::uint64_t now_ms) noexcept {
    std::size_t warm = 0;
    List<SuperSlab<C>> filled;
    while (warm < bytes) {
      SuperSlab<C>* super = take_pooled(space);
      if (!super && !(super = map_new(space))) break;
      std::size_t const resident = populate(space, super);
      filled.push_front(super);
      warm += resident;
      if (resident < Super::kUsableBytes) break;
    }
    while (SuperSlab<C>* const super = filled.pop_front()) put_back(super, now_ms);
    return warm;
  }

  // Puts one SuperSlab that holds no pages, or a new one, populated among the warm ones: ahead of
  // demand, by the helper thread. False: no memory.
  bool prepare_one(AddressSpace<C>& space, std::uint64_t now_ms) noexcept {
    SuperSlab<C>* super = nullptr;
    {
      Locked guard(lock_);
      if ((super = cold_.pop_front())) --cold_count_;
    }
    if (!super && !(super = map_new(space))) return false;
    bool const resident = populate(space, super) == Super::kUsableBytes;
    put_back(super, now_ms);
    return resident;
  }

  struct Counts {
    std::uint64_t mapped_now, warm, cold, mapped, released;
  };
  Counts counts() noexcept {
    Locked guard(lock_);
    return {mapped_now_.get(), warm_count_, cold_count_, mapped_.get(), released_.get()};
  }

  // Every descriptor ever made, for the purger and for validation.
  SuperSlab<C>* all() const noexcept { return all_.load(std::memory_order_acquire); }

  // act(super, warm) for each SuperSlab that no heap holds, in the order in which they are taken.
  template <class Act>
  void for_each_pooled(Act act) noexcept {
    Locked guard(lock_);
    for (SuperSlab<C>* super = warm_.first(); super; super = super->next) act(super, true);
    for (SuperSlab<C>* super = cold_.first(); super; super = super->next) act(super, false);
  }

  Mutex& lock() noexcept { return lock_; }
  Descriptors& descriptors() noexcept { return descriptors_; }

  // Domain: no other thread is inside the allocator, so that the purger holds no slab.
  bool validate() noexcept {
    bool sound = true;
    std::uint64_t warm_found = 0, cold_found = 0;
    for_each_pooled([&](SuperSlab<C> const* super, bool warm) {
      sound &= super->used_slabs == 0 && !super->listed_available;
      sound &= SlabSets::from(super->slabs.load(std::memory_order_relaxed)).free == Super::kUsable;
      ++(warm ? warm_found : cold_found);
    });
    Locked guard(lock_);
    return sound && warm_.validate() && cold_.validate() && warm_found == warm_count_ && cold_found == cold_count_;
  }

 private:
  SuperSlab<C>* map_batch(AddressSpace<C>& space, unsigned count) noexcept {
    std::byte* const base = space.map_super_slabs(count);
    if (!base) return nullptr;
    SuperSlab<C>* first = nullptr;
    for (unsigned i = 0; i < count; ++i) {
      std::byte* const start = base + i * G::kSuperSlabBytes;
      SuperSlab<C>* const super = describe(space, start);
      if (!super) {  // no memory for descriptors: keep what has one
        space.note_joined(count - i - 1);
        space.release(start, (count - i) * G::kSuperSlabBytes);
        break;
      }
      mapped_.add(1);
      mapped_now_.add(1);
      if (!first) {
        first = super;
      } else {
        Locked guard(lock_);
        cold_.push_back(super);
        ++cold_count_;
      }
    }
    if (first) prefault(space, first);
    return first;
  }

  // What the policy wants of a SuperSlab without pages when a heap takes it. The policies kAhead and
  // kBackground populate elsewhere.
  void prefault(AddressSpace<C>& space, SuperSlab<C>* super) noexcept {
    PrefaultPolicy const policy = space.settings.prefault;
    if (policy != PrefaultPolicy::kPopulate && policy != PrefaultPolicy::kTouch) return;
    note(super, space.prefault(super->base, Super::kUsableBytes, policy));
  }

  std::size_t populate(AddressSpace<C>& space, SuperSlab<C>* super) noexcept {
    std::size_t const resident = space.prefault(super->base, Super::kUsableBytes, PrefaultPolicy::kPopulate);
    note(super, resident);
    return resident;
  }

  static void note(SuperSlab<C>* super, std::size_t resident_bytes) noexcept {
    super->note_populated(kernels::run_of_slabs(0, static_cast<unsigned>(resident_bytes / G::kSlabBytes)));
  }

  // A descriptor, entered in the registry, for a newly mapped range; null: no memory.
  SuperSlab<C>* describe(AddressSpace<C>& space, std::byte* base) noexcept {
    bool fresh = false;
    SuperSlab<C>* const super = descriptors_.take(space.arena(), fresh);
    if (!super) return nullptr;
    if (!has_records(space, super) || !space.enter(base, RegistryEntry<C>(super))) {
      if (fresh) publish(super);
      descriptors_.put_back(super);
      return nullptr;
    }
    if constexpr (!SuperSlab<C>::kInBand)
      for (Slab<C>& slab : super->storage.slabs) ::new (&slab) Slab<C>();
    super->base = base;
    super->next = super->prev = nullptr;
    super->used_slabs = 0;
    super->populated = 0;
    super->huge_advised = space.settings.huge == HugePolicy::kAdvise;
    super->collapsed = false;
    if constexpr (C::Mode::kGuardsSuperSlabs) super->splits = guard_end(space, base);
    super->slabs.store(SlabSets{Super::kUsable, 0}.word(), std::memory_order_release);
    if (fresh) publish(super);
    return super;
  }

  // What lies behind the usable slabs. A guard would split a huge page, so where those are wanted there is
  // none. The mappings that it made.
  static std::uint8_t guard_end(AddressSpace<C>& space, std::byte* base) noexcept {
    if (space.settings.huge != HugePolicy::kNever) return 0;
    return static_cast<std::uint8_t>(space.guard_part(base + Super::kUsableBytes, G::kSlabBytes));
  }

  // Out of line, each descriptor has room for the records of its blocks. False: no memory.
  static bool has_records([[maybe_unused]] AddressSpace<C>& space, [[maybe_unused]] SuperSlab<C>* super) noexcept {
    if constexpr (!SuperSlab<C>::kInBand) {
      auto& records = super->storage.records;
      if (!records) records = static_cast<BlockRecord*>(space.arena().allocate_apart(super->storage.kRecordBytes));
      return records != nullptr;
    }
    return true;
  }

  void publish(SuperSlab<C>* super) noexcept {
    SuperSlab<C>* head = all_.load(std::memory_order_relaxed);
    do {
      super->all_next = head;
    } while (!all_.compare_exchange_weak(head, super, std::memory_order_release, std::memory_order_relaxed));
  }

  bool cool_oldest(AddressSpace<C>& space, std::uint64_t now_ms, std::uint64_t age_ms) noexcept {
    SuperSlab<C>* super = nullptr;
    {
      Locked guard(lock_);
      super = warm_.last();
      if (!super || super->freed_at_ms + age_ms > now_ms) return false;
      warm_.remove(super);
      --warm_count_;
    }
    if constexpr (!SuperSlab<C>::kInBand)
      C::Os::purge(super->storage.records, kernels::align_up(super->storage.kRecordBytes, C::Os::page_bytes()));
    if (space.purge(super->base, G::kSuperSlabBytes)) {
      super->slabs.fetch_and(SlabSets{~0u, 0}.word(), std::memory_order_relaxed);  // the lock publishes it
      super->collapsed = false;
      if (space.settings.huge == HugePolicy::kAdvise && !super->huge_advised)
        super->huge_advised = space.resume_huge(super->base);
    }
    Locked guard(lock_);
    cold_.push_front(super);
    ++cold_count_;
    return true;
  }

  bool release_coldest(AddressSpace<C>& space, unsigned keep_cold) noexcept {
    SuperSlab<C>* super = nullptr;
    {
      Locked guard(lock_);
      if (cold_count_ <= keep_cold) return false;
      super = cold_.last();
      cold_.remove(super);
      --cold_count_;
    }
    // Not while the purger holds slabs of it: taking all of them keeps it away for good. The lock and
    // the gate order what was done to them before.
    std::uint64_t word = super->slabs.load(std::memory_order_relaxed);
    if (SlabSets::from(word).free != Super::kUsable ||
        !super->slabs.compare_exchange_strong(word, 0, std::memory_order_relaxed, std::memory_order_relaxed)) {
      Locked guard(lock_);
      cold_.push_front(super);
      ++cold_count_;
      return false;
    }
    space.registry().remove(super->base);
    if constexpr (C::Mode::kGuardsSuperSlabs) space.forget_splits(super->splits);
    space.release(super->base, G::kSuperSlabBytes);
    released_.add(1);
    mapped_now_.subtract(1);
    descriptors_.put_back(super);
    return true;
  }

  Mutex lock_;
  List<SuperSlab<C>> warm_, cold_;
  std::uint64_t warm_count_ = 0, cold_count_ = 0;
  Descriptors descriptors_;
  // protocol: descriptors are only ever pushed; release and acquire publish their links.
  typename C::template Atomic<SuperSlab<C>*> all_{nullptr};
  Counter<C> mapped_, released_, mapped_now_;
};

}  // namespace hakmem
