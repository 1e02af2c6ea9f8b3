// What it owns: where secrets come from, and random numbers.
// Invariants: with a seed every number depends only on the seed, on how many threads asked before this one and
// on how often this one asked.
// Thread-safety: start_entropy() once; everything else any thread.
#pragma once

#include <cstdint>

#include "hardened/fixed.h"

namespace hakmem::hardened {

// Draws the secrets: from the kernel, or all from `seed` when it is not 0.
void start_entropy(std::uint64_t seed) noexcept;

// Both halves of the product folded: every bit of the result depends on every bit of both words.
inline std::uint64_t mix(std::uint64_t left, std::uint64_t right) noexcept {
  unsigned __int128 const product = static_cast<unsigned __int128>(left) * right;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// Of the calling thread: its number, 0 before it asked; the state of its random numbers, likewise.
inline constinit thread_local std::uint32_t own_number = 0;
inline constinit thread_local std::uint64_t own_state = 0;
std::uint32_t number_thread() noexcept;

// Threads in the order in which they first called, from 1.
inline std::uint32_t thread_number() noexcept { return own_number != 0 ? own_number : number_thread(); }

inline std::uint64_t next_random() noexcept {
  std::uint64_t state = own_state;
  if (state == 0) [[unlikely]]
    state = mix(secrets.random_key ^ thread_number(), 0xd6e8feb86659fd93) | 1;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return own_state = state;
}

// 0 <= result < bound.
inline std::uint32_t random_below(std::uint32_t bound) noexcept {
  return static_cast<std::uint32_t>(((next_random() >> 32) * bound) >> 32);
}

}  // namespace hakmem::hardened
