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

// Whether all of [from, to) is the pattern: its first byte is, and every other one is like the byte
// before it.
inline bool holds_pattern(std::byte const* from, std::byte const* to) noexcept {
  if (from >= to) return true;
  return *from == static_cast<std::byte>(secrets.pattern) &&
         std::memcmp(from, from + 1, static_cast<std::size_t>(to - from) - 1) == 0;
}

// The first byte in [from, to) that differs; null: there is none.
inline std::byte const* find_change(std::byte const* from, std::byte const* to) noexcept {
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
