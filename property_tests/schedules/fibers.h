// What it owns: logical threads as fibers of one thread, switched only where the program under test touches an atomic
// or waits, so that a scheduler decides who goes on; and the Sync policy and operating system that make it so.
// Invariants: one fiber runs at a time; what happens is a function of the scheduler's choices.
// Thread-safety: one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/base/atomic.h"
#include "property_tests/faulty_os.h"

namespace hakmem::testing {

// The fibers that can go on, as a bit set.
using Ready = std::uint32_t;

// Decides who goes on. It is asked at each switch point and must name a fiber of `ready`.
class Scheduler {
 public:
  enum class Point {
    kStart,  // nobody ran yet
    kStep,   // before an atomic access of `current`, which is ready as well
    kWait,   // `current` cannot go on before another one did something
    kEnd,    // `current` came to its end
  };
  virtual ~Scheduler() = default;
  virtual unsigned choose(Point point, unsigned current, Ready ready) = 0;
};

// The first of `ready` from fiber `from` on, in turn.
unsigned in_turn(Ready ready, unsigned from);

class Fibers {
 public:
  // Runs all bodies to their end. Rethrows what the first failing one threw; a wait for nothing is a Violation
  // too, after which what the bodies worked on is not to be touched.
  static void run(std::vector<std::function<void()>> bodies, Scheduler& scheduler);

  static void step();
  static void wait();

  // Calls act(). Where it ends by a signal, or not in 20 seconds, that is a Violation; it is left where it was.
  static void guarded(std::function<void()> const& act);
  // In a forked child: what goes on is no fiber any more.
  static void forget();

  // Plants a bug: an atomic exchange is a read and a write, with a switch point between them.
  static inline bool torn_exchange = false;
};

// protocol: one thread; every access is a switch point, the order of switches is the order of all accesses.
template <class T>
class FiberAtomic {
 public:
  constexpr FiberAtomic() noexcept = default;
  constexpr FiberAtomic(T value) noexcept : value_(value) {}

  T load(std::memory_order = std::memory_order_seq_cst) const noexcept {
    Fibers::step();
    return value_;
  }
  void store(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    Fibers::step();
    value_ = value;
  }
  T exchange(T value, std::memory_order = std::memory_order_seq_cst) noexcept {
    Fibers::step();
    T const before = value_;
    if (Fibers::torn_exchange) Fibers::step();
    value_ = value;
    return before;
  }
  bool compare_exchange_strong(T& expected, T wanted, std::memory_order, std::memory_order) noexcept {
    Fibers::step();
    T const before = value_;
    bool const equal = before == expected;
    (equal ? value_ : expected) = equal ? wanted : before;
    return equal;
  }
  bool compare_exchange_weak(T& expected, T wanted, std::memory_order success, std::memory_order failure) noexcept {
    return compare_exchange_strong(expected, wanted, success, failure);
  }
  bool compare_exchange_weak(T& expected, T wanted, std::memory_order order) noexcept {
    return compare_exchange_strong(expected, wanted, order, order);
  }
  bool compare_exchange_strong(T& expected, T wanted, std::memory_order order) noexcept {
    return compare_exchange_strong(expected, wanted, order, order);
  }
  T fetch_add(T value, std::memory_order) noexcept {
    return change([value](T before) { return static_cast<T>(before + value); });
  }
  T fetch_sub(T value, std::memory_order) noexcept {
    return change([value](T before) { return static_cast<T>(before - value); });
  }
  T fetch_or(T value, std::memory_order) noexcept {
    return change([value](T before) { return static_cast<T>(before | value); });
  }
  T fetch_and(T value, std::memory_order) noexcept {
    return change([value](T before) { return static_cast<T>(before & value); });
  }

 private:
  template <class Act>
  T change(Act act) noexcept {
    Fibers::step();
    T const before = value_;
    value_ = act(before);
    return before;
  }
  T value_{};
};

struct FiberSync {
  template <class T>
  using Atomic = FiberAtomic<T>;
  template <class T>
  using Plain = StdSync::Plain<T>;
};

// The failing system over the real one, on which waiting is a matter of fibers.
struct FiberOs : FaultyLinux {
  static void wait(FiberAtomic<std::uint32_t>&, std::uint32_t) noexcept { Fibers::wait(); }
  static void wait(std::atomic<std::uint32_t>&, std::uint32_t) noexcept { Fibers::wait(); }
  static void wait_for(FiberAtomic<std::uint32_t>&, std::uint32_t, std::uint64_t) noexcept { Fibers::wait(); }
  static void wait_for(std::atomic<std::uint32_t>&, std::uint32_t, std::uint64_t) noexcept { Fibers::wait(); }
  static void wake_one(FiberAtomic<std::uint32_t>&) noexcept {}
  static void wake_one(std::atomic<std::uint32_t>&) noexcept {}
  static void relax() noexcept { Fibers::wait(); }
};
static_assert(OperatingSystem<FiberOs>);

}  // namespace hakmem::testing
