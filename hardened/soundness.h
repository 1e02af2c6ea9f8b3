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

inline bool next_is_sound(BlockPlace const& next) noexcept {
  std::uint64_t const record = next.record->state.load(std::memory_order_acquire);
  Facts const facts = Facts::from(record);
  if (facts.state == BlockState::kFree) return Header::load_seal(next.start) == Header::of(record, next.start).seal;
  if (facts.state != BlockState::kLive) return true;
  if (facts.alignment != kMinAlignment) return holds_pattern(next.start, next.start + kHeaderBytes);
  return Header::load(next.start) == Header::of(record, next.start);
}

inline bool previous_is_sound(BlockPlace const& previous) noexcept {
  Facts const facts = Facts::from(previous.record->state.load(std::memory_order_acquire));
  if (facts.state != BlockState::kLive) return true;
  std::byte const* const end = previous.start + previous.bytes;
  std::size_t const slack = previous.bytes - facts.alignment - facts.bytes;
  return holds_pattern(end - std::min(slack, kFacingBytes), end);
}

// The header and the slack of a live block.
inline bool itself_is_sound(BlockPlace const& place, std::uint64_t record) noexcept {
  Layout const layout = layout_of(place, Facts::from(record));
  if (layout.has_header() && Header::load(layout.header) != Header::of(record, layout.header)) return false;
  return holds_pattern(layout.slack, layout.end) && holds_pattern(layout.start, layout.header);
}

// The same, and the facing sides of both neighbours.
inline bool live_is_sound(BlockPlace const& place, std::uint64_t record) noexcept {
  std::byte const* const end = place.start + place.bytes;
  if (!itself_is_sound(place, record)) return false;
  if (place.tail) {
    if (!holds_pattern(end, end + kTailBytes)) return false;
  } else if (!place.last && !next_is_sound(place.next())) {
    return false;
  }
  return place.first || previous_is_sound(place.previous());
}

// What is filled of a free block: so many bytes behind the header and before the end, which may meet, or all.
inline constexpr std::size_t kFilledEnd = 64;
// All of a shorter block always is: up to three times 16 bytes, of which two may be the same.
[[gnu::always_inline]] inline bool is_short(BlockPlace const& place) noexcept {
  return place.bytes < kHeaderBytes + kFilledEnd;
}
[[gnu::always_inline]] inline std::byte* middle_of_short(BlockPlace const& place) noexcept {
  return place.start + kHeaderBytes + (place.bytes > kHeaderBytes + 2 * kWordsBytes ? kWordsBytes : 0);
}

// Whether all of a free block holds the pattern; if not, both ends do. Domain: not large.
inline bool is_filled_whole(BlockPlace const& place, std::uint64_t record) noexcept {
  return place.bytes <= kHeaderBytes + 2 * kFilledEnd || (record & Facts::kWhole) != 0;
}

// Domain: not large.
[[gnu::always_inline]] inline bool free_is_sound(BlockPlace const& place, std::uint64_t record) noexcept {
  if (Header::load_seal(place.start) != Header::of(record, place.start).seal) [[unlikely]]
    return false;
  std::byte const* const from = place.start + kHeaderBytes;
  std::byte const* const end = place.start + place.bytes;
  if (is_short(place))
    return is_zero(words_differ(from) | words_differ(middle_of_short(place)) | words_differ(end - kWordsBytes));
  if ((record & Facts::kWhole) != 0) [[unlikely]]
    return stretch_holds_pattern(from, end);
  return is_zero(differs_in<kFilledEnd>(from) | differs_in<kFilledEnd>(end - kFilledEnd));
}

// What is filled of every free block.
[[gnu::always_inline]] inline void fill_ends(BlockPlace const& place) noexcept {
  std::byte* const from = place.start + kHeaderBytes;
  std::byte* const end = place.start + place.bytes;
  if (is_short(place)) {
    fill_words<kWordsBytes>(from);
    fill_words<kWordsBytes>(middle_of_short(place));
    fill_words<kWordsBytes>(end - kWordsBytes);
  } else {
    fill_words<kFilledEnd>(from);
    fill_words<kFilledEnd>(end - kFilledEnd);
  }
}

// Writes what surrounds a live block that was free, with the record `before`, and sound: what holds the
// pattern already stays.
[[gnu::always_inline]] inline void enclose_reused(BlockPlace const& place, std::uint64_t record,
                                                  std::uint64_t before) noexcept {
  Layout const layout = layout_of(place, Facts::from(record));
  if (layout.header != layout.start) [[unlikely]]
    fill_pattern(layout.start, layout.header);
  Header::of(record, layout.header).store(layout.header);
  std::byte* const filled = layout.end - kFilledEnd;
  if (layout.slack < filled && (before & Facts::kWhole) == 0) [[unlikely]]
    fill_pattern(layout.slack, filled);
}

// Fills a free block that is not large, as its record says.
[[gnu::always_inline]] inline void fill_free(BlockPlace const& place, std::uint64_t record) noexcept {
  if (!is_short(place) && (record & Facts::kWhole) != 0) [[unlikely]]
    fill_stretch(place.start + kHeaderBytes, place.start + place.bytes);
  else
    fill_ends(place);
  Header{0, Header::of(record, place.start).seal}.store(place.start);
}

}  // namespace hakmem::hardened
