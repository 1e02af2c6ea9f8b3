// What it owns: the one lock of the library, and the order in which locks may be held together.
// Invariants: a thread takes locks in increasing rank only; no lock is held across a system call
// that maps, unmaps or purges memory.
// Thread-safety: that is the point.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/check.h"

namespace hakmem {

// Lock order. A thread that holds rank r may take only ranks above r.
enum class LockRank : std::uint8_t {
  kStart = 1,  // the first call of the process
  kHeaps,      // parked heaps and the list of all heaps
  kPurge,      // waited for only by trimming, statistics and fork
  kPool,       // warm and cold SuperSlabs
  kLarge,      // cached large blocks
  kGuardedUnits,
  kSuperSlabDescriptors,
  kLargeDescriptors,
  kGuardedUnitDescriptors,
  kMetadata,   // storage for descriptors
  kLeftovers,  // ranges that the kernel refused to unmap
  kFaults,     // who hears of memory faults
};

// The ranks this thread holds, as a bit set; kept only where HAKMEM_CHECKS is 1.
inline thread_local std::uint32_t held_lock_ranks = 0;

// A mutex of one word: 0 free, 1 held, 2 held and waited for. Waiting is the OS layer's
// (`Os::wait`, `Os::wake_one`), so that it works before libc is initialised and in signal-safe
// code. All zero when free, so that a global allocator needs no initialisation.
template <class Sync, class Os, LockRank kRank>
class Lock {
 public:
  constexpr Lock() noexcept = default;
  Lock(Lock const&) = delete;
  Lock& operator=(Lock const&) = delete;

  void lock() noexcept {
    note_taking();
    std::uint32_t expected = kFree;
    if (!word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire, std::memory_order_relaxed))
      lock_slow();
  }

  bool try_lock() noexcept {
    std::uint32_t expected = kFree;
    if (!word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire, std::memory_order_relaxed))
      return false;
    note_taking();
    return true;
  }

  void unlock() noexcept {
    note_releasing();
    if (word_.exchange(kFree, std::memory_order_release) == kWaited) Os::wake_one(word_);
  }

  // In a forked child, where the threads that waited do not exist.
  void reset_in_child() noexcept {
    note_releasing();
    word_.store(kFree, std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint32_t kFree = 0, kHeld = 1, kWaited = 2;
  static constexpr int kSpins = 64;

  void lock_slow() noexcept {
    for (int spin = 0; spin < kSpins; ++spin) {
      Os::relax();
      std::uint32_t expected = kFree;
      if (word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) return;
    }
    while (word_.exchange(kWaited, std::memory_order_acquire) != kFree) Os::wait(word_, kWaited);
  }

  static constexpr std::uint32_t kRankBit = std::uint32_t{1} << static_cast<unsigned>(kRank);

  void note_taking() noexcept {
    INVARIANT(held_lock_ranks < kRankBit);
    if constexpr (kChecks) held_lock_ranks |= kRankBit;
  }
  void note_releasing() noexcept {
    INVARIANT((held_lock_ranks & kRankBit) != 0);
    if constexpr (kChecks) held_lock_ranks &= ~kRankBit;
  }

  // protocol: any thread; acquire on taking and release on leaving publish what the lock guards.
  typename Sync::template Atomic<std::uint32_t> word_{kFree};
};

// Holds a lock for a scope.
template <class LockType>
class Locked {
 public:
  explicit Locked(LockType& lock) noexcept : lock_(lock) { lock_.lock(); }
  ~Locked() { lock_.unlock(); }
  Locked(Locked const&) = delete;
  Locked& operator=(Locked const&) = delete;

 private:
  LockType& lock_;
};

}  // namespace hakmem
