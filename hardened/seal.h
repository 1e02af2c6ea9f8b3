// What it owns: what is known of a block - out of line in its record, and again in the 16 bytes in
// front of what the client gets, under a keyed checksum.
//
//   block   [ gap ][ header ][ client's bytes ][ slack ]
//   header  word 0: the record's state word; word 1: seal over it and the address
//   a free block starts with: word 0: its link; word 1: the seal over its record's word and the address
// A block at the very start of its mapping has no header: a guard page is in its place.
// gap (aligned blocks only), slack and the rest of a free block hold the pattern.
// Thread-safety: pure functions and reads of the secrets.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/base/kernels.h"
#include "core/mode/mode.h"
#include "hardened/entropy.h"

namespace hakmem::hardened {

inline constexpr std::size_t kHeaderBytes = 16;
// Behind the last block of a span.
inline constexpr std::size_t kTailBytes = 16;

// kBusy: a thread changes it from free to live or back; nobody else looks at the block.
enum class BlockState : std::uint8_t { kNever = 0, kLive = 1, kFree = 2, kBusy = 3 };

// The state word of a record, unpacked. A free block's tells what it was.
//   bits  0-47 bytes   48-52 log2 of the alignment   53-55 kind   56-57 state   58 left or whole
//   bits 59-63 generation
struct Facts {
  std::size_t bytes = 0;  // requested
  std::size_t alignment = kMinAlignment;
  AllocationKind kind = AllocationKind::kMalloc;
  BlockState state = BlockState::kNever;
  bool left = false;  // in a mapping of its own: at its start, not at its end
  // The same bit of a free block of a span, kWhole: it holds the pattern throughout, not at its ends alone.
  std::uint8_t generation = 0;  // so that a word that comes back is not taken for one that stayed

  static constexpr unsigned kAlignmentShift = 48, kKindShift = 53, kStateShift = 56, kLeftShift = 58;
  static constexpr unsigned kGenerationShift = 59;
  static constexpr std::uint64_t kBytesMask = (std::uint64_t{1} << kAlignmentShift) - 1;
  static constexpr std::uint64_t kAlignmentMask = std::uint64_t{31} << kAlignmentShift;
  static constexpr std::uint64_t kKindMask = std::uint64_t{7} << kKindShift;
  static constexpr std::uint64_t kStateMask = std::uint64_t{3} << kStateShift;
  static constexpr std::uint64_t kWhole = std::uint64_t{1} << kLeftShift;

  [[gnu::always_inline]] static constexpr Facts from(std::uint64_t word) noexcept {
    Facts facts;
    facts.bytes = word & kBytesMask;
    facts.alignment = std::size_t{1} << (word >> kAlignmentShift & 31);
    facts.kind = static_cast<AllocationKind>(word >> kKindShift & 7);
    facts.state = state_of(word);
    facts.left = (word >> kLeftShift & 1) != 0;
    facts.generation = static_cast<std::uint8_t>(word >> kGenerationShift);
    return facts;
  }

  [[gnu::always_inline]] constexpr std::uint64_t word() const noexcept {
    return bytes | static_cast<std::uint64_t>(std::countr_zero(alignment)) << kAlignmentShift |
           static_cast<std::uint64_t>(kind) << kKindShift | static_cast<std::uint64_t>(state) << kStateShift |
           std::uint64_t{left} << kLeftShift | std::uint64_t{generation} << kGenerationShift;
  }

  [[gnu::always_inline]] static constexpr BlockState state_of(std::uint64_t word) noexcept {
    return static_cast<BlockState>(word >> kStateShift & 3);
  }
  // The word of the same block in another state.
  [[gnu::always_inline]] static constexpr std::uint64_t in_state(std::uint64_t word, BlockState next) noexcept {
    return (word & ~(std::uint64_t{3} << kStateShift)) | static_cast<std::uint64_t>(next) << kStateShift;
  }
  // The generation after that of `word`.
  static std::uint8_t generation_after(std::uint64_t word) noexcept {
    return static_cast<std::uint8_t>((word >> kGenerationShift) + 1) & 31;
  }
};

// What the client gets of a block: behind the header, or, in a mapping of its own, as far to the
// right as its alignment allows, or to the left.
inline std::byte* client_of(BlockPlace const& place, Facts const& facts) noexcept {
  if (place.where != BlockPlace::Where::kLarge) return place.start + facts.alignment;
  auto const start = reinterpret_cast<std::uintptr_t>(place.start);
  return reinterpret_cast<std::byte*>(facts.left
                                          ? kernels::align_up(start, facts.alignment)
                                          : kernels::align_down(start + place.bytes - facts.bytes, facts.alignment));
}

// Two words, read and written whole: other threads look at their neighbours' headers.
struct Header {
  std::uint64_t word;
  std::uint64_t seal;
  bool operator==(Header const&) const = default;

  // Set in every seal: a byte of text or a zero that is written over one is always found.
  static constexpr std::uint64_t kNeitherTextNorZero = 0x8080808080808080;

  static std::uint64_t load_word(std::byte const* place) noexcept {
    return *reinterpret_cast<std::uint64_t const volatile*>(place);
  }
  static std::uint64_t load_seal(std::byte const* place) noexcept { return load_word(place + sizeof(std::uint64_t)); }
  static Header load(std::byte const* place) noexcept { return {load_word(place), load_seal(place)}; }
  void store(std::byte* place) const noexcept {
    auto* const words = reinterpret_cast<std::uint64_t volatile*>(place);
    words[0] = word;
    words[1] = seal;
  }

  static Header of(std::uint64_t word, std::byte const* place) noexcept {
    std::uint64_t const seal =
        mix(word ^ secrets.seal_keys[0], reinterpret_cast<std::uintptr_t>(place) ^ secrets.seal_keys[1]);
    return {word, seal | kNeitherTextNorZero};
  }
};

// Links of free blocks: the address in 44 bits, hidden, and a tag of 20 bits that depends on it, on
// the place and on a secret. A link that was overwritten passes once in a million tries.
struct SealedLinks {
  static void* encode(void* next, void* place) noexcept {
    std::uint64_t const units = reinterpret_cast<std::uintptr_t>(next) / kMinAlignment;
    return reinterpret_cast<void*>((units | tag_of(units, place)) ^ veil(place));
  }
  static void* decode(void* stored, void* place) noexcept {
    std::uint64_t const word = reinterpret_cast<std::uintptr_t>(stored) ^ veil(place);
    std::uint64_t const units = word & kUnitsMask;
    if ((word & ~kUnitsMask) != tag_of(units, place)) [[unlikely]]
      return broken_link(place);
    return reinterpret_cast<void*>(units * kMinAlignment);
  }

 private:
  static constexpr std::uint64_t kUnitsMask = (std::uint64_t{1} << 44) - 1;
  static std::uint64_t veil(void* place) noexcept {
    return mix(reinterpret_cast<std::uintptr_t>(place), secrets.link_key);
  }
  static std::uint64_t tag_of(std::uint64_t units, void* place) noexcept {
    return mix(units ^ secrets.link_key, reinterpret_cast<std::uintptr_t>(place) | 1) & ~kUnitsMask;
  }
  // Reports, and ends the list there: the blocks behind it are lost.
  static void* broken_link(void* place) noexcept;
};

}  // namespace hakmem::hardened
