// Filling and comparing stretches against byte by byte, by both kinds of code.
#include "core/os/stretch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

namespace hakmem {
namespace {

constexpr std::size_t kUnit = StretchCode::kUnit;
constexpr std::size_t kLongest = 40 * kUnit;
constexpr std::byte kAround{0x55};

// So many units in the middle of other bytes.
struct Stretch {
  explicit Stretch(std::size_t units) : from(all + 4 * kUnit), to(from + units * kUnit) {
    std::fill(std::begin(all), std::end(all), kAround);
  }
  alignas(64) std::byte all[kLongest + 8 * kUnit];
  std::byte* from;
  std::byte* to;
};

class OsStretch : public ::testing::TestWithParam<bool> {
 protected:
  StretchCode const code = GetParam() ? fastest_stretch_code() : kPortableStretchCode;
};

TEST_P(OsStretch, is_filled_whole_and_nothing_around_it) {
  for (std::size_t units = 1; units <= kLongest / kUnit; ++units) {
    Stretch stretch(units);
    code.fill(stretch.from, stretch.to, 0xd7);
    for (std::byte const& byte : stretch.all)
      ASSERT_EQ(byte, &byte >= stretch.from && &byte < stretch.to ? std::byte{0xd7} : kAround) << units;
  }
}

TEST_P(OsStretch, holds_a_byte_unless_any_one_is_another) {
  for (std::size_t units = 1; units <= kLongest / kUnit; ++units) {
    for (unsigned char const byte : {0x81, 0xfe}) {
      Stretch stretch(units);
      std::fill(stretch.from, stretch.to, std::byte{byte});
      ASSERT_TRUE(code.holds(stretch.from, stretch.to, byte)) << units;
      for (std::byte* at = stretch.from; at != stretch.to; ++at) {
        *at ^= std::byte{1} << (at - stretch.from) % 8;
        ASSERT_FALSE(code.holds(stretch.from, stretch.to, byte)) << units << " at " << at - stretch.from;
        *at = std::byte{byte};
      }
    }
  }
}

TEST_P(OsStretch, does_not_hold_a_byte_where_another_is_repeated) {
  for (std::size_t units = 1; units <= kLongest / kUnit; ++units) {
    Stretch stretch(units);
    std::fill(stretch.from, stretch.to, std::byte{0x7e});
    ASSERT_FALSE(code.holds(stretch.from, stretch.to, 0x7f)) << units;
  }
}

#if defined(__x86_64__)
TEST(OsStretchCode, is_that_of_wide_vectors_where_the_machine_has_them) {
  bool const wide = fastest_stretch_code().fill != kPortableStretchCode.fill;
  EXPECT_EQ(wide, __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(fastest_stretch_code().holds != kPortableStretchCode.holds, wide);
}
#endif

INSTANTIATE_TEST_SUITE_P(, OsStretch, ::testing::Bool(),
                         [](auto const& info) { return info.param ? "fastest" : "portable"; });

}  // namespace
}  // namespace hakmem
