// What it owns: blocks too large for a SuperSlab. Each has pages of its own, aligned to a SuperSlab
// so that one test on the low bits of a pointer tells it from all others, and a descriptor found
// through the registry. A bounded cache keeps freed pages for reuse (core/global/large_cache.h).
//
// A *guarded* block has guard pages on both sides, and every SuperSlab-sized unit of its mapping is in
// the registry; small ones share mappings (core/global/guarded_units.h). When it is freed it is not reused: it loses
// its pages and all access at once and stays, as a *grave*, to explain who touches it, until there are too many. Where
// the client is not trusted all blocks here are guarded. Where metadata lies in band, free looks for it at the start of
// the SuperSlab that a pointer lies in: a guarded block, which need not start there, has zeroes in that place, its
// *lead*. Invariants: a block is in the registry exactly while a client holds it, or as a grave. Thread-safety: any
// thread; the lock is never held across a system call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/list.h"
#include "core/global/address_space.h"
#include "core/global/guarded_units.h"
#include "core/global/large_block.h"
#include "core/global/large_cache.h"
#include "core/mode/mode.h"

namespace hakmem {

template <class C>
class LargeBlocks {
  using G = typename C::Geo;
  using Os = typename C::Os;

 public:
  using Mutex = typename C::template Lock<LockRank::kLarge>;
  using Descriptors = ObjectPool<C, LargeBlock, LockRank::kLargeDescriptors>;
  static constexpr bool kAllGuarded = !C::Mode::kTrustsClient;
  static constexpr unsigned kCacheMax = 64;  // ranges
  // A block is copied to where pages are at hand rather than have the kernel add some, if no more than so many pages
  // are copied for each that would be added: a page costs about as much when it is first touched (decision 012).
  static constexpr std::size_t kCopiedPerAdded = 4;
  static constexpr unsigned kGravesMax = kAllGuarded ? 2048 : 256;
  static constexpr std::size_t kGraveBytes = 64 * kGiB;  // address space only

  constexpr LargeBlocks() noexcept = default;

  // `zeroed` says whether the block is known to read as zero. Null: no memory.
  void* allocate(AddressSpace<C>& space, std::size_t bytes, std::size_t alignment, bool& zeroed) noexcept {
    LargeBlock* const block = take(space, bytes, alignment, kAllGuarded, zeroed);
    return block ? block->start() : nullptr;
  }

  // A guarded block, which reads as zero; null: no memory.
  LargeBlock* allocate_guarded(AddressSpace<C>& space, std::size_t bytes) noexcept {
    bool zeroed = false;
    return take(space, bytes, 1, true, zeroed);
  }

  // Makes the pages of a block read as zero again.
  bool zero(AddressSpace<C>& space, LargeBlock* block) noexcept { return space.purge(block->base, block->bytes); }

  void release(AddressSpace<C>& space, LargeBlock* block, std::uint64_t now_ms) noexcept {
    count_out(block->bytes);
    block->freed_at_ms = now_ms;
    if (block->guarded()) return bury(space, block);
    leave(space, block);
    retire(space, block);
  }

  // Grows or shrinks in place or by moving pages; null: not possible, or copying is cheaper; the block is unchanged.
  void* resize(AddressSpace<C>& space, LargeBlock* block, std::size_t bytes, std::uint64_t now_ms) noexcept;

  // Unmaps up to `limit` cached blocks that are at least `age_ms` old; returns how many. Graves hold
  // no memory, only addresses: they go when everything goes.
  unsigned purge(AddressSpace<C>& space, std::uint64_t now_ms, std::uint64_t age_ms, unsigned limit) noexcept {
    unsigned done = 0;
    for (; done < limit; ++done) {
      LargeBlock* victim = nullptr;
      {
        Locked guard(lock_);
        if (now_ms >= age_ms) victim = cache_.take_oldest(now_ms - age_ms);
        if (!victim && age_ms == 0) victim = graves_.list.last();
        if (!victim) break;
        if (victim->guarded()) graves_.remove(victim);
      }
      discard_shelved(space, victim);
    }
    if (age_ms == 0 && done < limit) units_.close(space);
    return done;
  }

