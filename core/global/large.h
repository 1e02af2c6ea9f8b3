// What it owns: blocks too large for a SuperSlab. Each has its own mapping, aligned to a SuperSlab
// so that one test on the low bits of a pointer tells it from all others, and a descriptor found
// through the registry. A bounded cache keeps freed mappings for reuse.
//
// Where the client is not trusted, guard pages lie on both sides, every SuperSlab-sized unit of the
// mapping is in the registry, and a freed block is not reused: it loses its pages and all access at
// once and stays in the cache, as a *grave*, to explain who touches it, until there are too many.
// Invariants: a block is in the registry exactly while a client holds it, or as a grave.
// Thread-safety: any thread; the lock is never held across a system call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/list.h"
#include "core/global/address_space.h"
#include "core/mode/mode.h"

namespace hakmem {

struct LargeBlock {
  std::byte* base = nullptr;
  std::size_t bytes = 0;   // whole pages, without the margins
  std::size_t margin = 0;  // guarded bytes on each side
  LargeBlock* next = nullptr;
  LargeBlock* prev = nullptr;
  std::uint64_t freed_at_ms = 0;
  BlockRecord record;

  std::byte* start() const noexcept { return base + margin; }
  std::size_t mapped() const noexcept { return bytes + 2 * margin; }
};

template <class C>
class LargeBlocks {
  using G = typename C::Geo;
  using Os = typename C::Os;

 public:
  using Mutex = typename C::template Lock<LockRank::kLarge>;
  using Descriptors = ObjectPool<C, LargeBlock, LockRank::kLargeDescriptors>;
  static constexpr bool kGuarded = !C::Mode::kTrustsClient;
  static constexpr unsigned kCacheMax = kGuarded ? 2048 : 16;
  static constexpr std::size_t kGraveBytes = 64 * kGiB;  // address space only

  constexpr LargeBlocks() noexcept = default;

  // `zeroed` says whether the block is known to read as zero. Null: no memory.
  void* allocate(AddressSpace<C>& space, std::size_t bytes, std::size_t alignment, bool& zeroed) noexcept {
    std::size_t const wanted = kernels::align_up(bytes, Os::page_bytes());
    LargeBlock* block = kGuarded ? nullptr : take_cached(wanted, alignment);
    zeroed = block == nullptr;
    if (block) {
      cache_hits_.add(1);
    } else {
      block = map_block(space, wanted, alignment < G::kSuperSlabBytes ? G::kSuperSlabBytes : alignment);
      if (!block) return nullptr;
    }
    if (!enter(space, block)) {
      discard(space, block);
      return nullptr;
    }
    if constexpr (kGuarded) {
      Locked guard(lock_);
      in_use_.push_front(block);
    }
    count_in(block->bytes);
    allocated_.add(1);
    return block->start();
  }

  // Makes the pages of a block read as zero again.
  bool zero(AddressSpace<C>& space, LargeBlock* block) noexcept { return space.purge(block->base, block->bytes); }

  void release(AddressSpace<C>& space, LargeBlock* block, std::uint64_t now_ms) noexcept {
    std::size_t const cache_bytes = kGuarded ? kGraveBytes : space.settings.large_cache_bytes;
    count_out(block->bytes);
    bool worth_keeping = block->bytes <= cache_bytes / 2;
    if constexpr (kGuarded) {
      {
        Locked guard(lock_);
        in_use_.remove(block);
      }
      worth_keeping &= Os::protect_none(block->start(), block->bytes).ok();
      if (worth_keeping) space.purge(block->start(), block->bytes);
    }
    if (!kGuarded || !worth_keeping) leave(space, block);
    if (!worth_keeping) return discard(space, block);
    block->freed_at_ms = now_ms;
    {
      Locked guard(lock_);
      cache_.push_front(block);
      cached_bytes_ += block->bytes;
      ++cached_count_;
    }
    unsigned const most = space.may_split() ? kCacheMax : kCacheMax / 8;
    while (LargeBlock* const victim = evict(cache_bytes, most)) discard_cached(space, victim);
  }

  // Grows or shrinks in place or by moving pages; null: not possible, the block is unchanged.
  void* resize(AddressSpace<C>& space, LargeBlock* block, std::size_t bytes) noexcept {
    std::size_t const wanted = kernels::align_up(bytes, Os::page_bytes());
    std::size_t const before = block->bytes;
    if (wanted != before && !Os::resize(block->base, before, wanted).ok()) {
      if (wanted < before) return block->base;  // the kernel would not split: keep the tail
      if (!move(space, block, wanted)) return nullptr;
    }
    space.account_resized(before, wanted);
    count_out(before);
    count_in(wanted);
    block->bytes = wanted;
    return block->base;
  }

  // Unmaps up to `limit` cached blocks that are at least `age_ms` old; returns how many.
  unsigned purge(AddressSpace<C>& space, std::uint64_t now_ms, std::uint64_t age_ms, unsigned limit) noexcept {
    unsigned done = 0;
    if (kGuarded && age_ms != 0) return 0;  // graves hold no memory, only addresses
    for (; done < limit; ++done) {
      LargeBlock* victim = nullptr;
      {
        Locked guard(lock_);
        victim = cache_.last();
        if (!victim || victim->freed_at_ms + age_ms > now_ms) break;
        uncache(victim);
      }
      discard_cached(space, victim);
    }
    return done;
  }

  struct Counts {
    std::uint64_t blocks, bytes, allocated, cache_hits, cached_bytes;
  };
  Counts counts() noexcept {
    Locked guard(lock_);
    return {blocks_.get(), bytes_.get(), allocated_.get(), cache_hits_.get(), cached_bytes_};
  }

