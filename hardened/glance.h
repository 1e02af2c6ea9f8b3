// What it owns: the look at an *ordinary* block - one of a span, not the last of it, whose header is its start - and
// at its neighbours, in the fewest steps, for that is what nearly every allocation and release does. What differs from
// what should be there is collected, and asked about once: sizes and the state of neighbours are as good as random,
// and a branch on them would be mispredicted every other time.
//
// A glance that finds nothing is as good as soundness.h's look. One that finds something proves nothing - the block
// may not be ordinary, or a neighbour may be changing: soundness.h decides.
// Invariants: reads only blocks of one span, their headers and records.
// Thread-safety: as soundness.h.
#pragma once

#include "hardened/soundness.h"

namespace hakmem::hardened {

// What a record says of state and alignment, in its upper bits.
inline constexpr std::uint64_t kShapeMask = Facts::kAlignmentMask | Facts::kStateMask;
inline constexpr std::uint64_t kOrdinaryLive = Facts{.alignment = kMinAlignment, .state = BlockState::kLive}.word();

// All bits where the record is one of a live block, else none; of a busy one, all: it may become one.
[[gnu::always_inline]] inline std::uint64_t all_if_live(std::uint64_t record) noexcept {
  constexpr unsigned kAbove = 63 - Facts::kStateShift;
  static_assert(static_cast<unsigned>(BlockState::kLive) == 1 && static_cast<unsigned>(BlockState::kFree) == 2);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(record << kAbove) >> 63);
}
// The same of a live, free or busy one.
[[gnu::always_inline]] inline std::uint64_t all_if_used(std::uint64_t record) noexcept {
  return -static_cast<std::uint64_t>((record & Facts::kStateMask) != 0);
}

class Glance {
 public:
  // Whether all that is read of a block and around it lies in its span.
  [[gnu::always_inline]] static bool reaches(BlockPlace const& place) noexcept {
    return place.where == BlockPlace::Where::kSmall && !place.last && (!place.first || place.bytes >= kSlackWindow);
  }
  // The header of an ordinary live block.
  [[gnu::always_inline]] Glance& at_header(BlockPlace const& place, std::uint64_t record) noexcept {
    differs_ |= seal_differs(place.start, record) | word_differs(place.start, record);
    return *this;
  }
  // Its slack.
  [[gnu::always_inline]] Glance& at_slack(BlockPlace const& place, std::uint64_t record) noexcept {
    std::byte const* const end = place.start + place.bytes;
    std::size_t const slack = place.bytes - kMinAlignment - (record & Facts::kBytesMask);
    words_ |= differs_before<kSlackWindow>(end, std::min(slack, kSlackWindow));
    if (slack > kSlackWindow) [[unlikely]]
      differs_ |= -static_cast<std::uint64_t>(!holds_pattern(end - slack, end - kSlackWindow));
    return *this;
  }
  // The start of the block behind. If that is live and aligned, no header is there: what is seems to differ. If it is
  // busy, it may.
  [[gnu::always_inline]] Glance& at_next(BlockPlace const& place) noexcept {
    std::byte const* const start = place.start + place.bytes;
    std::uint64_t const record = place.record[1].state.load(std::memory_order_acquire);
    differs_ |= seal_differs(start, record) & all_if_used(record);
    differs_ |= word_differs(start, record) & all_if_live(record);
    return *this;
  }
  // The end of the slack of the block in front, if there is one. If that is live and aligned, its slack may be shorter.
  [[gnu::always_inline]] Glance& at_previous(BlockPlace const& place) noexcept {
    if (place.first) [[unlikely]]
      return *this;
    std::uint64_t const record = place.record[-1].state.load(std::memory_order_acquire);
    std::size_t const slack = place.bytes - kMinAlignment - (record & Facts::kBytesMask);
    std::size_t const facing = std::min(slack, kFacingBytes) & all_if_live(record);
    words_ |= differs_before<kFacingBytes>(place.start, facing);
    return *this;
  }
  [[gnu::always_inline]] bool finds_nothing() const noexcept { return (differs_ | words_[0] | words_[1]) == 0; }

 private:
  static constexpr std::size_t kSlackWindow = 64;

  [[gnu::always_inline]] static std::uint64_t seal_differs(std::byte const* start, std::uint64_t record) noexcept {
    return Header::of(record, start).seal ^ Header::load_seal(start);
  }
  [[gnu::always_inline]] static std::uint64_t word_differs(std::byte const* start, std::uint64_t record) noexcept {
    return record ^ Header::load_word(start);
  }

  PatternWords words_{};
  std::uint64_t differs_ = 0;
};

}  // namespace hakmem::hardened
