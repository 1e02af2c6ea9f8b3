// What it owns: filling memory with the pattern and finding the first byte that is not it.
// Thread-safety: pure functions on memory of the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hardened/entropy.h"

namespace hakmem::hardened {

inline void fill_pattern(std::byte* from, std::byte const* to) noexcept {
  if (from < to) std::memset(from, secrets.pattern, static_cast<std::size_t>(to - from));
}

namespace pattern_detail {
using Wide [[gnu::vector_size(16)]] = std::uint64_t;

inline Wide load(std::byte const* from) noexcept {
  Wide wide;
  std::memcpy(&wide, from, sizeof wide);
  return wide;
}
inline bool any(Wide bits) noexcept { return (bits[0] | bits[1]) != 0; }
}  // namespace pattern_detail

// The first byte in [from, to) that differs; null: there is none.
inline std::byte const* find_change(std::byte const* from, std::byte const* to) noexcept {
  using pattern_detail::load;
  using pattern_detail::Wide;
  std::uint64_t const word = secrets.pattern * 0x0101010101010101u;
  Wide const expected{word, word};
  for (; to - from >= 64; from += 64) {
    Wide const left = (load(from) ^ expected) | (load(from + 16) ^ expected);
    Wide const right = (load(from + 32) ^ expected) | (load(from + 48) ^ expected);
    if (pattern_detail::any(left | right)) [[unlikely]]
      break;
  }
  for (; to - from >= 16; from += 16)
    if (pattern_detail::any(load(from) ^ expected)) break;
  for (; from < to; ++from)
    if (*from != static_cast<std::byte>(secrets.pattern)) return from;
  return nullptr;
}

// The last byte in [from, to) that differs. Domain: there is one.
inline std::byte const* find_last_change(std::byte const* from, std::byte const* to) noexcept {
  while (to > from && *(to - 1) == static_cast<std::byte>(secrets.pattern)) --to;
  return to - 1;
}

}  // namespace hakmem::hardened
