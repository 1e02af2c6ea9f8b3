// What it owns: where secrets come from, and random numbers.
// Invariants: with a seed every number depends only on the seed, on how many threads asked before this one and
// on how often this one asked.
// Thread-safety: start_entropy() once; everything else any thread.
#pragma once

#include <cstdint>

#include "hardened/fixed.h"
#include "hardened/own_thread.h"

namespace hakmem::hardened {

// Draws the secrets: from the kernel, or all from `seed` when it is not 0.
void start_entropy(std::uint64_t seed) noexcept;

// Both halves of the product folded: every bit of the result depends on every bit of both words.
inline std::uint64_t mix(std::uint64_t left, std::uint64_t right) noexcept {
  unsigned __int128 const product = static_cast<unsigned __int128>(left) * right;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// Two streams of random numbers, each with a state in `own`: what a state starts from is mixed with this.
inline constexpr std::uint64_t kOwnStream = 0xd6e8feb86659fd93, kLeavingStream = 0x9fb21c651e98df25;

// A linear congruential step, with the constants of Knuth's MMIX: of the result, the upper half counts.
[[gnu::always_inline]] inline std::uint64_t next_random(std::uint64_t& state, std::uint64_t stream) noexcept {
  if (state == 0) [[unlikely]]
    state = mix(secrets.random_key ^ thread_number(), stream);
  return state = state * 6364136223846793005u + 1442695040888963407u;
}
inline std::uint64_t next_random() noexcept { return next_random(own.random, kOwnStream); }

// 0 <= result < bound.
[[gnu::always_inline]] inline std::uint32_t below(std::uint32_t bound, std::uint64_t random) noexcept {
  return static_cast<std::uint32_t>((random >> 32) * bound >> 32);
}
inline std::uint32_t random_below(std::uint32_t bound) noexcept { return below(bound, next_random()); }

}  // namespace hakmem::hardened
