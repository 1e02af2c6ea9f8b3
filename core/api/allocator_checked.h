// What it owns: the parts of Allocator for a mode that does not trust its client: every address is
// resolved first, and checked before anything changes.
// Thread-safety: as core/api/allocator.h.
#pragma once

#include "core/api/allocator.h"

namespace hakmem {

template <AllocatorMode Mode, OperatingSystem Os, class Sync, class G>
void Allocator<Mode, Os, Sync, G>::release_checked(Heap* heap, ClientPtr pointer, Claim const& claim) noexcept {
  static_assert(CheckingMode<Mode>);
  BlockPlace const place = find(pointer.unchecked());
  if (!Mode::admit(place, pointer, claim)) return;
  if (place.where == BlockPlace::Where::kLarge)
    return global_.large.release(global_.space, find_large(place.start), Os::now_ms());
  if (!heap->attached()) return heap->release(head_of(place.start), place.start);
  pass_gate(heap, place);
}

// Holds a released block back and frees those that were held long enough.
template <AllocatorMode Mode, OperatingSystem Os, class Sync, class G>
void Allocator<Mode, Os, Sync, G>::pass_gate(Heap* heap, BlockPlace const& place) noexcept {
  auto& gate = heap->reuse_gate();
  gate.put(place.start, place.bytes);
  while (void* const block = gate.take_excess()) heap->release(head_of(block), block);
}

template <AllocatorMode Mode, OperatingSystem Os, class Sync, class G>
void* Allocator<Mode, Os, Sync, G>::reallocate_checked(Heap* heap, ClientPtr pointer, std::size_t bytes) noexcept {
  BlockPlace const place = find(pointer.unchecked());
  if (!Mode::inspect(place, pointer, "realloc()")) return nullptr;
  if (bytes > kernels::kMaxRequest) return nullptr;
  std::size_t const wanted = Mode::padded_bytes(bytes, kMinAlignment);
  bool const fits = wanted <= place.bytes && (wanted > place.bytes / 2 || place.bytes <= 2 * G::kQuantum);
  if (fits && place.where == BlockPlace::Where::kSmall && Mode::resize(place, bytes)) return pointer.unchecked();
  std::size_t const have = Mode::client_bytes(place);
  void* const moved = allocate(heap, bytes);
  if (!moved) return nullptr;
  std::memcpy(moved, pointer.unchecked(), have < bytes ? have : bytes);
  release_checked(heap, pointer, {});
  return moved;
}

template <AllocatorMode Mode, OperatingSystem Os, class Sync, class G>
std::size_t Allocator<Mode, Os, Sync, G>::usable_bytes_checked(ClientPtr pointer) const noexcept {
  BlockPlace const place = find(pointer.unchecked());
  return Mode::inspect(place, pointer, "malloc_usable_size()") ? Mode::client_bytes(place) : 0;
}

template <AllocatorMode Mode, OperatingSystem Os, class Sync, class G>
bool Allocator<Mode, Os, Sync, G>::sweep() noexcept {
  bool sound = true;
  if constexpr (!Mode::kTrustsClient) {
    auto const visit = [&sound](BlockPlace const& place) { sound &= Mode::sweep(place); };
    Locked guard(global_.purger.gate());  // no SuperSlab is unmapped and no page purged meanwhile
    for (SuperSlab<C>* super = global_.pool.all(); super; super = super->all_next) {
      std::uint32_t const taken = ~SlabSets::from(super->slabs.load(std::memory_order_acquire)).free & G::kAllSlabs;
      for (std::uint32_t left = taken; left != 0; left &= left - 1) {
        Slab* const slab = super->slab(static_cast<unsigned>(std::countr_zero(left)));
        if (slab->state != SlabState::kNone) Resolver<C>::for_each_block(slab, visit);
      }
    }
    global_.large.for_each_in_use([visit](LargeBlock* block) { visit(Resolver<C>::place_of(block)); });
  }
  return sound;
}

}  // namespace hakmem
