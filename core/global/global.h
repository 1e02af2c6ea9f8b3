// What it owns: all that heaps share, as one object.
// Thread-safety: each part its own; see there.
#pragma once

#include "core/global/address_space.h"
#include "core/global/background.h"
#include "core/global/large.h"
#include "core/global/large_pages.h"
#include "core/global/purge.h"
#include "core/global/statistics.h"
#include "core/global/superslab_pool.h"

namespace hakmem {

template <class C>
struct Global {
  AddressSpace<C> space;
  SuperSlabPool<C> pool;
  LargeBlocks<C> large;
  Purger<C> purger;
  Background<C> background;

  // Gives free memory back that is old enough; bounded work.
  void tick() noexcept { purger.visit(space, pool, large, C::Os::now_ms()); }
  // One round of the helper thread: prepare, give back, sleep.
  void background_round() noexcept {
    background.prepare(space, pool);
    tick();
    background.rest(space);
  }
  // Gives all free memory back; true if there was any.
  bool trim() noexcept { return purger.purge_all(space, pool, large); }

  // The locks of storage, in rank order; forking takes and frees them with the others.
  template <class Act>
  void for_each_inner_lock(Act act) noexcept {
    act(large.units().lock());
    act(pool.descriptors().lock());
    act(large.descriptors().lock());
    act(large.units().descriptors().lock());
    act(space.arena().lock());
  }

  // Blocks held by clients, from the slabs' own counts; of active slabs, all blocks.
  void count_held_blocks(Statistics& out) noexcept {
    Locked guard(purger.gate());
    for (SuperSlab<C>* super = pool.all(); super; super = super->all_next) {
      SlabSets const sets = SlabSets::from(super->slabs.load(std::memory_order_relaxed));
      std::uint32_t taken = sets.dirty & ~sets.free;
      for (; taken != 0; taken &= taken - 1) {
        Slab<C>* const slab = super->slab(static_cast<unsigned>(std::countr_zero(taken)));
        if (slab->state == SlabState::kNone) continue;
        out.small_blocks_now += slab->used();
        out.small_bytes_now += std::uint64_t{slab->used()} * slab->block_bytes;
      }
    }
  }

  void fill_in(Statistics& out) noexcept {
    auto const slabs = pool.counts();
    out.super_slabs_now = slabs.mapped_now;
    out.super_slabs_warm_now = slabs.warm;
    out.super_slabs_cold_now = slabs.cold;
    out.super_slabs_mapped = slabs.mapped;
    out.super_slabs_released = slabs.released;
    auto const blocks = large.counts();
    out.large_blocks_now = blocks.blocks;
    out.large_bytes_now = blocks.bytes;
    out.large_blocks_allocated = blocks.allocated;
    out.large_cache_hits = blocks.cache_hits;
    out.guarded_blocks_allocated = blocks.guarded;
    out.large_cached_bytes_now = blocks.cached_bytes;
    auto const ledger = space.ledger();
    out.map_calls = ledger.map_calls;
    out.unmap_calls = ledger.unmap_calls;
    out.purge_calls = ledger.purge_calls;
    out.purged_bytes = ledger.purged_bytes;
    out.prefault_asked_bytes = ledger.prefault_asked;
    out.prefault_populated_bytes = ledger.prefault_populated;
    out.leftover_bytes_now = ledger.leftover_bytes;
    out.guards_refused = GuardRefusals<typename C::Os>::count.load(std::memory_order_relaxed);
    out.metadata_bytes_now = space.arena().mapped_bytes();
  }
};

}  // namespace hakmem
