// Damage around blocks: every changed byte is found, from the block that is looked at and from its
// neighbours, and is blamed on the block that a table says.
#include "hardened/damage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>

#include "hardened/glance.h"
#include "property_tests/hardened/reports.h"
#include "property_tests/hardened/span.h"

namespace hakmem::hardened {
namespace {

struct Blame {
  ErrorKind kind;
  std::size_t block;
  std::byte const* address;
  std::size_t bytes = 1;
};

bool lies(std::byte const* at, std::byte const* from, std::byte const* to) { return at >= from && at < to; }

// Who is blamed when the byte `at` is changed and the live block `index` is looked at.
std::optional<Blame> blame_of_live(Span& span, std::size_t index, std::byte const* at) {
  Layout const mine = span.layout(index);
  if (lies(at, mine.slack, mine.end)) return Blame{ErrorKind::kOverflow, index, at};
  if (index > 0 && span.facts(index - 1).state == BlockState::kLive) {
    Layout const before = span.layout(index - 1);
    if (lies(at, std::max(before.slack, before.end - std::ptrdiff_t{kFacingBytes}), before.end))
      return Blame{ErrorKind::kOverflow, index - 1, at};
  }
  if (lies(at, mine.start, mine.client)) return Blame{ErrorKind::kUnderflow, index, at};
  std::byte* const end = mine.end;
  if (index + 1 == Span::kBlocks) {
    bool const in_tail = span.place(index).tail && lies(at, end, end + kTailBytes);
    return in_tail ? std::optional<Blame>({ErrorKind::kOverflow, index, at}) : std::nullopt;
  }
  Facts const behind = span.facts(index + 1);
  if (behind.state == BlockState::kLive && lies(at, end, end + (behind.alignment == kMinAlignment ? 8 : 16)))
    return Blame{ErrorKind::kOverflow, index, at};
  if (behind.state == BlockState::kFree && lies(at, end + 8, end + 16))
    return Blame{ErrorKind::kOverflow, index, end, 16};
  return std::nullopt;
}

// The same for a free block; its first word is a link, which its own tag protects.
std::optional<Blame> blame_of_free(Span& span, std::size_t index, std::byte const* at) {
  std::byte const* const start = span.place(index).start;
  std::byte const* const end = start + span.block_bytes;
  bool const filled =
      is_filled_whole(span.place(index), span.word(index)) || at < start + 16 + kFilledEnd || at >= end - kFilledEnd;
  if (lies(at, start + 16, end) && filled) return Blame{ErrorKind::kUseAfterFree, index, at};
  if (lies(at, start + 8, start + 16)) return Blame{ErrorKind::kUnderflow, index, start + 8, 8};
  return std::nullopt;
}

void expect_blamed(Span& span, std::size_t index, std::optional<Blame> const& blame) {
  Damage const damage = span.damage(index);
  ASSERT_EQ(damage.found, blame.has_value());
  if (!blame) return;
  EXPECT_FALSE(span.is_sound(index));
  EXPECT_EQ(damage.kind, blame->kind);
  EXPECT_EQ(damage.place.start, span.place(blame->block).start);
  EXPECT_EQ(damage.place.record, span.place(blame->block).record);
  EXPECT_EQ(damage.record, span.word(blame->block));
  EXPECT_EQ(damage.address, blame->address);
  EXPECT_EQ(damage.bytes, blame->bytes);
}

// Fills a span with blocks of all states and sizes; block 2 is live.
void fill_at_random(Span& span, std::mt19937& random) {
  for (std::size_t index = 0; index < Span::kBlocks; ++index) {
    std::size_t const alignment = std::size_t{16} << (random() % 6 < 4 ? 0 : random() % 3);
    std::size_t const room = span.block_bytes - alignment;
    std::size_t const slack = 1 + (random() % 2 ? random() % 20 : random() % room);
    switch (index == 2 ? 0 : random() % 6) {
      case 0:
      case 1:
      case 2:
        span.make_live(index, room - slack, alignment);
        break;
      case 3:
      case 4:
        span.make_free(index, 40, random() % 2 != 0);
        break;
      default:
        span.set(index, random() % 2 ? 0 : Facts{.state = BlockState::kBusy}.word());
    }
  }
}

bool is_looked_at(Span& span, std::size_t index) {
  BlockState const state = span.facts(index).state;
  return state == BlockState::kLive || state == BlockState::kFree;
}

TEST(HardenedDamage, of_any_one_byte_is_found_and_blamed_on_the_block_that_the_table_says) {
  std::mt19937 random(11);
  for (int round = 0; round < 60 && !::testing::Test::HasFailure(); ++round) {
    Span span(round % 4 != 0, round % 3 == 0 ? Span::kMostBytes : Span::kBytes);
    fill_at_random(span, random);
    for (std::size_t index = 0; index < Span::kBlocks; ++index) {
      if (!is_looked_at(span, index)) continue;
      ASSERT_TRUE(span.is_sound(index)) << round << " block " << index;
      bool const live = span.facts(index).state == BlockState::kLive;
      for (std::byte* at = span.start() - 40; at != span.end() + 40; ++at) {
        SCOPED_TRACE(::testing::Message() << "round " << round << " block " << index << " byte " << at - span.start());
        std::byte const before = *at;
        *at ^= std::byte{1} << random() % 8;
        ASSERT_NO_FATAL_FAILURE(
            expect_blamed(span, index, live ? blame_of_live(span, index, at) : blame_of_free(span, index, at)));
        *at = before;
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

// Whatever is unsound is told, but for the one case that the owner of the header tells itself.
TEST(HardenedDamage, is_found_where_and_only_where_a_block_is_not_sound) {
  std::mt19937 random(12);
  for (int round = 0; round < 3000; ++round) {
    Span span(round % 4 != 0, round % 3 == 0 ? Span::kMostBytes : Span::kBytes);
    fill_at_random(span, random);
    std::size_t const length = 1 + random() % 40;
    std::byte* const from = span.start() - 20 + random() % (Span::kBlocks * span.block_bytes);
    for (std::byte* at = from; at != from + length; ++at) *at ^= static_cast<std::byte>(1 + random() % 255);
    for (std::size_t index = 0; index < Span::kBlocks; ++index) {
      if (!is_looked_at(span, index)) continue;
      std::byte const* const end = span.place(index).start + span.block_bytes;
      bool const far_end_of_next = lies(from, end + 8, end + 16);
      if (far_end_of_next) continue;
      ASSERT_EQ(span.damage(index).found, !span.is_sound(index)) << round << " block " << index;
    }
  }
}

TEST(HardenedDamage, by_running_over_the_end_is_blamed_on_the_block_that_did_it_from_both_sides) {
  for (std::size_t slack = 1; slack <= 40; ++slack) {
    for (std::size_t length = 1; length < slack + 16; ++length) {
      Span span;
      for (std::size_t index = 0; index < Span::kBlocks; ++index) span.make_live(index, Span::kBytes - 17);
      span.make_live(1, Span::kBytes - 16 - slack);
      std::byte* const from = span.layout(1).slack;
      std::memset(from, 0x44, length);
      Damage const own = span.damage(1);
      ASSERT_TRUE(own.found);
      EXPECT_EQ(own.kind, ErrorKind::kOverflow);
      EXPECT_EQ(own.place.start, span.place(1).start);
      EXPECT_EQ(own.address, from);
      EXPECT_EQ(own.bytes, std::min(length, slack));
      Damage const seen_behind = span.damage(2);
      std::size_t const unseen = slack > 16 ? slack - 16 : 0;
      ASSERT_EQ(seen_behind.found, length > unseen) << slack << ' ' << length;
      if (!seen_behind.found) continue;
      EXPECT_EQ(seen_behind.kind, ErrorKind::kOverflow);
      EXPECT_EQ(seen_behind.place.start, span.place(1).start) << slack << ' ' << length;
      EXPECT_EQ(seen_behind.address, from + unseen);
    }
  }
}

TEST(HardenedDamage, of_a_whole_header_is_an_underflow_of_its_own_block) {
  Span span;
  for (std::size_t index = 0; index < Span::kBlocks; ++index) span.make_live(index, Span::kBytes - 17);
  for (unsigned first = 0; first < kHeaderBytes; ++first) {
    span.make_live(2, Span::kBytes - 17);
    for (unsigned i = first; i < kHeaderBytes; ++i) span.layout(2).header[i] ^= std::byte{0xff};
    expect_blamed(span, 2, Blame{ErrorKind::kUnderflow, 2, span.layout(2).header + first, kHeaderBytes - first});
  }
}

TEST(HardenedDamage, of_a_neighbour_that_is_busy_or_was_never_used_is_nobodys) {
  for (std::uint64_t const word : {std::uint64_t{0}, Facts{.bytes = 20, .state = BlockState::kBusy}.word()}) {
    Span span;
    for (std::size_t index = 0; index < Span::kBlocks; ++index) span.make_live(index, 100);
    span.set(1, word);
    span.set(3, word);
    std::memset(span.place(1).start, 0x44, Span::kBytes);
    std::memset(span.place(3).start, 0x44, Span::kBytes);
    expect_blamed(span, 2, std::nullopt);
    EXPECT_TRUE(span.is_sound(2));
  }
}

TEST(HardenedDamage, is_not_believed_when_the_record_changed_meanwhile) {
  Span span;
  for (std::size_t index = 0; index < Span::kBlocks; ++index) span.make_live(index, 100);
  std::uint64_t const before = span.word(2);
  *span.layout(2).slack = std::byte{0};
  span.set(2, Facts::in_state(before, BlockState::kBusy));
  EXPECT_FALSE(damage_of_live(span.place(2), before).found);
  span.set(2, before);
  EXPECT_TRUE(damage_of_live(span.place(2), before).found);
  span.make_free(2);
  std::uint64_t const free_word = span.word(2);
  span.place(2).start[50] = std::byte{0};
  span.set(2, Facts::in_state(free_word, BlockState::kBusy));
  EXPECT_FALSE(damage_of_free(span.place(2), free_word).found);
}

TEST(HardenedDamage, is_looked_for_at_both_ends_of_a_mapping_of_its_own) {
  alignas(64) std::byte all[640];
  BlockRecord record;
  for (bool const left : {false, true}) {
    for (std::size_t const alignment : {16, 64}) {
      for (std::size_t const bytes : {100, 384}) {
        BlockPlace const place{.where = BlockPlace::Where::kLarge,
                               .first = true,
                               .last = true,
                               .start = all + 128,
                               .bytes = 384,
                               .record = &record};
        Facts const facts{.bytes = bytes, .alignment = alignment, .state = BlockState::kLive, .left = left};
        std::uint64_t const word = facts.word();
        record.state = word;
        std::memset(all, 0x66, sizeof all);
        enclose(place, word);
        EXPECT_EQ(all[127], std::byte{0x66});
        EXPECT_EQ(all[512], std::byte{0x66});
        Layout const layout = layout_of(place, facts);
        for (std::byte* at = all; at != all + sizeof all; ++at) {
          *at ^= std::byte{0x10};
          bool const before = lies(at, layout.start, layout.client), behind = lies(at, layout.slack, layout.end);
          Damage const damage = damage_of_live(place, word);
          ASSERT_EQ(damage.found, before || behind) << at - layout.start;
          ASSERT_EQ(live_is_sound(place, word), !damage.found);
          if (damage.found) {
            EXPECT_EQ(damage.kind, before ? ErrorKind::kUnderflow : ErrorKind::kOverflow);
            EXPECT_EQ(damage.address, at);
            EXPECT_EQ(damage.bytes, 1u);
          }
          *at ^= std::byte{0x10};
        }
      }
    }
  }
}

TEST(HardenedDamage, is_mended_around_a_block_and_nowhere_else) {
  std::mt19937 random(13);
  for (int round = 0; round < 300; ++round) {
    Span span;
    fill_at_random(span, random);
    std::byte* const from = span.place(2).start;
    std::byte* const client = span.layout(2).client;
    std::size_t const bytes = span.facts(2).bytes;
    std::memset(from, 0x77, Span::kBytes);
    enclose(span.place(2), span.word(2));
    ASSERT_TRUE(live_is_sound(span.place(2), span.word(2)));
    ASSERT_EQ(std::count(client, client + bytes, std::byte{0x77}), static_cast<std::ptrdiff_t>(bytes));
    for (std::size_t const neighbour : {1u, 3u})
      ASSERT_TRUE(!is_looked_at(span, neighbour) || span.is_sound(neighbour));
  }
}

// A block that was free and sound needs less to be written.
TEST(HardenedDamage, is_none_after_a_free_block_was_enclosed_again) {
  std::mt19937 random(14);
  for (int round = 0; round < 300; ++round) {
    Span span(true, round % 2 ? Span::kMostBytes : Span::kBytes);
    fill_at_random(span, random);
    Facts facts = span.facts(2);
    facts.generation = 9;
    std::memset(span.place(2).start, 0x11, span.block_bytes);
    span.make_free(2, 40, round % 3 == 0);
    ASSERT_TRUE(span.is_sound(2));
    std::uint64_t const before = span.word(2);
    span.set(2, facts.word());
    enclose_reused(span.place(2), facts.word(), before);
    ASSERT_TRUE(span.is_sound(2)) << facts.bytes << " aligned to " << facts.alignment;
  }
}

TEST(HardenedDamage, in_front_of_a_large_block_is_seen_for_four_kib_in_front_of_its_header_and_no_further) {
  constexpr std::size_t kAlignment = 64 * kKiB, kFar = 4 * kKiB + kHeaderBytes;
  alignas(kAlignment) static std::byte memory[2 * kAlignment];
  std::memset(memory, 0x55, sizeof memory);
  Facts const facts{.bytes = 100, .alignment = kAlignment, .state = BlockState::kLive};
  BlockRecord record{};
  record.state = facts.word();
  BlockPlace const place{.where = BlockPlace::Where::kLarge,
                         .first = true,
                         .last = true,
                         .start = memory,
                         .bytes = sizeof memory,
                         .record = &record};
  enclose(place, facts.word());
  std::byte* const watched = memory + kAlignment - kFar;
  EXPECT_EQ(std::count(memory, watched, std::byte{0x55}), watched - memory) << "what nobody looks at is not touched";
  watched[-1] = std::byte{1};
  EXPECT_FALSE(damage_of_live(place, facts.word()).found);
  watched[0] = std::byte{1};
  Damage const damage = damage_of_live(place, facts.word());
  EXPECT_TRUE(damage.found);
  EXPECT_EQ(damage.kind, ErrorKind::kUnderflow);
}

TEST(HardenedFill, is_whole_of_a_short_block_and_of_a_longer_one_when_its_record_says_so) {
  constexpr std::size_t kShort = kHeaderBytes + 2 * kFilledEnd;
  for (std::size_t const bytes : {std::size_t{32}, kShort - 16, kShort})
    for (std::uint64_t const record : {std::uint64_t{0}, Facts::kWhole})
      EXPECT_TRUE(is_filled_whole({.bytes = bytes}, record)) << bytes;
  for (std::size_t const bytes : {kShort + 16, 4 * kKiB}) {
    EXPECT_FALSE(is_filled_whole({.bytes = bytes}, ~Facts::kWhole)) << bytes;
    EXPECT_TRUE(is_filled_whole({.bytes = bytes}, Facts::kWhole)) << bytes;
  }
}

// The short look at a live block and its neighbours, asked as the release asks it.
bool glance_finds_nothing(Span& span, std::size_t index) {
  BlockPlace const place = span.place(index);
  std::uint64_t const word = span.word(index);
  return Glance().at_header(place, word).at_slack(place, word).at_next(place).at_previous(place).finds_nothing();
}

TEST(HardenedGlance, finds_every_changed_byte_that_the_close_look_finds_and_nothing_at_a_sound_ordinary_block) {
  std::mt19937 random(15);
  int quiet = 0, loud = 0;
  for (int round = 0; round < 400; ++round) {
    Span span(true, round % 3 == 0 ? Span::kMostBytes : Span::kBytes);
    fill_at_random(span, random);
    for (std::size_t index : {1u, 2u, 3u}) {
      if ((span.word(index) & kShapeMask) != kOrdinaryLive) continue;
      bool const at_aligned =
          span.facts(index + 1).state == BlockState::kLive && span.facts(index + 1).alignment != kMinAlignment;
      bool const behind_aligned =
          span.facts(index - 1).state == BlockState::kLive && span.facts(index - 1).alignment != kMinAlignment;
      bool const beside_busy =
          span.facts(index + 1).state == BlockState::kBusy || span.facts(index - 1).state == BlockState::kBusy;
      bool const certain = !at_aligned && !behind_aligned && !beside_busy;
      if (certain) ASSERT_TRUE(glance_finds_nothing(span, index)) << round << " block " << index;
      if (at_aligned) ASSERT_FALSE(glance_finds_nothing(span, index)) << "no header is there";
      for (std::byte* at = span.start(); at != span.end(); ++at) {
        std::byte const before = *at;
        *at ^= std::byte{1} << random() % 8;
        bool const sound = live_is_sound(span.place(index), span.word(index));
        if (!sound) ASSERT_FALSE(glance_finds_nothing(span, index)) << round << " byte " << at - span.start();
        if (sound && certain)
          ASSERT_TRUE(glance_finds_nothing(span, index)) << round << " byte " << at - span.start();
        ++(sound ? quiet : loud);
        *at = before;
      }
    }
  }
  EXPECT_GT(quiet, 10000);
  EXPECT_GT(loud, 10000);
}

TEST(HardenedGlance, reaches_blocks_with_one_behind_them_and_never_looks_before_a_span) {
  auto const reached = [](bool first, bool last, std::size_t bytes, BlockPlace::Where where) {
    return Glance::reaches({.where = where, .first = first, .last = last, .bytes = bytes});
  };
  using Where = BlockPlace::Where;
  EXPECT_TRUE(reached(false, false, 32, Where::kSmall));
  EXPECT_FALSE(reached(false, true, 32, Where::kSmall));
  EXPECT_FALSE(reached(false, false, 32, Where::kLarge));
  EXPECT_FALSE(reached(true, false, 48, Where::kSmall)) << "it looks at the 64 bytes before an end";
  EXPECT_TRUE(reached(true, false, 64, Where::kSmall));
  EXPECT_FALSE(reached(true, true, 4096, Where::kSmall));
}

// Of all sizes around those where the way of filling and comparing changes.
TEST(HardenedFill, is_compared_to_every_byte_that_it_covers_and_covers_no_more_than_the_record_says) {
  for (std::size_t bytes = 32; bytes <= Span::kMostBytes; bytes += 16) {
    for (bool const whole : {false, true}) {
      Span span(true, bytes);
      std::memset(span.start(), 0x55, Span::kBlocks * bytes);
      for (std::size_t index = 0; index < Span::kBlocks; ++index) span.make_free(index, 8, whole);
      std::byte* const start = span.place(2).start;
      for (std::byte* at = start + kHeaderBytes; at != start + bytes; ++at) {
        bool const covered = is_filled_whole(span.place(2), span.word(2)) || at < start + kHeaderBytes + kFilledEnd ||
                             at >= start + bytes - kFilledEnd;
        if (!covered) {
          ASSERT_EQ(*at, std::byte{0x55}) << bytes << " at " << at - start;
        }
        *at ^= std::byte{1};
        ASSERT_EQ(free_is_sound(span.place(2), span.word(2)), !covered) << bytes << " at " << at - start;
        *at ^= std::byte{1};
      }
      ASSERT_TRUE(free_is_sound(span.place(2), span.word(2))) << bytes;
    }
  }
}

}  // namespace
}  // namespace hakmem::hardened
