// What it owns: how large blocks and the cache of what was freed exchange pages - taking and keeping, cutting and
// joining, growing and moving. Thread-safety: as core/global/large.h.
#pragma once

#include "core/global/large.h"

namespace hakmem {

template <class C>
void* LargeBlocks<C>::resize(AddressSpace<C>& space, LargeBlock* block, std::size_t bytes,
                             std::uint64_t now_ms) noexcept {
  std::size_t const wanted = kernels::align_up(bytes, Os::page_bytes());
  std::size_t const before = block->bytes;
  if (wanted > before) {
    if (!grow(space, block, wanted)) return nullptr;
  } else if (LargeBlock* const rest = trim(space, block, wanted)) {
    rest->freed_at_ms = now_ms;
    retire(space, rest);
  }
  count_out(before);
  count_in(block->bytes);
  return block->base;
}

// A cached range, cut to what is wanted if it has much more.
template <class C>
LargeBlock* LargeBlocks<C>::take_cached(AddressSpace<C>& space, std::size_t wanted, std::size_t alignment) noexcept {
  LargeBlock* range = nullptr;
  {
    bool const may_cut = space.may_split();
    Locked guard(lock_);
    range = cache_.take(wanted, alignment, may_cut);
  }
  if (!range) return nullptr;
  if (std::size_t const lead = LargeCache::lead_bytes(range, alignment)) {
    LargeBlock* const block = cut(space, range, lead);
    keep(space, range);
    range = block;
  }
  if (range) trim_taken(space, range, wanted);
  return range;
}

template <class C>
bool LargeBlocks<C>::has_room(AddressSpace<C>& space, std::size_t wanted) noexcept {
  bool const may_cut = space.may_split();
  Locked guard(lock_);
  return cache_.find(wanted, G::kSuperSlabBytes, may_cut) != nullptr;
}

template <class C>
LargeBlock* LargeBlocks<C>::take_behind(std::byte const* end, std::size_t least) noexcept {
  Locked guard(lock_);
  return cache_.take_behind(end, least);
}

// What a client does not need any more goes into the cache, unless it would take more than half of it.
template <class C>
void LargeBlocks<C>::retire(AddressSpace<C>& space, LargeBlock* range) noexcept {
  if (range->bytes > space.settings.large_cache_bytes / 2) return discard(space, range);
  keep(space, range);
}

// Into the cache, which may be full then. Domain: not in the registry.
template <class C>
void LargeBlocks<C>::keep(AddressSpace<C>& space, LargeBlock* range) noexcept {
  LargeBlock* spent = nullptr;
  {
    Locked guard(lock_);
    spent = cache_.put(range);
  }
  while (spent) {
    LargeBlock* const following = spent->next;
    forget_joined(space, spent);
    spent = following;
  }
  while (drop_excess(space)) {
  }
}

// Gives back something of what the cache has over its limits; false: it has nothing.
template <class C>
bool LargeBlocks<C>::drop_excess(AddressSpace<C>& space) noexcept {
  unsigned const most_ranges = space.may_split() ? kCacheMax : kCacheMax / 8;
  LargeCache::Excess excess;
  {
    Locked guard(lock_);
    excess = cache_.take_excess(space.settings.large_cache_bytes, most_ranges, Os::page_bytes());
  }
  if (excess.range) {
    discard(space, excess.range);
  } else if (excess.bytes != 0) {
    space.note_cut();
    space.release(excess.base, excess.bytes);
  }
  return excess.bytes != 0;
}

template <class C>
void LargeBlocks<C>::forget_joined(AddressSpace<C>& space, LargeBlock* range) noexcept {
  space.note_joined(1);
  descriptors_.put_back(range);
}

// Cuts off what a block has behind its first `wanted` bytes; null: that is too little, or there is no memory for it.
template <class C>
LargeBlock* LargeBlocks<C>::trim(AddressSpace<C>& space, LargeBlock* block, std::size_t wanted) noexcept {
  bool const little = block->bytes - wanted <= LargeCache::spare_bytes(wanted);
  return little ? nullptr : cut(space, block, wanted);
}
template <class C>
void LargeBlocks<C>::trim_taken(AddressSpace<C>& space, LargeBlock* block, std::size_t wanted) noexcept {
  if (LargeBlock* const rest = trim(space, block, wanted)) keep(space, rest);
}

// Cuts a range in two; the second. Null: no memory for its descriptor, nothing changed.
template <class C>
LargeBlock* LargeBlocks<C>::cut(AddressSpace<C>& space, LargeBlock* range, std::size_t at) noexcept {
  LargeBlock* const rest = describe(space, range->bytes - at);
  if (!rest) return nullptr;
  rest->base = range->base + at;
  rest->freed_at_ms = range->freed_at_ms;
  range->bytes = at;
  space.note_cut();
  return rest;
}

// To at least `wanted` bytes: by the pages behind it that the cache has, by the kernel in place, or by moving its
// pages.
template <class C>
bool LargeBlocks<C>::grow(AddressSpace<C>& space, LargeBlock* block, std::size_t wanted) noexcept {
  std::size_t const before = block->bytes;
  if (LargeBlock* const behind = take_behind(block->end(), wanted - before)) {
    block->bytes += behind->bytes;
    block->freed_at_ms = behind->freed_at_ms;
    forget_joined(space, behind);
    trim_taken(space, block, wanted);
    return true;
  }
  if (before <= kCopiedPerAdded * (wanted - before) && has_room(space, wanted)) return false;
  if (!Os::resize(block->base, before, wanted).ok() && !move(space, block, wanted)) return false;
  space.account_resized(before, wanted);
  block->bytes = wanted;
  return true;
}

// Moves the pages to a new aligned place of the wanted size. The registry keeps up. The place is
// mapped with access, so that the kernel refuses what it cannot commit here: refusing the move
// itself, it has already unmapped the place, which another thread may then get.
template <class C>
bool LargeBlocks<C>::move(AddressSpace<C>& space, LargeBlock* block, std::size_t wanted) noexcept {
  std::byte* const target = space.map(wanted, G::kSuperSlabBytes, MapKind::kNormal, "hakmem large");
  if (!target) return false;
  if (!space.enter(target, RegistryEntry<C>(block))) {
    space.release(target, wanted);
    return false;
  }
  // Before its pages go: from then on another thread may be given that place, and enter it.
  std::byte* const source = block->base;
  space.registry().remove(source);
  block->base = target;
  if (!Os::move(source, block->bytes, wanted, target).ok()) {
    block->base = source;
    space.enter(source, RegistryEntry<C>(block));  // cannot fail where an entry was
    space.registry().remove(target);
    space.release(target, wanted);
    return false;
  }
  space.account_resized(wanted, 0);  // the place was replaced by the moved mapping
  space.note_joined(1);
  return true;
}

}  // namespace hakmem
