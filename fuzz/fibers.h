// What it owns: logical threads as fibers of one thread, switched only where the program under test touches an atomic
// or waits, so that an input decides the schedule; and the Sync policy and operating system that make it so.
// Invariants: one fiber runs at a time; a schedule is a function of the input.
// Thread-safety: one thread.
#pragma once

#include <ucontext.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "core/base/atomic.h"
#include "property_tests/faulty_os.h"

namespace hakmem::fuzz {

class Fibers {
 public:
  // Runs all bodies to their end, the first one first. Rethrows what the first failing one threw.
  static void run(std::vector<std::function<void()>> bodies);

  // The running fiber hands over to fiber number `to` at the `steps`-th switch point from now on; 0: never.
  static void switch_after(unsigned steps, unsigned to);
  // A switch point: before each atomic access.
  static void step();
  // The running fiber cannot go on before another one did something.
  static void wait();

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
struct FiberOs : testing::FaultyLinux {
  static void wait(FiberAtomic<std::uint32_t>&, std::uint32_t) noexcept { Fibers::wait(); }
  static void wait(std::atomic<std::uint32_t>&, std::uint32_t) noexcept { Fibers::wait(); }
  static void wait_for(FiberAtomic<std::uint32_t>&, std::uint32_t, std::uint64_t) noexcept { Fibers::wait(); }
  static void wait_for(std::atomic<std::uint32_t>&, std::uint32_t, std::uint64_t) noexcept { Fibers::wait(); }
  static void wake_one(FiberAtomic<std::uint32_t>&) noexcept {}
  static void wake_one(std::atomic<std::uint32_t>&) noexcept {}
  static void relax() noexcept { Fibers::wait(); }
};
static_assert(OperatingSystem<FiberOs>);

}  // namespace hakmem::fuzz
