// The pattern against naive searches, at every length, alignment and place of a change.
#include "hardened/pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

namespace hakmem::hardened {
namespace {

constexpr std::size_t kLongest = 300;
constexpr unsigned char kPatterns[] = {0x81, 0xd7, 0xfc};

std::byte const* first_change(std::byte const* from, std::byte const* to) {
  auto const* const found = std::find_if(from, to, [](std::byte b) { return b != std::byte{secrets.pattern()}; });
  return found == to ? nullptr : found;
}

// Bytes between others that are not the pattern.
class Stretch {
 public:
  Stretch(std::size_t offset, std::size_t length) : from_(all_ + 16 + offset), to_(from_ + length) {
    std::fill(std::begin(all_), std::end(all_), std::byte{0x55});
    std::fill(from_, to_, std::byte{secrets.pattern()});
  }
  std::byte* from() { return from_; }
  std::byte* to() { return to_; }

 private:
  alignas(16) std::byte all_[kLongest + 48];
  std::byte* from_;
  std::byte* to_;
};

class HardenedPattern : public ::testing::TestWithParam<unsigned char> {
 public:
  HardenedPattern() { secrets.set_pattern(GetParam()); }
  ~HardenedPattern() override { secrets.set_pattern(before_); }

 private:
  unsigned char const before_ = secrets.pattern();
};

TEST_P(HardenedPattern, is_found_whole_whatever_lies_around_it) {
  for (std::size_t length = 0; length <= kLongest; ++length) {
    for (std::size_t offset = 0; offset < 16; ++offset) {
      Stretch stretch(offset, length);
      ASSERT_TRUE(holds_pattern(stretch.from(), stretch.to())) << length << " at " << offset;
      ASSERT_EQ(find_change(stretch.from(), stretch.to()), nullptr) << length << " at " << offset;
    }
  }
}

TEST_P(HardenedPattern, is_not_found_when_any_one_byte_is_changed) {
  for (std::size_t length = 1; length <= kLongest; ++length) {
    Stretch stretch(length % 16, length);
    for (std::byte* at = stretch.from(); at != stretch.to(); ++at) {
      *at ^= std::byte{1} << (static_cast<std::size_t>(at - stretch.from()) + length) % 8;
      ASSERT_FALSE(holds_pattern(stretch.from(), stretch.to())) << at - stretch.from() << " of " << length;
      ASSERT_EQ(find_change(stretch.from(), stretch.to()), at);
      ASSERT_EQ(find_last_change(stretch.from(), stretch.to()), at);
      *at = std::byte{secrets.pattern()};
    }
  }
}

TEST_P(HardenedPattern, is_not_found_where_another_byte_is_repeated) {
  for (std::size_t length = 1; length <= kLongest; ++length) {
    Stretch stretch(length % 16, length);
    for (std::byte const other : {std::byte{0}, std::byte{0x7f}, std::byte{0xff}}) {
      std::fill(stretch.from(), stretch.to(), other);
      ASSERT_FALSE(holds_pattern(stretch.from(), stretch.to())) << length;
    }
  }
}

TEST_P(HardenedPattern, tells_the_first_and_the_last_of_two_changes) {
  constexpr std::size_t kLength = 60;
  Stretch stretch(5, kLength);
  for (std::byte* first = stretch.from(); first != stretch.to(); ++first) {
    for (std::byte* last = first; last != stretch.to(); ++last) {
      *first = *last = std::byte{0};
      ASSERT_EQ(find_change(stretch.from(), stretch.to()), first);
      ASSERT_EQ(find_last_change(stretch.from(), stretch.to()), last);
      *first = *last = std::byte{secrets.pattern()};
    }
  }
}

TEST_P(HardenedPattern, fills_what_it_is_told_and_nothing_else) {
  for (std::size_t length = 0; length <= kLongest; ++length) {
    Stretch stretch(length % 16, length);
    std::fill(stretch.from(), stretch.to(), std::byte{0x55});
    fill_pattern(stretch.from(), stretch.to());
    ASSERT_EQ(first_change(stretch.from(), stretch.to()), nullptr) << length;
    ASSERT_EQ(*(stretch.from() - 1), std::byte{0x55}) << length;
    ASSERT_EQ(*stretch.to(), std::byte{0x55}) << length;
  }
}

// A sanitizer sees a byte that is read outside of the block.
TEST_P(HardenedPattern, is_compared_without_reading_beyond_its_ends) {
  for (std::size_t length = 1; length <= kLongest; ++length) {
    auto const block = std::make_unique<std::byte[]>(length);
    fill_pattern(block.get(), block.get() + length);
    ASSERT_TRUE(holds_pattern(block.get(), block.get() + length)) << length;
  }
}

TEST_P(HardenedPattern, of_no_bytes_is_filled_and_held_even_backwards) {
  Stretch stretch(0, 40);
  std::fill(stretch.from(), stretch.to(), std::byte{0x55});
  fill_pattern(stretch.from() + 20, stretch.from() + 4);
  EXPECT_EQ(std::count(stretch.from(), stretch.to(), std::byte{0x55}), 40);
  EXPECT_TRUE(holds_pattern(stretch.from() + 20, stretch.from() + 4));
}

INSTANTIATE_TEST_SUITE_P(, HardenedPattern, ::testing::ValuesIn(kPatterns));

}  // namespace
}  // namespace hakmem::hardened
