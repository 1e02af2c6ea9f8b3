// What it owns: threads that allocate, exchange and free blocks which carry a proof of their
// contents, for tests that have no shared model.
// Thread-safety: each Worker is one thread's; the exchange is shared.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <type_traits>

#include "property_tests/model/allocators.h"
#include "property_tests/model/build_kind.h"

namespace hakmem::testing {

// What checks its client where threads are real. The checked build looks at neighbours that other threads write, and
// believes only what stays the same: the thread sanitizer would report each look.
using ThreadedMode = std::conditional_t<kThreadSanitizer, ProbeMode, HardenedMode>;

// At both ends of a block: its size and a key made of its address.
struct Seal {
  std::uint64_t bytes = 0;
  std::uint64_t key = 0;
  static Seal of(void const* block, std::size_t bytes) {
    return {bytes, reinterpret_cast<std::uintptr_t>(block) * 0x9e37'79b9'7f4a'7c15u + bytes};
  }
};
inline void seal(void* block, std::size_t bytes) {
  Seal const mark = Seal::of(block, bytes);
  std::memcpy(block, &mark, sizeof mark);
  std::memcpy(static_cast<std::byte*>(block) + bytes - sizeof mark, &mark, sizeof mark);
}
inline bool sealed(void const* block) {
  Seal front, back;
  std::memcpy(&front, block, sizeof front);
  if (front.bytes > 16 * kMiB || front.key != Seal::of(block, front.bytes).key) return false;
  std::memcpy(&back, static_cast<std::byte const*>(block) + front.bytes - sizeof back, sizeof back);
  return back.bytes == front.bytes && back.key == front.key;
}

// Slots through which threads pass blocks to each other.
class Exchange {
 public:
  void* swap(std::uint64_t where, void* block) {
    return slots_[where % kSlots].exchange(block, std::memory_order_acq_rel);
  }
  template <class Visit>
  void drain(Visit visit) {
    for (auto& slot : slots_)
      if (void* const block = slot.exchange(nullptr, std::memory_order_acq_rel)) visit(block);
  }

 private:
  static constexpr std::size_t kSlots = 512;
  std::atomic<void*> slots_[kSlots]{};
};

// `heap` may be the unattached one for a worker that only frees. Allocates nothing but what it tests, for it works in
// children of a fork as well, where a sanitizer's own allocator may be locked for ever.
template <class A>
class Worker {
 public:
  using Heap = typename A::Heap;

  Worker(A& allocator, Heap* heap, Exchange& exchange, std::uint64_t seed)
      : allocator_(allocator), heap_(heap), exchange_(exchange), random_(seed) {}

  // Allocates, and passes `percent` of the blocks on; frees what it gets and what it keeps.
  void churn(unsigned steps, unsigned percent) {
    for (unsigned step = 0; step < steps; ++step) {
      void* const block = allocate();
      if (random_.below(100) < percent) {
        release(exchange_.swap(random_.next(), block));
      } else {
        void*& slot = mine_[random_.below(mine_.size())];
        release(slot);
        slot = block;
      }
    }
  }
  void finish() {
    for (void*& block : mine_) {
      release(block);
      block = nullptr;
    }
  }

  void* allocate() {
    std::size_t const bytes = random_.one_in(2000)  ? 2 * kMiB + random_.below(kMiB)
                              : random_.one_in(200) ? 32 + random_.below(kMiB)
                                                    : 32 + random_.below(1009);
    void* const block = allocator_.allocate(heap_, bytes);
    if (block) seal(block, bytes);
    return block;
  }
  void release(void* block) {
    if (!block) return;
    if (!sealed(block)) ++broken;
    allocator_.release(heap_, block);
  }

  unsigned broken = 0;

 private:
  A& allocator_;
  Heap* heap_;
  Exchange& exchange_;
  Random random_;
  std::array<void*, 256> mine_{};
};

}  // namespace hakmem::testing
