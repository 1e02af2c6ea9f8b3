// What it owns: the flag of what is done once, by whichever thread comes first.
// Invariants: the work runs once; whoever returns from run() sees all that it wrote.
// Thread-safety: that is the point.
#pragma once

#include <atomic>

#include "core/base/lock.h"

namespace hakmem {

// All zero while nothing was done, so that a global needs no initialisation. A fork while the work
// runs would leave the lock held in the child: for work that ends before there is a second thread.
template <class Sync, class Os, LockRank kRank>
class Once {
 public:
  constexpr Once() noexcept = default;
  Once(Once const&) = delete;
  Once& operator=(Once const&) = delete;

  // Runs `work` unless that was done; waits while another thread does it. True: this call ran it.
  template <class Work>
  bool run(Work work) noexcept {
    if (done_.load(std::memory_order_acquire)) [[likely]]
      return false;
    Locked guard(lock_);
    if (done_.load(std::memory_order_relaxed)) return false;
    work();
    done_.store(true, std::memory_order_release);
    return true;
  }

 private:
  Lock<Sync, Os, kRank> lock_;
  // protocol: set once, under lock_, when the work is done; release and acquire publish what it wrote.
  typename Sync::template Atomic<bool> done_{false};
};

}  // namespace hakmem
