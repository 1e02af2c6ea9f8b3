// What it owns: the link inside a free block, and chains of free blocks that travel between
// threads.
// Invariants: only a free block has a link; a chain's last link is null.
// Thread-safety: none here; a chain belongs to one thread at a time.
#pragma once

#include <cstddef>

namespace hakmem {

// A free block: its first word is the link to the next one, stored as the mode's codec wants it
// and in the synchronisation policy's `Plain`, so that the model checker sees every access.
template <class C>
class Block {
 public:
  Block* next() const noexcept {
    return static_cast<Block*>(C::Mode::Links::decode(link_.get(), const_cast<Block*>(this)));
  }
  void set_next(Block* next) noexcept { link_.set(C::Mode::Links::encode(next, this)); }

 private:
  typename C::Sync::template Plain<void*> link_;
};

// Blocks linked for one destination, with both ends known so that a batch is spliced in O(1).
template <class C>
struct BlockChain {
  Block<C>* first = nullptr;
  Block<C>* last = nullptr;

  bool empty() const noexcept { return first == nullptr; }

  void push(Block<C>* block) noexcept {
    block->set_next(first);
    if (!first) last = block;
    first = block;
  }

  void append(Block<C>* block) noexcept {
    block->set_next(nullptr);
    if (first)
      last->set_next(block);
    else
      first = block;
    last = block;
  }
};

}  // namespace hakmem
