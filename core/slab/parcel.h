// What it owns: how a block on its way home carries others. Behind its link it lists their addresses,
// so that the thread that freed them need not touch them: their memory stays in the cache of the
// thread that will use it again.
// Invariants: the list ends with null, or with the block. Where the mode keeps watch over free blocks,
// a block carries none.
// Thread-safety: a parcel belongs to one thread at a time.
#pragma once

#include <cstddef>

#include "core/slab/free_list.h"

namespace hakmem {

template <class C>
class Parcel {
  using Slot = typename C::Sync::template Plain<Block<C>*>;

 public:
  static constexpr std::size_t kMost = 31;

  // How many others a block of `bytes` carries.
  static constexpr std::size_t capacity(std::size_t bytes) noexcept {
    if (!C::Mode::kTrustsClient) return 0;
    std::size_t const fit = bytes / sizeof(Slot) - 1;
    return fit < kMost ? fit : kMost;
  }

  Parcel(Block<C>* carrier, std::size_t bytes) noexcept
      : slots_(reinterpret_cast<Slot*>(carrier) + 1), capacity_(capacity(bytes)) {}

  // Packs `count` blocks, next(i) each. Domain: count <= capacity.
  template <class Next>
  void pack(std::size_t count, Next next) noexcept {
    for (std::size_t i = 0; i < count; ++i) slots_[i].set(next(i));
    if (count < capacity_) slots_[count].set(nullptr);
  }

  template <class Act>
  void unpack(Act act) noexcept {
    for (std::size_t i = 0; i < capacity_; ++i) {
      Block<C>* const block = slots_[i].get();
      if (!block) return;
      act(block);
    }
  }

 private:
  Slot* slots_;
  std::size_t capacity_;
};

}  // namespace hakmem
