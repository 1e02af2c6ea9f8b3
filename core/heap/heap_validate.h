// What it owns: the checks of a heap's invariants (A3): every slab's accounting, every span's
// metadata, and that each slab is in exactly the list that its state names.
// Thread-safety: as core/heap/heap.h.
#pragma once

#include "core/heap/heap.h"
#include "core/heap/resolver.h"

namespace hakmem {

template <class C>
bool Heap<C>::validate() noexcept {
  if (!available_.validate() || !full_.validate()) return false;
  Census found, listed;
  unsigned held = 0;
  for (SuperSlab<C>* super = available_.first(); super; super = super->next, ++held)
    if (!super->listed_available || !validate_super_slab(super, found)) return false;
  for (SuperSlab<C>* super = full_.first(); super; super = super->next, ++held)
    if (super->listed_available || !super->exhausted() || !validate_super_slab(super, found)) return false;
  for (unsigned index = 0; index < G::kClassCount; ++index)
    if (!validate_bin(index, listed)) return false;
  for (std::size_t entry = 0; entry < G::kDirectEntries; ++entry)
    if (direct_[entry] != bins_[kernels::class_of_size<G>(entry * G::kQuantum)].active) return false;
  return found.active == listed.active && found.partial == listed.partial && held == super_slabs_;
}

// Every slab that is not free belongs to a span of this heap, or to the purger for a moment.
template <class C>
bool Heap<C>::validate_super_slab(SuperSlab<C>* super, Census& census) noexcept {
  SlabSets const sets = SlabSets::from(super->slabs.load(std::memory_order_relaxed));
  unsigned used = 0;
  for (unsigned i = 0; i < G::kSlabsPerSuperSlab; ++i) {
    Slab<C>* const slab = super->slab(i);
    if ((sets.free >> i & 1) != 0 || slab->state == SlabState::kNone) continue;
    std::uint32_t const run = kernels::run_of_slabs(i, slab->slabs);
    if (slab->index != i || slab->super != super || (sets.free & run) != 0 || (sets.dirty & run) != run) return false;
    if (!validate_span(slab)) return false;
    used += slab->slabs;
    census.active += slab->state == SlabState::kActive;
    census.partial += slab->state == SlabState::kPartial;
  }
  return used == super->used_slabs;
}

template <class C>
bool Heap<C>::validate_span(Slab<C>* head) noexcept {
  if (head->owner() != this || head->head_distance != 0) return false;
  for (unsigned distance = 1; distance < head->slabs; ++distance) {
    Slab<C> const& slab = head[distance];
    if (slab.head_distance != distance || slab.state != SlabState::kNone) return false;
    if (slab.owner() != nullptr) return false;
  }
  if constexpr (!SuperSlab<C>::kInBand)
    if (head->reach != Resolver<C>::reach_of(head)) return false;
  return head->validate();
}

template <class C>
bool Heap<C>::validate_bin(unsigned index, Census& census) noexcept {
  Bin const& bin = bins_[index];
  if (!bin.partial.validate()) return false;
  for (Slab<C> const* slab = bin.partial.first(); slab; slab = slab->next, ++census.partial)
    if (slab->state != SlabState::kPartial || slab->size_class != index || !slab->free) return false;
  if (bin.growing && (!bin.growing->has_room() || bin.growing->size_class != index)) return false;
  if ((bin.undecided != 0) != (bin.waiting != nullptr)) return false;
  if (bin.active == &no_slab) return bin.undecided == 0;
  if (bin.listed() > bin.active->carved) return false;
  ++census.active;
  return bin.active->state == SlabState::kActive && bin.active->size_class == index;
}

}  // namespace hakmem
