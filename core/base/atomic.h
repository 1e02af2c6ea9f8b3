// What it owns: the Sync policy - which atomics the concurrent code is built on. The library uses
// StdSync; the model checker instantiates the same headers with its own atomics.
#pragma once

#include <atomic>

namespace hakmem {

// StdSync::Atomic<T> is std::atomic<T>. StdSync::Plain<T> is memory that a protocol hands from
// one thread to another without being atomic itself; the model checker watches it for races.
struct StdSync {
  template <class T>
  using Atomic = std::atomic<T>;

  template <class T>
  class Plain {
   public:
    constexpr Plain() noexcept = default;
    constexpr explicit Plain(T value) noexcept : value_(value) {}
    constexpr T get() const noexcept { return value_; }
    constexpr void set(T value) noexcept { value_ = value; }

   private:
    T value_{};
  };
};

}  // namespace hakmem