  struct Counts {
    std::uint64_t blocks, bytes, allocated, guarded, cache_hits, cached_bytes;
  };
  Counts counts() noexcept {
    Locked guard(lock_);
    return {blocks_.get(), bytes_.get(), allocated_.get(), guarded_.get(), cache_hits_.get(), cache_.bytes()};
  }

  // visit(block) for each guarded one that a client holds. The lock is held meanwhile, so that none of
  // them is unmapped.
  template <class Visit>
  void for_each_in_use(Visit visit) noexcept {
    Locked guard(lock_);
    for (LargeBlock* block = in_use_.first(); block; block = block->next) visit(block);
  }

  Mutex& lock() noexcept { return lock_; }
  Descriptors& descriptors() noexcept { return descriptors_; }
  GuardedUnits<C>& units() noexcept { return units_; }

  bool validate() noexcept {
    Locked guard(lock_);
    return cache_.validate() && graves_.validate() && in_use_.validate();
  }

 private:
  LargeBlock* take(AddressSpace<C>& space, std::size_t bytes, std::size_t alignment, bool guarded,
                   bool& zeroed) noexcept {
    std::size_t const wanted = kernels::align_up(bytes, Os::page_bytes());
    std::size_t const step = alignment < G::kSuperSlabBytes ? G::kSuperSlabBytes : alignment;
    LargeBlock* block = guarded ? nullptr : take_cached(space, wanted, step);
    zeroed = block == nullptr;
    if (block) {
      cache_hits_.add(1);
    } else {
      block = map_block(space, wanted, step, guarded);
      if (!block) return nullptr;
    }
    if (!enter(space, block)) {
      discard(space, block);
      return nullptr;
    }
    if (guarded) {
      guarded_.add(1);
      Locked guard(lock_);
      in_use_.push_front(block);
    }
    count_in(block->bytes);
    allocated_.add(1);
    return block;
  }

  LargeBlock* map_block(AddressSpace<C>& space, std::size_t bytes, std::size_t alignment, bool guarded) noexcept {
    LargeBlock* const block = describe(space, bytes);
    if (!block) return nullptr;
    if (guarded) {
      std::size_t const page = Os::page_bytes();
      block->margin = page;
      block->lead = C::Mode::kMetadataInBand ? kernels::align_up(G::kReservedBytes, page) : 0;
      block->in_unit = GuardedUnits<C>::fits(bytes);
    }
    if (block->in_unit)
      units_.place(space, block);
    else if (guarded)
      block->base = space.map_guarded(block->mapped(), alignment, block->lead, block->margin, "hakmem guarded");
    else
      block->base = space.map(bytes, alignment, MapKind::kNormal, "hakmem large");
    if (!block->base) {
      descriptors_.put_back(block);
      return nullptr;
    }
    return block;
  }

  // A descriptor of so many bytes, for a block that is not guarded and has no place yet; null: no memory.
  LargeBlock* describe(AddressSpace<C>& space, std::size_t bytes) noexcept {
    bool fresh = false;
    LargeBlock* const block = descriptors_.take(space.arena(), fresh);
    if (!block) return nullptr;
    block->base = nullptr;
    block->bytes = bytes;
    block->lead = block->margin = 0;
    block->in_unit = false;
    block->record.state.store(0, std::memory_order_relaxed);
    block->record.trace.store(0, std::memory_order_relaxed);
    return block;
  }

  // A guarded block loses its pages and all access, and is kept.
  void bury(AddressSpace<C>& space, LargeBlock* block) noexcept {
    {
      Locked guard(lock_);
      in_use_.remove(block);
    }
    if (block->bytes > kGraveBytes / 2 || !close(space, block)) return discard_shelved(space, block);
    unsigned const most = space.may_split() ? kGravesMax : kGravesMax / 8;
    {
      Locked guard(lock_);
      graves_.put(block);
    }
    while (LargeBlock* const victim = exhume(most)) discard_shelved(space, victim);
  }

