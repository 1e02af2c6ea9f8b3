// What it owns: the one place that decides when free memory goes back to the system (invariant P1).
//
// Free memory is: warm SuperSlabs and cached large blocks (each with the time it was freed) and
// free dirty slabs inside SuperSlabs that heaps hold. For the latter the purger works like a clock:
// what it finds free and dirty twice, a purge delay apart, it takes, purges and returns clean.
// Work per visit is bounded.
//
// Thread-safety: any thread may call; one purges at a time. `gate` is only tried on the way of a
// call that allocates or frees, never waited for (trimming and fork do wait); who holds it knows that no SuperSlab is
// unmapped meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/global/large.h"
#include "core/global/superslab_pool.h"

namespace hakmem {

template <class C>
class Purger {
  using G = typename C::Geo;
  using Os = typename C::Os;

 public:
  using Mutex = typename C::template Lock<LockRank::kPurge>;
  static constexpr unsigned kPooledPerVisit = 8;
  static constexpr unsigned kSuperSlabsPerVisit = 64;

  constexpr Purger() noexcept = default;

  // A bounded visit, if the last one is long enough ago. Called where heaps take or return slabs.
  void visit(AddressSpace<C>& space, SuperSlabPool<C>& pool, LargeBlocks<C>& large, std::uint64_t now_ms) noexcept {
    if (now_ms < due_ms_.load(std::memory_order_relaxed) || !gate_.try_lock()) return;
    std::uint64_t const delay = space.settings.purge_delay_ms;
    pool.purge(space, now_ms, delay, SuperSlabPool<C>::kColdMax, kPooledPerVisit);
    large.purge(space, now_ms, delay, kPooledPerVisit);
    bool const round_ended = visit_slabs(space, pool, now_ms >= round_due_ms_, kSuperSlabsPerVisit);
    if (round_ended) round_due_ms_ = now_ms + delay;
    due_ms_.store(now_ms + delay / 8 + 1, std::memory_order_relaxed);
    gate_.unlock();
  }

  // Everything at once, whatever its age. True if anything was given back.
  bool purge_all(AddressSpace<C>& space, SuperSlabPool<C>& pool, LargeBlocks<C>& large) noexcept {
    Locked guard(gate_);
    std::uint64_t const before = space.ledger().purged_bytes;
    std::uint64_t const held = space.ledger().held_bytes;
    constexpr std::uint64_t kEndOfTime = ~std::uint64_t{0};
    while (pool.purge(space, kEndOfTime, 0, 0, ~0u)) {
    }
    while (large.purge(space, kEndOfTime, 0, ~0u)) {
    }
    for (SuperSlab<C>* super = pool.all(); super; super = super->all_next) purge_slabs(space, *super, ~0u);
    return space.ledger().purged_bytes != before || space.ledger().held_bytes != held;
  }

  Mutex& gate() noexcept { return gate_; }

 private:
  // Continues the round over all descriptors; true when a round ended. A round starts only when
  // `may_start`, so that a slab is idle for a whole delay before it is purged.
  bool visit_slabs(AddressSpace<C>& space, SuperSlabPool<C>& pool, bool may_start, unsigned limit) noexcept {
    if (!cursor_) {
      if (!may_start) return false;
      cursor_ = pool.all();
    }
    for (; cursor_ && limit > 0; --limit, cursor_ = cursor_->all_next) {
      purge_slabs(space, *cursor_, cursor_->idle);
      SlabSets const sets = SlabSets::from(cursor_->slabs.load(std::memory_order_relaxed));
      cursor_->idle = sets.free & sets.dirty;
    }
    return cursor_ == nullptr;
  }

  // Takes the slabs of `wanted` that are free and dirty, purges them and returns them clean.
  void purge_slabs(AddressSpace<C>& space, SuperSlab<C>& super, std::uint32_t wanted) noexcept {
    std::uint64_t word = super.slabs.load(std::memory_order_relaxed);
    std::uint32_t taken = 0;
    do {
      SlabSets const sets = SlabSets::from(word);
      taken = sets.free & sets.dirty & wanted;
      if (taken == 0) return;
    } while (!super.slabs.compare_exchange_weak(
        word, SlabSets{SlabSets::from(word).free & ~taken, SlabSets::from(word).dirty}.word(),
        std::memory_order_acquire, std::memory_order_relaxed));
    std::uint32_t const clean = can_split(space, super) ? purge_runs(space, super.base, taken) : 0;
    do {
      word = super.slabs.load(std::memory_order_relaxed);
    } while (!super.slabs.compare_exchange_weak(
        word, SlabSets{SlabSets::from(word).free | taken, SlabSets::from(word).dirty & ~clean}.word(),
        std::memory_order_release, std::memory_order_relaxed));
  }

  // Part of a SuperSlab that asked for huge pages is about to be given back: whether that can last.
  bool can_split(AddressSpace<C>& space, SuperSlab<C>& super) noexcept {
    if (super.huge_advised && space.stop_huge(super.base)) super.huge_advised = false;
    return !super.huge_advised;
  }

  // Returns the slabs whose pages are gone.
  std::uint32_t purge_runs(AddressSpace<C>& space, std::byte* base, std::uint32_t slabs) noexcept {
    std::uint32_t clean = 0;
    while (slabs != 0) {
      unsigned const first = static_cast<unsigned>(std::countr_zero(slabs));
      unsigned const count = static_cast<unsigned>(std::countr_one(slabs >> first));
      std::uint32_t const run = kernels::run_of_slabs(first, count);
      // In band, slab 0 starts with the metadata of its neighbours.
      bool const metadata = SuperSlab<C>::kInBand && first == 0;
      std::size_t const skip = metadata ? kernels::align_up(G::kReservedBytes, Os::page_bytes()) : 0;
      std::size_t const bytes = count * G::kSlabBytes;
      if (skip >= bytes || space.purge(base + first * G::kSlabBytes + skip, bytes - skip)) {
        // Where a page reaches beyond the metadata, the start of slab 0 stays as it was.
        clean |= skip > G::kReservedBytes ? run & ~1u : run;
      }
      slabs &= ~run;
    }
    return clean;
  }

  Mutex gate_;
  // protocol: a hint that spares most callers the gate; relaxed, as nothing is ordered by it.
  typename C::template Atomic<std::uint64_t> due_ms_{0};
  std::uint64_t round_due_ms_ = 0;  // under the gate
  SuperSlab<C>* cursor_ = nullptr;  // under the gate
};

}  // namespace hakmem