  // Only where the client is not trusted: visit(block) for each one that a client holds. The lock is
  // held meanwhile, so that none of them is unmapped.
  template <class Visit>
  void for_each_in_use(Visit visit) noexcept {
    Locked guard(lock_);
    for (LargeBlock* block = in_use_.first(); block; block = block->next) visit(block);
  }

  Mutex& lock() noexcept { return lock_; }
  Descriptors& descriptors() noexcept { return descriptors_; }

  bool validate() noexcept {
    Locked guard(lock_);
    std::uint64_t bytes = 0;
    unsigned count = 0;
    for (LargeBlock const* block = cache_.first(); block; block = block->next, ++count) bytes += block->bytes;
    return cache_.validate() && bytes == cached_bytes_ && count == cached_count_;
  }

 private:
  LargeBlock* map_block(AddressSpace<C>& space, std::size_t bytes, std::size_t alignment) noexcept {
    bool fresh = false;
    LargeBlock* const block = descriptors_.take(space.arena(), fresh);
    if (!block) return nullptr;
    block->bytes = bytes;
    block->margin = kGuarded ? Os::page_bytes() : 0;
    if constexpr (kGuarded)
      block->base = space.map_guarded(block->mapped(), alignment, block->margin, "hakmem guarded");
    else
      block->base = space.map(bytes, alignment, MapKind::kNormal, "hakmem large");
    if (!block->base) {
      descriptors_.put_back(block);
      return nullptr;
    }
    if constexpr (kGuarded) {
      block->record.state.store(0, std::memory_order_relaxed);
      block->record.trace.store(0, std::memory_order_relaxed);
    }
    return block;
  }

  // Domain: not in the registry.
  void discard(AddressSpace<C>& space, LargeBlock* block) noexcept {
    if constexpr (kGuarded)
      space.release_guarded(block->base, block->mapped(), block->margin);
    else
      space.release(block->base, block->bytes);
    descriptors_.put_back(block);
  }

  void discard_cached(AddressSpace<C>& space, LargeBlock* block) noexcept {
    if constexpr (kGuarded) leave(space, block);
    discard(space, block);
  }

  // Enters a block into the registry: with its start, or, for clients that come with any address,
  // with all of it. False: no memory, nothing changed.
  bool enter(AddressSpace<C>& space, LargeBlock* block) noexcept {
    for (std::size_t offset = 0; offset < reach(block); offset += G::kSuperSlabBytes) {
      if (space.enter(block->base + offset, RegistryEntry<C>(block))) continue;
      while (offset != 0) space.registry().remove(block->base + (offset -= G::kSuperSlabBytes));
      return false;
    }
    return true;
  }
  static void leave(AddressSpace<C>& space, LargeBlock* block) noexcept {
    for (std::size_t offset = 0; offset < reach(block); offset += G::kSuperSlabBytes)
      space.registry().remove(block->base + offset);
  }
  static std::size_t reach(LargeBlock const* block) noexcept { return kGuarded ? block->mapped() : 1; }

  // Moves the pages to a new aligned place of the wanted size. The registry keeps up. The place is
  // mapped with access, so that the kernel refuses what it cannot commit here: refusing the move
  // itself, it has already unmapped the place, which another thread may then get.
  bool move(AddressSpace<C>& space, LargeBlock* block, std::size_t wanted) noexcept {
    std::byte* const target = space.map(wanted, G::kSuperSlabBytes, MapKind::kNormal, "hakmem large");
    if (!target) return false;
    if (!space.enter(target, RegistryEntry<C>(block))) {
      space.release(target, wanted);
      return false;
    }
    if (!Os::move(block->base, block->bytes, wanted, target).ok()) {
      space.registry().remove(target);
      space.release(target, wanted);
      return false;
    }
    space.registry().remove(block->base);
    space.account_resized(wanted, 0);  // the place was replaced by the moved mapping
    block->base = target;
    return true;
  }

  // The smallest cached block that fits with at most a quarter to spare.
  LargeBlock* take_cached(std::size_t wanted, std::size_t alignment) noexcept {
    Locked guard(lock_);
    LargeBlock* best = nullptr;
    for (LargeBlock* block = cache_.first(); block; block = block->next) {
      bool const fits = block->bytes >= wanted && block->bytes - wanted <= wanted / 4 &&
                        kernels::is_aligned(reinterpret_cast<std::uintptr_t>(block->base), alignment);
      if (fits && (!best || block->bytes < best->bytes)) best = block;
    }
    if (best) uncache(best);
    return best;
  }

  LargeBlock* evict(std::size_t max_bytes, unsigned max_count) noexcept {
    Locked guard(lock_);
    if (cached_bytes_ <= max_bytes && cached_count_ <= max_count) return nullptr;
    LargeBlock* const victim = cache_.last();
    uncache(victim);
    return victim;
  }

  void uncache(LargeBlock* block) noexcept {
    cache_.remove(block);
    cached_bytes_ -= block->bytes;
    --cached_count_;
  }

  void count_in(std::size_t bytes) noexcept {
    blocks_.add(1);
    bytes_.add(bytes);
  }
  void count_out(std::size_t bytes) noexcept {
    blocks_.subtract(1);
    bytes_.subtract(bytes);
  }

  Mutex lock_;
  List<LargeBlock> cache_;   // most recently freed first
  List<LargeBlock> in_use_;  // kept only where the client is not trusted
  std::uint64_t cached_bytes_ = 0;
  unsigned cached_count_ = 0;
  Descriptors descriptors_;
  Counter<C> blocks_, bytes_, allocated_, cache_hits_;
};

}  // namespace hakmem
