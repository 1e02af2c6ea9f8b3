// What it owns: what surrounds a live block and fills a free one, written and compared in the fewest
// steps, for that is done on each allocation and each release. What is wrong with a block that is not
// sound, and which neighbour did it, is for damage.h to find out.
// Invariants: reads only blocks of one span, their headers and the tail.
// Thread-safety: any thread, for a block that it holds or whose span cannot go away. A neighbour that
// another thread is changing can make a block seem unsound, never an unsound one sound for good.
#pragma once

#include <algorithm>

#include "hardened/pattern.h"
#include "hardened/seal.h"

namespace hakmem::hardened {

// Of what lies in front of a large block's header, which its alignment makes as long as that: only so much holds
// the pattern, so that a page which nobody needs stays untouched.
inline constexpr std::size_t kLargeGapBytes = 4 * kKiB;

struct Layout {
  std::byte* start;   // of the pattern in front of the header
  std::byte* header;  // the client's start, where there is none
  std::byte* client;
  std::byte* slack;
  std::byte* end;

  bool has_header() const noexcept { return header != client; }
};

[[gnu::always_inline]] inline Layout layout_of(BlockPlace const& place, Facts const& facts) noexcept {
  std::byte* const client = client_of(place, facts);
  std::byte* const header = client == place.start ? client : client - kHeaderBytes;
  bool const far = place.where == BlockPlace::Where::kLarge && header - place.start > std::ptrdiff_t{kLargeGapBytes};
  return {far ? header - kLargeGapBytes : place.start, header, client, client + facts.bytes, place.start + place.bytes};
}

// The slack that faces the block behind.
inline constexpr std::size_t kFacingBytes = 16;

// The slack of an ordinary block that is looked at without a branch.
inline constexpr std::size_t kShortSlack = 32;

// A block of a span whose header is its start: nearly all of them.
[[gnu::always_inline]] inline bool is_ordinary(std::uint64_t record) noexcept {
  return (record >> Facts::kAlignmentShift & 31) == log2_exact(kMinAlignment);
}

// All bits for the word of a live block, else none.
[[gnu::always_inline]] inline std::uint64_t if_live(std::uint64_t record) noexcept {
  return -static_cast<std::uint64_t>(Facts::state_of(record) == BlockState::kLive);
}

// The bits by which the first bytes of a block differ from what goes with its record: a live block's header
// is its word and the seal over it, of a free one only the seal counts. Domain: live and ordinary, or free.
[[gnu::always_inline]] inline std::uint64_t start_differs(std::byte const* start, std::uint64_t record) noexcept {
  std::uint64_t const live = if_live(record);
  Header const header = Header::load(start);
  return (header.seal ^ Header::of_live(record & live, start).seal) | ((header.word ^ record) & live);
}

[[gnu::always_inline]] inline bool next_is_sound(BlockPlace const& next) noexcept {
  std::uint64_t const record = next.record->state.load(std::memory_order_acquire);
  BlockState const state = Facts::state_of(record);
  bool const live = state == BlockState::kLive;
  if ((state == BlockState::kFree) | (live & is_ordinary(record))) [[likely]]
    return start_differs(next.start, record) == 0;
  return !live || holds_pattern(next.start, next.start + kHeaderBytes);
}

[[gnu::always_inline]] inline bool previous_is_sound(BlockPlace const& previous) noexcept {
  std::uint64_t const record = previous.record->state.load(std::memory_order_acquire);
  Facts const facts = Facts::from(record);
  std::size_t const slack = previous.bytes - facts.alignment - facts.bytes;
  std::size_t const facing = slack < kFacingBytes ? slack : kFacingBytes;
  return (differs_before<kFacingBytes>(previous.start + previous.bytes, facing) & if_live(record)) == 0;
}

inline bool itself_is_sound_by_parts(BlockPlace const& place, std::uint64_t record) noexcept {
  Layout const layout = layout_of(place, Facts::from(record));
  if (layout.has_header() && Header::load(layout.header) != Header::of_live(record, layout.header)) return false;
  return holds_pattern(layout.slack, layout.end) && holds_pattern(layout.start, layout.header);
}

// The header and the slack of a live block.
[[gnu::always_inline]] inline bool itself_is_sound(BlockPlace const& place, std::uint64_t record) noexcept {
  if (place.where != BlockPlace::Where::kSmall || !is_ordinary(record)) [[unlikely]]
    return itself_is_sound_by_parts(place, record);
  std::byte const* const end = place.start + place.bytes;
  std::size_t const slack = place.bytes - kMinAlignment - Facts::from(record).bytes;
  std::uint64_t const differs =
      start_differs(place.start, record) | differs_before<kShortSlack>(end, slack < kShortSlack ? slack : kShortSlack);
  return differs == 0 && (slack <= kShortSlack || holds_pattern(end - slack, end - kShortSlack));
}

// The same, and the facing sides of both neighbours.
[[gnu::always_inline]] inline bool live_is_sound(BlockPlace const& place, std::uint64_t record) noexcept {
  std::byte const* const end = place.start + place.bytes;
  if (!itself_is_sound(place, record)) return false;
  if (place.tail) {
    if (!holds_pattern(end, end + kTailBytes)) return false;
  } else if (!place.last && !next_is_sound(place.next())) {
    return false;
  }
  return place.first || previous_is_sound(place.previous());
}

// Of a free block that is not filled whole: so many bytes behind the header and before the end are.
inline constexpr std::size_t kFilledEnd = 64;

// Whether all of a free block holds the pattern; if not, both ends do. Domain: not large.
inline bool is_filled_whole(BlockPlace const& place, std::uint64_t record) noexcept {
  return place.bytes <= kHeaderBytes + 2 * kFilledEnd || (record & Facts::kWhole) != 0;
}

// Domain: not large.
[[gnu::always_inline]] inline bool free_is_sound(BlockPlace const& place, std::uint64_t record) noexcept {
  if (Header::load(place.start).seal != Header::seal_of_free(place.start)) return false;
  std::byte const* const from = place.start + kHeaderBytes;
  std::byte const* const end = place.start + place.bytes;
  if (is_filled_whole(place, record)) return holds_pattern(from, end);
  return (differs_in<kFilledEnd>(from) | differs_in<kFilledEnd>(end - kFilledEnd)) == 0;
}

// Writes what surrounds a live block that was free, with the record `before`, and sound: what holds the
// pattern already stays.
[[gnu::always_inline]] inline void enclose_reused(BlockPlace const& place, std::uint64_t record,
                                                  std::uint64_t before) noexcept {
  Layout const layout = layout_of(place, Facts::from(record));
  if (layout.header != layout.start) [[unlikely]]
    fill_pattern(layout.start, layout.header);
  Header::of_live(record, layout.header).store(layout.header);
  if (!is_filled_whole(place, before)) fill_pattern(layout.slack, layout.end - kFilledEnd);
}

// Fills a free block that is not large, as its record says.
[[gnu::always_inline]] inline void fill_free(BlockPlace const& place, std::uint64_t record) noexcept {
  std::byte* const from = place.start + kHeaderBytes;
  std::byte* const end = place.start + place.bytes;
  if (is_filled_whole(place, record)) {
    fill_pattern(from, end);
  } else {
    std::memset(from, secrets.pattern, kFilledEnd);
    std::memset(end - kFilledEnd, secrets.pattern, kFilledEnd);
  }
  Header{0, Header::seal_of_free(place.start)}.store(place.start);
}

}  // namespace hakmem::hardened
