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

struct Layout {
  std::byte* start;
  std::byte* header;  // the client's start, where there is none
  std::byte* client;
  std::byte* slack;
  std::byte* end;

  bool has_header() const noexcept { return header != client; }
};

[[gnu::always_inline]] inline Layout layout_of(BlockPlace const& place, Facts const& facts) noexcept {
  std::byte* const client = client_of(place, facts);
  std::byte* const header = client == place.start ? client : client - kHeaderBytes;
  return {place.start, header, client, client + facts.bytes, place.start + place.bytes};
}

// The slack that faces the block behind.
inline constexpr std::ptrdiff_t kFacingBytes = 16;

[[gnu::always_inline]] inline bool faces_next_soundly(BlockPlace const& place) noexcept {
  std::uint64_t const word = place.record->state.load(std::memory_order_acquire);
  Facts const facts = Facts::from(word);
  if (facts.state != BlockState::kLive) return true;
  std::byte const* const end = place.start + place.bytes;
  std::ptrdiff_t const slack = end - (place.start + facts.alignment + facts.bytes);
  return holds_pattern(end - std::min(slack, kFacingBytes), end);
}

// Whether the first bytes of a block are as its record says.
[[gnu::always_inline]] inline bool faces_previous_soundly(BlockPlace const& place) noexcept {
  std::uint64_t const word = place.record->state.load(std::memory_order_acquire);
  switch (Facts::state_of(word)) {
    case BlockState::kLive:
      if (Facts::from(word).alignment != kMinAlignment) return holds_pattern(place.start, place.start + kHeaderBytes);
      return Header::load(place.start) == Header::of_live(word, place.start);
    case BlockState::kFree:
      return Header::load(place.start).seal == Header::seal_of_free(place.start);
    default:
      return true;
  }
}

[[gnu::always_inline]] inline bool live_is_sound(BlockPlace const& place, std::uint64_t record) noexcept {
  Layout const layout = layout_of(place, Facts::from(record));
  if (layout.has_header() && Header::load(layout.header) != Header::of_live(record, layout.header)) return false;
  if (!holds_pattern(layout.slack, layout.end) || !holds_pattern(layout.start, layout.header)) return false;
  if (place.tail) {
    if (!holds_pattern(layout.end, layout.end + kTailBytes)) return false;
  } else if (!place.last && !faces_previous_soundly(place.next())) {
    return false;
  }
  return place.first || faces_next_soundly(place.previous());
}

// Domain: not large.
inline bool free_is_sound(BlockPlace const& place) noexcept {
  return Header::load(place.start).seal == Header::seal_of_free(place.start) &&
         holds_pattern(place.start + kHeaderBytes, place.start + place.bytes);
}

// Writes what surrounds a live block that was free and sound: what holds the pattern already stays.
inline void enclose_reused(BlockPlace const& place, std::uint64_t record) noexcept {
  Layout const layout = layout_of(place, Facts::from(record));
  if (layout.header != layout.start) fill_pattern(layout.start, layout.start + kHeaderBytes);
  Header::of_live(record, layout.header).store(layout.header);
}

// Fills a free block that is not large.
inline void fill_free(BlockPlace const& place) noexcept {
  fill_pattern(place.start + kHeaderBytes, place.start + place.bytes);
  Header{0, Header::seal_of_free(place.start)}.store(place.start);
}

}  // namespace hakmem::hardened
