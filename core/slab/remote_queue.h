// What it owns: the inbox of a heap - blocks that other threads freed (invariant R1: each reaches
// its owner's lists exactly once).
// Thread-safety: any thread pushes; one thread at a time, the heap's owner, takes.
#pragma once

#include <atomic>

#include "core/slab/free_list.h"

namespace hakmem {

template <class C>
class RemoteQueue {
 public:
  constexpr RemoteQueue() noexcept = default;

  // Adds a non-empty chain: one atomic operation for the whole batch.
  void push(BlockChain<C> chain) noexcept {
    Block<C>* head = head_.load(std::memory_order_relaxed);
    do {
      chain.last->set_next(head);
    } while (!head_.compare_exchange_weak(head, chain.first, std::memory_order_release, std::memory_order_relaxed));
  }

  // Takes everything, linked by `next`; null when there is nothing.
  Block<C>* take_all() noexcept {
    if (head_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    return head_.exchange(nullptr, std::memory_order_acquire);
  }

  bool empty() const noexcept { return head_.load(std::memory_order_relaxed) == nullptr; }

 private:
  // protocol: freeing threads write (release: the links of the chain and the client's last use of
  // the blocks come before), the owner takes (acquire: it sees both). Weaker loses the links;
  // stronger is not needed, as nothing else is ordered by it. The owner never pops single blocks,
  // so there is no ABA. Refuted by: the remote-queue model.
  typename C::template Atomic<Block<C>*> head_{nullptr};
};

}  // namespace hakmem
