// What it owns: the short way of malloc and free where the client is not trusted, for what nearly every call is
// about: a block of a class, of which the mode sees at a glance that nothing is wrong. Everything else - large and
// aligned blocks, the last one of a span, errors and what only looks like one - takes the long way, through
// core/api/allocator.h and the mode's arm() and admit().
// Invariants: what is not done here in full has changed nothing.
// Thread-safety: as core/heap/heap.h.
#pragma once

#include <bit>

#include "core/heap/heap_slow.h"
#include "core/heap/resolver.h"

namespace hakmem {

template <class C>
struct Ordinary {
  using G = typename C::Geo;
  using Mode = typename C::Mode;

  // A block of the active slab. Null: it has none.
  [[gnu::always_inline]] static void* allocate(Heap<C>* heap, std::size_t bytes, AllocationKind kind) noexcept {
    constexpr std::size_t kPadding = Mode::padded_bytes(0, kMinAlignment);
    if (bytes > G::kDirectMax - kPadding) [[unlikely]]
      return nullptr;
    Slab<C>* const slab = heap->active_slab(bytes + kPadding);
    Block<C>* const block = Heap<C>::pop(slab);
    if (!block) [[unlikely]]
      return nullptr;
    Resolver<C>::prefetch_record(slab, slab->free);  // what the next call waits for, as pop() does with the link
    if (void* const armed = Mode::arm_ordinary(Resolver<C>::place_of_taken(slab, block), bytes, kind)) [[likely]]
      return armed;
    return arm_taken(slab, block, {bytes, kMinAlignment, kind});
  }

  // False: not done.
  [[gnu::always_inline]] static bool release(Heap<C>* heap, Registry<C> const& registry, ClientPtr pointer,
                                             Claim const& claim) noexcept {
    BlockPlace const place = Resolver<C>::find_followed(registry, pointer.unchecked());
    if (place.where == BlockPlace::Where::kNowhere || !heap->attached()) [[unlikely]]
      return false;
    if (!Mode::admit_ordinary(place, pointer, claim)) [[unlikely]]
      return false;
    hold_back(heap, place);
    return true;
  }

  // What the client may use of its block, in `bytes`, by what lies in front of it: that can be read wherever in a slab
  // the pointer leads, if it is aligned. False: not known.
  [[gnu::always_inline]] static bool find_bytes(Registry<C> const& registry, ClientPtr pointer,
                                                std::size_t& bytes) noexcept {
    std::size_t const offset = reinterpret_cast<std::uintptr_t>(pointer.unchecked()) & G::kSuperSlabMask;
    // From the first address that has something in front of it; what lies before that, or is not aligned, is large.
    std::size_t const units = std::rotr(offset - kMinAlignment, log2_exact(kMinAlignment));
    return registry.find(pointer.unchecked()).super_slab() &&
           units < SuperSlab<C>::kUsableBytes / kMinAlignment - 1 && Mode::inspect_ordinary(pointer, bytes);
  }

  // A block of a span that the client gave back. The heap may be unattached().
  static void hold(Heap<C>* heap, BlockPlace const& place) noexcept {
    if (heap->attached()) return hold_back(heap, place);
    heap->release_to(static_cast<Slab<C>*>(place.descriptor), place.start);
  }

 private:
  [[gnu::always_inline]] static void hold_back(Heap<C>* heap, BlockPlace const& place) noexcept {
    auto& gate = heap->reuse_gate();
    HeldBlock old = gate.put({place.start, place.descriptor, place.bytes});
    for (; old.block; old = gate.take_excess()) heap->release_to(static_cast<Slab<C>*>(old.slab), old.block);
  }
  [[gnu::noinline]] static void* arm_taken(Slab<C>* slab, Block<C>* block, Request const& request) noexcept {
    return Mode::arm(Resolver<C>::place_of_taken(slab, block), request, false);
  }
};

}  // namespace hakmem
