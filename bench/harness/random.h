// What it owns: the random numbers of the benchmarks (splitmix64: counter based, so that a draw
// does not wait for the one before). The same seed gives the same operations for every allocator.
// Thread-safety: none; each thread has its own.
#pragma once

#include <cstdint>

namespace hakmem::bench {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t mixed = state_ += 0x9E3779B97F4A7C15U;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBU;
    return mixed ^ (mixed >> 31);
  }

  // Uniform in [0, bound) up to 2^-32, without a division.
  std::uint32_t below(std::uint32_t bound) { return scale(next(), bound); }

  // Maps the low half of a draw to [0, bound); the high half stays free for a second decision.
  static std::uint32_t scale(std::uint64_t draw, std::uint32_t bound) {
    return static_cast<std::uint32_t>(((draw & 0xFFFFFFFFU) * bound) >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace hakmem::bench
