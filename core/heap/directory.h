// What it owns: all heaps, and the hand-over of heaps between threads (invariant R2).
//
//   made -> attached <-> parked        a heap is never destroyed
//
// A thread that ends parks its heap with all its slabs; a new thread adopts a parked heap before
// one is made. A thread that needs a SuperSlab *scavenges*: it takes parked heaps whose inbox is
// not empty, takes in what was freed to them and gives their empty SuperSlabs to the pool.
// Thread-safety: any thread. Who takes a heap off the parked list owns it until it puts it back;
// the lock orders one owner after the other.
#pragma once

#include <cstddef>

#include "core/base/list.h"
#include "core/heap/heap.h"

namespace hakmem {

template <class C>
class HeapDirectory {
 public:
  using Mutex = typename C::template Lock<LockRank::kHeaps>;
  static constexpr unsigned kScavengedAtOnce = 8;

  constexpr HeapDirectory() noexcept = default;

  // A parked heap, most recently parked first, or a new one; null: no memory.
  Heap<C>* attach(Global<C>& global) noexcept {
    {
      Locked guard(lock_);
      if (Heap<C>* const heap = parked_.pop_front()) {
        INVARIANT(heap->parked);
        heap->parked = false;
        --parked_count_;
        return heap;
      }
    }
    void* const memory = global.space.arena().allocate(sizeof(Heap<C>), alignof(Heap<C>));
    if (!memory) return nullptr;
    auto* const heap = ::new (memory) Heap<C>();
    heap->bind(global, *this);
    Locked guard(lock_);
    heap->all_next = all_;
    all_ = heap;
    ++count_;
    return heap;
  }

  void park(Heap<C>* heap) noexcept {
    heap->tidy();
    Locked guard(lock_);
    INVARIANT(!heap->parked);
    heap->parked = true;
    parked_.push_front(heap);
    ++parked_count_;
  }

  // Visits at most `most` parked heaps.
  void scavenge(std::size_t most) noexcept {
    for (std::size_t i = 0; i < most; ++i) {
      Heap<C>* const heap = take_parked_with_mail();
      if (!heap) break;
      heap->tidy();
      Locked guard(lock_);
      heap->parked = true;
      parked_.push_back(heap);
      ++parked_count_;
    }
  }

  template <class Visit>
  void for_each(Visit visit) noexcept {
    Locked guard(lock_);
    for (Heap<C>* heap = all_; heap; heap = heap->all_next) visit(*heap);
  }

  struct Counts {
    std::size_t heaps, parked;
  };
  Counts counts() noexcept {
    Locked guard(lock_);
    return {count_, parked_count_};
  }

  Mutex& lock() noexcept { return lock_; }

 private:
  Heap<C>* take_parked_with_mail() noexcept {
    Locked guard(lock_);
    for (Heap<C>* heap = parked_.first(); heap; heap = heap->next) {
      if (heap->inbox().empty()) continue;
      parked_.remove(heap);
      heap->parked = false;
      --parked_count_;
      return heap;
    }
    return nullptr;
  }

  Mutex lock_;
  List<Heap<C>> parked_;
  Heap<C>* all_ = nullptr;
  std::size_t count_ = 0, parked_count_ = 0;
};

}  // namespace hakmem