  LargeBlock* exhume(unsigned most) noexcept {
    Locked guard(lock_);
    if (graves_.bytes <= kGraveBytes && graves_.count <= most) return nullptr;
    LargeBlock* const victim = graves_.list.last();
    graves_.remove(victim);
    return victim;
  }

  // With a lead a guard does: one call, and what the kernel will not unmap is recorded in the lead.
  bool close(AddressSpace<C>& space, LargeBlock* block) noexcept {
    if (block->in_unit || block->lead != 0) return install_guard<Os>(block->start(), block->bytes);
    if (!Os::protect_none(block->start(), block->bytes).ok()) return false;
    space.purge(block->start(), block->bytes);
    return true;
  }

  // Domain: not in the registry.
  void discard(AddressSpace<C>& space, LargeBlock* block) noexcept {
    if (block->in_unit)
      units_.leave(space, block);
    else if (block->guarded())
      space.release_guarded(block->base, block->mapped(), block->lead, block->margin);
    else
      space.release(block->base, block->bytes);
    descriptors_.put_back(block);
  }

  void discard_shelved(AddressSpace<C>& space, LargeBlock* block) noexcept {
    if (block->guarded()) leave(space, block);
    discard(space, block);
  }

  // Enters a block into the registry: with its start, or, for clients that come with any address,
  // with all of it. False: no memory, nothing changed.
  bool enter(AddressSpace<C>& space, LargeBlock* block) noexcept {
    if (block->in_unit) return true;
    for (std::size_t offset = 0; offset < reach(block); offset += G::kSuperSlabBytes) {
      if (space.enter(block->base + offset, RegistryEntry<C>(block))) continue;
      while (offset != 0) space.registry().remove(block->base + (offset -= G::kSuperSlabBytes));
      return false;
    }
    return true;
  }
  static void leave(AddressSpace<C>& space, LargeBlock* block) noexcept {
    if (block->in_unit) return;
    for (std::size_t offset = 0; offset < reach(block); offset += G::kSuperSlabBytes)
      space.registry().remove(block->base + offset);
  }
  static std::size_t reach(LargeBlock const* block) noexcept { return block->guarded() ? block->mapped() : 1; }

  // What passes between blocks and the cache: core/global/large_pages.h.
  LargeBlock* take_cached(AddressSpace<C>& space, std::size_t wanted, std::size_t alignment) noexcept;
  LargeBlock* take_behind(std::byte const* end, std::size_t least) noexcept;
  bool has_room(AddressSpace<C>& space, std::size_t wanted) noexcept;
  void retire(AddressSpace<C>& space, LargeBlock* range) noexcept;
  void keep(AddressSpace<C>& space, LargeBlock* range) noexcept;
  bool drop_excess(AddressSpace<C>& space) noexcept;
  LargeBlock* cut(AddressSpace<C>& space, LargeBlock* range, std::size_t at) noexcept;
  LargeBlock* trim(AddressSpace<C>& space, LargeBlock* block, std::size_t wanted) noexcept;
  void trim_taken(AddressSpace<C>& space, LargeBlock* block, std::size_t wanted) noexcept;
  void forget_joined(AddressSpace<C>& space, LargeBlock* range) noexcept;
  bool grow(AddressSpace<C>& space, LargeBlock* block, std::size_t wanted) noexcept;
  bool move(AddressSpace<C>& space, LargeBlock* block, std::size_t wanted) noexcept;

  void count_in(std::size_t bytes) noexcept {
    blocks_.add(1);
    bytes_.add(bytes);
  }
  void count_out(std::size_t bytes) noexcept {
    blocks_.subtract(1);
    bytes_.subtract(bytes);
  }

  Mutex lock_;
  LargeCache cache_;
  LargeShelf graves_;
  List<LargeBlock> in_use_;  // of guarded ones
  Descriptors descriptors_;
  GuardedUnits<C> units_;
  Counter<C> blocks_, bytes_, allocated_, guarded_, cache_hits_;
};

}  // namespace hakmem
