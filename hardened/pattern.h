// What it owns: filling memory with the pattern and finding the first byte that is not it.
// Thread-safety: pure functions on memory of the caller.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "hardened/entropy.h"

namespace hakmem::hardened {

inline void fill_pattern(std::byte* from, std::byte const* to) noexcept {
  if (from < to) std::memset(from, secrets.pattern(), static_cast<std::size_t>(to - from));
}

// A word of memory against as many bytes of the pattern: the bits that differ.
template <class Word>
inline Word differs_from_pattern(std::byte const* at) noexcept {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return static_cast<Word>(word ^ static_cast<Word>(secrets.pattern_words[0]));
}

using PatternWords = std::uint64_t __attribute__((vector_size(16), may_alias));
inline constexpr std::size_t kWordsBytes = 16;

// The bits of 16 bytes that differ.
[[gnu::always_inline]] inline PatternWords words_differ(std::byte const* at) noexcept {
  PatternWords words;
  std::memcpy(&words, at, sizeof words);
  return words ^ *reinterpret_cast<PatternWords const*>(secrets.pattern_words);
}

// act(offset) for each 16 bytes of so many, one after the other: there is no loop.
template <std::size_t Bytes, class Act>
[[gnu::always_inline]] inline void for_each_words(Act act) noexcept {
  static_assert(Bytes % kWordsBytes == 0);
  [act]<std::size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) { (act(I * kWordsBytes), ...); }
  (std::make_index_sequence<Bytes / kWordsBytes>());
}

// The bits that differ in so many bytes from `from` on.
template <std::size_t Bytes>
[[gnu::always_inline]] inline PatternWords differs_in(std::byte const* from) noexcept {
  PatternWords differs{};
  for_each_words<Bytes>([&differs, from](std::size_t at) { differs |= words_differ(from + at); });
  return differs;
}

// Fills so many bytes.
template <std::size_t Bytes>
[[gnu::always_inline]] inline void fill_words(std::byte* from) noexcept {
  PatternWords const words = *reinterpret_cast<PatternWords const*>(secrets.pattern_words);
  for_each_words<Bytes>([words, from](std::size_t at) { std::memcpy(from + at, &words, sizeof words); });
}

[[gnu::always_inline]] inline bool is_zero(PatternWords words) noexcept { return (words[0] | words[1]) == 0; }

// The bits that differ in the last `bytes` bytes before `end`, without a branch on how many they are.
// Reads all of the Window bytes before `end`. Domain: bytes <= Window.
template <std::size_t Window>
[[gnu::always_inline]] inline PatternWords differs_before(std::byte const* end, std::size_t bytes) noexcept {
  static constexpr auto kMasks = [] {
    std::array<unsigned char, 2 * Window> masks{};
    for (std::size_t i = Window; i < 2 * Window; ++i) masks[i] = 0xff;
    return masks;
  }();
  PatternWords differs{};
  for_each_words<Window>([&differs, end, bytes](std::size_t at) {
    PatternWords mask;
    std::memcpy(&mask, kMasks.data() + bytes + at, sizeof mask);
    differs |= words_differ(end - Window + at) & mask;
  });
  return differs;
}

// Whether all of [from, to) is the pattern. Words overlap at the end, so that no byte is looked at alone;
// much of it is compared with itself one byte further, for the C library does that faster.
inline bool holds_pattern(std::byte const* from, std::byte const* to) noexcept {
  constexpr std::ptrdiff_t kMuch = 96;
  std::ptrdiff_t const bytes = to - from;
  if (bytes >= 8) [[likely]] {
    if (bytes > kMuch)
      return differs_from_pattern<std::uint64_t>(from) == 0 &&
             std::memcmp(from, from + 1, static_cast<std::size_t>(bytes) - 1) == 0;
    std::uint64_t differs = differs_from_pattern<std::uint64_t>(to - 8);
    for (; from < to - 8; from += 8) differs |= differs_from_pattern<std::uint64_t>(from);
    return differs == 0;
  }
  if (bytes >= 4) return (differs_from_pattern<std::uint32_t>(from) | differs_from_pattern<std::uint32_t>(to - 4)) == 0;
  if (bytes <= 0) return true;
  return (differs_from_pattern<std::uint8_t>(from) | differs_from_pattern<std::uint8_t>(from + bytes / 2) |
          differs_from_pattern<std::uint8_t>(to - 1)) == 0;
}

// The same, and to fill, for what begins and ends on 16 bytes and is not empty, as the rest of a free block does.
[[gnu::always_inline]] inline bool stretch_holds_pattern(std::byte const* from, std::byte const* to) noexcept {
  return fixed.stretch.holds(from, to, secrets.pattern());
}
[[gnu::always_inline]] inline void fill_stretch(std::byte* from, std::byte* to) noexcept {
  fixed.stretch.fill(from, to, secrets.pattern());
}

// The first byte in [from, to) that differs; null: there is none.
inline std::byte const* find_change(std::byte const* from, std::byte const* to) noexcept {
  for (; from < to; ++from)
    if (*from != static_cast<std::byte>(secrets.pattern())) return from;
  return nullptr;
}

// The last byte in [from, to) that differs. Domain: there is one.
inline std::byte const* find_last_change(std::byte const* from, std::byte const* to) noexcept {
  while (to > from && *(to - 1) == static_cast<std::byte>(secrets.pattern())) --to;
  return to - 1;
}

}  // namespace hakmem::hardened
