// The text writer: every byte reaches the sink once and in order, however long the text is.
#include "core/api/text_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace hakmem {
namespace {

void append(void* text, char const* piece, std::size_t bytes) noexcept {
  static_cast<std::string*>(text)->append(piece, bytes);
}

TEST(ApiTextWriter, text_of_any_length_arrives_once_and_in_order) {
  for (std::size_t length = 0; length < 2000; ++length) {
    std::string expected;
    for (std::size_t at = 0; at < length; ++at) expected += static_cast<char>('a' + at % 26);
    std::string actual;
    {
      TextWriter out(&append, &actual);
      out << expected << std::uint64_t{length};
    }
    ASSERT_EQ(actual, expected + std::to_string(length));
  }
}

TEST(ApiTextWriter, numbers_are_decimal_and_right_aligned) {
  std::string text;
  {
    TextWriter out(&append, &text);
    out << std::uint64_t{0} << ' ' << UINT64_MAX << ' ';
    out.right(42, 5) << '|';
    out.right(123456, 3);
    out.right(7, 9);
  }
  EXPECT_EQ(text, "0 18446744073709551615    42|123456        7");
}

TEST(ApiTextWriter, text_is_handed_over_in_pieces_as_long_as_the_buffer) {
  std::string const text(2000, 'x');
  struct Pieces {
    std::size_t count = 0, longest = 0;
  } pieces;
  {
    TextWriter out(
        [](void* to, char const*, std::size_t bytes) noexcept {
          auto* const seen = static_cast<Pieces*>(to);
          ++seen->count;
          seen->longest = std::max(seen->longest, bytes);
        },
        &pieces);
    out << text;
    EXPECT_EQ(pieces.count, 3u);
  }
  EXPECT_EQ(pieces.count, 4u);
  EXPECT_EQ(pieces.longest, 512u);
}

TEST(ApiTextWriter, columns_count_from_the_start_of_the_line) {
  std::string text;
  {
    TextWriter out(&append, &text);
    out << "long text\nab";
    out.column(4) << "c";
    out.column(2) << "d";
  }
  EXPECT_EQ(text, "long text\nab  cd");
}

}  // namespace
}  // namespace hakmem
