// What it owns: which allocations a sampling mode guards, chosen without a step on the fast paths.
//
// Each block that is added to the active slab's list serves one later allocation: all of them when the
// slab is carved or activated, one on each free into it. The mode says how many allocations pass before
// the next one that is chosen (geometric: each is chosen with the same chance). If a block just added is
// to serve it, the list is cut in front of that block; if not, the slab's countdown is set to the free that
// brings such a block. Either way malloc finds its list empty just when a chosen allocation begins. That
// one takes no block from the list: the blocks behind the cut come back, and are decided on anew.
// docs/decisions/008-sampling-rides-on-empty-lists.md
// Thread-safety: as core/heap/heap.h.
#pragma once

#include <utility>

#include "core/heap/heap.h"

namespace hakmem {

template <class C>
unsigned Heap<C>::index_of_request(std::size_t size, std::size_t alignment) const noexcept {
  if (alignment > kMinAlignment) return kernels::class_of_aligned_size<G>(size, alignment);
  return size <= G::kClassMax ? kernels::class_of_size<G>(size) : G::kClassCount;
}

// Blocks that have a span of their own come one by one.
template <class C>
bool Heap<C>::chooses(std::size_t size, std::size_t alignment) noexcept {
  unsigned const index = index_of_request(size, alignment);
  if (index < G::kClassCount) return bins_[index].undecided != 0 && !bins_[index].active->free;
  return until_chosen_-- == 0 && affords_choice();
}

template <class C>
void Heap<C>::settle(std::size_t size, std::size_t alignment) noexcept {
  unsigned const index = index_of_request(size, alignment);
  if (index >= G::kClassCount) return;
  Bin& bin = bins_[index];
  bin.active->free = std::exchange(bin.waiting, nullptr);
  decide(bin, std::exchange(bin.undecided, 0));
}

template <class C>
void* Heap<C>::forgo(std::size_t size, std::size_t alignment, bool& zeroed) noexcept {
  forgone_.add_alone(1);
  unsigned const index = index_of_request(size, alignment);
  if (index >= G::kClassCount) return allocate_single(size == 0 ? 1 : size, alignment, zeroed);
  zeroed = false;
  Bin& bin = bins_[index];
  bin.active->free = std::exchange(bin.waiting, nullptr);
  void* const block = pop(bin.active);
  decide(bin, std::exchange(bin.undecided, 0) - 1);
  return block;
}

// Whether the next chosen allocation is to be guarded; if not, it passes as one that was forgone.
template <class C>
bool Heap<C>::affords_choice() noexcept {
  until_chosen_ = C::Mode::next_sample();
  if (C::Mode::affords_sample(C::Os::now_ms())) return true;
  forgone_.add_alone(1);
  return false;
}

// Cuts the active slab's list in front of the first of its first `count` blocks whose allocation is
// chosen. Domain: the list has so many, none is chosen yet.
template <class C>
void Heap<C>::decide(Bin& bin, std::uint32_t count) noexcept {
  Slab<C>* const slab = bin.active;
  std::uint32_t kept = 0;
  while (until_chosen_ < count - kept) {
    kept += until_chosen_;
    if (!affords_choice()) {
      ++kept;
      continue;
    }
    bin.undecided = count - kept;
    if (kept == 0) {
      bin.waiting = std::exchange(slab->free, nullptr);
    } else {
      Block<C>* last = slab->free;
      for (std::uint32_t i = 1; i < kept; ++i) last = last->next();
      bin.waiting = last->next();
      last->set_next(nullptr);
    }
    slab->countdown = until_chosen_ + 1;
    return;
  }
  until_chosen_ -= count - kept;
  slab->countdown = until_chosen_ + 1;
}

// `first` and the `behind` blocks of the active slab's list were added. Returns `first`, or null when its
// allocation is chosen.
template <class C>
void* Heap<C>::hand_out(Bin& bin, void* first, [[maybe_unused]] std::uint32_t behind,
                        [[maybe_unused]] bool& zeroed) noexcept {
  if constexpr (C::Mode::kSamples) {
    if (!C::Mode::samples()) [[likely]]
      return first;
    if (until_chosen_ > behind) {
      until_chosen_ -= behind + 1;
      bin.active->countdown = until_chosen_ + 1;
      return first;
    }
    zeroed = false;  // the link is written
    auto* const block = static_cast<Block<C>*>(first);
    block->set_next(bin.active->free);
    bin.active->free = block;
    decide(bin, behind + 1);
    return pop(bin.active);
  }
  return first;
}

// The active slab's countdown reached zero: the block that was just freed is to serve a chosen allocation.
// All others are decided on anew, whether one of them was chosen or not: to keep those where none was and
// to lose the choice where one was would choose too few.
template <class C>
void Heap<C>::choose_freed(Slab<C>* slab) noexcept {
  slab->countdown = Slab<C>::kUncounted;
  if constexpr (C::Mode::kSamples) {
    if (!C::Mode::samples()) return;
    bool const chosen = affords_choice();
    slab->countdown = until_chosen_ + 1;
    if (!chosen) return;
    Bin& bin = bins_[slab->size_class];
    bin.undecided = bin.listed();
    Block<C>* last = slab->free;
    while (last->next()) last = last->next();
    last->set_next(bin.waiting);
    bin.waiting = std::exchange(slab->free, nullptr);
  }
}

}  // namespace hakmem
