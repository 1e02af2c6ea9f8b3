// What it owns: what a growing heap makes resident ahead of use, under PrefaultPolicy::kAhead.
//
//   stretches    of a slab that is carved, but for the first one of a class: so a class holds no more than one that
//                it does not use yet, and none while it is small
//   whole slabs  instead, where the heap is large, and clean ones behind them
//
// Thread-safety: as core/heap/heap.h.
#pragma once

#include <algorithm>
#include <bit>

#include "core/heap/heap.h"

namespace hakmem {

// For a class that filled a slab and grows into a new one.
template <class C>
void Heap<C>::populate_ahead(Slab<C>* head) noexcept {
  AddressSpace<C>& space = global_->space;
  if (space.settings.prefault != PrefaultPolicy::kAhead || !head->cold) return;
  unsigned const wanted = kernels::ahead_slabs(super_slabs_);
  if (wanted == 0) return populate_stretch(head);
  unsigned const behind = head->index + head->slabs;
  std::uint32_t run = kernels::run_of_slabs(head->index, head->slabs);
  if (wanted > head->slabs && behind < G::kSlabsPerSuperSlab)
    run |= head->super->clean_run(behind, wanted - head->slabs);
  std::size_t const bytes = static_cast<std::size_t>(std::popcount(run)) * G::kSlabBytes;
  if (space.prefault(head->start(), bytes, PrefaultPolicy::kAhead) != bytes) return;
  head->super->note_populated(run);
  head->cold = false;
  if constexpr (!SuperSlab<C>::kInBand)
    populate_where_begun(head->record(0), head->record(0), head->record(head->capacity), head->record(head->capacity));
}

// For a cold slab that is about to be carved: where that begins a stretch, one call makes it resident. The same of its
// records, which are as cold. Not of longer blocks: they are buffers often, of which only the beginning is used. Nor
// where huge pages come, of which one is more than a stretch.
template <class C>
void Heap<C>::populate_stretch(Slab<C> const* slab) noexcept {
  constexpr std::size_t kLongestBytes = 8 * kKiB;
  if (global_->space.settings.prefault != PrefaultPolicy::kAhead || slab->block_bytes > kLongestBytes) return;
  unsigned const carved = slab->carved;
  unsigned const then = carved + kernels::carve_stretch(slab->block_bytes, G::kCarveBytes, slab->capacity - carved);
  if (!global_->space.takes_huge_pages())
    populate_where_begun(slab->block(0), slab->block(carved), slab->block(then), slab->block(slab->capacity));
  if constexpr (!SuperSlab<C>::kInBand)
    populate_where_begun(slab->record(0), slab->record(carved), slab->record(then), slab->record(slab->capacity));
}

// Use of [first, end) has come to `from` and goes on to `to`: makes the stretches resident that begin in between.
template <class C>
void Heap<C>::populate_where_begun(void const* first, void const* from, void const* to, void const* end) noexcept {
  // With records, each page of blocks needs a part of another one.
  constexpr std::size_t kStretchBytes = (SuperSlab<C>::kInBand ? 16 : 32) * kKiB;
  auto const at = [](void const* address) { return reinterpret_cast<std::uintptr_t>(address); };
  std::uintptr_t const start = at(first);
  std::uintptr_t const begun = start + kernels::align_up(at(from) - start, kStretchBytes);
  std::uintptr_t const ended = std::min(start + kernels::align_up(at(to) - start, kStretchBytes), at(end));
  std::size_t const page = C::Os::page_bytes();
  std::uintptr_t const begin = begun == start ? kernels::align_down(begun, page) : kernels::align_up(begun, page);
  std::uintptr_t const behind = kernels::align_up(ended, page);
  if (begin + page < behind)  // one page costs no more when it is touched
    global_->space.prefault(reinterpret_cast<std::byte*>(begin), behind - begin, PrefaultPolicy::kAhead);
}

}  // namespace hakmem
