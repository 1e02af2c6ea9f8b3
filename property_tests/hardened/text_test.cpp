// Text of reports: numbers of every width, what is quoted, and the end of the buffer.
#include "hardened/text.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace hakmem::hardened {
namespace {

template <class Write>
std::string written(Write write) {
  char buffer[200];
  Text text(buffer, sizeof buffer);
  write(text);
  return {text.data(), text.size()};
}

std::string in_hex(std::uint64_t value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%#llx", static_cast<unsigned long long>(value));
  return value == 0 ? "0x0" : digits;
}

TEST(HardenedText, writes_numbers_of_every_width_as_libc_does) {
  auto const expect_written = [](std::uint64_t value) {
    EXPECT_EQ(written([&](Text& text) { text << value; }), std::to_string(value));
    EXPECT_EQ(written([&](Text& text) { text.hex(value); }), in_hex(value));
    EXPECT_EQ(written([&](Text& text) { text << reinterpret_cast<void const*>(value); }), in_hex(value));
  };
  for (std::uint64_t value = 0; value < 300; ++value) expect_written(value);
  for (unsigned bit = 0; bit < 64; ++bit)
    for (std::uint64_t const near : {-1, 0, 1}) expect_written((std::uint64_t{1} << bit) + near);
  for (std::uint64_t power = 1; power <= 1'000'000'000'000'000'000; power *= 10) {
    expect_written(power - 1);
    expect_written(power);
    if (power == 1'000'000'000'000'000'000) break;
  }
  expect_written(10'000'000'000'000'000'000u);
  expect_written(0x123456789abcdef0);
  expect_written(~std::uint64_t{0});
}

TEST(HardenedText, appends_words_characters_bytes_and_counts) {
  EXPECT_EQ(written([](Text& text) { text << "one" << ' ' << "" << static_cast<char const*>(nullptr) << "two"; }),
            "one two");
  unsigned char const id[] = {0x00, 0x0f, 0xf0, 0x9a, 0xff};
  EXPECT_EQ(written([&](Text& text) { text.bytes(id, sizeof id) << '.'; }), "000ff09aff.");
  EXPECT_EQ(written([&](Text& text) { text.bytes(id, 0); }), "");
  EXPECT_EQ(written([](Text& text) {
              text.count_of(0, "byte") << ", ";
              text.count_of(1, "byte") << ", ";
              text.count_of(2, "byte") << '.';
            }),
            "0 bytes, 1 byte, 2 bytes.");
}

TEST(HardenedText, quotes_what_would_end_or_break_a_json_string) {
  std::string all;
  for (int character = 1; character < 256; ++character) all += static_cast<char>(character);
  std::string expected;
  for (char const character : all) {
    if (character == '"' || character == '\\') expected += '\\';
    expected += static_cast<unsigned char>(character) < ' ' ? ' ' : character;
  }
  char buffer[300];
  Text text(buffer, sizeof buffer);
  text.quoted(all.data(), all.size());
  EXPECT_EQ(std::string(text.data(), text.size()), expected);
}

TEST(HardenedText, is_cut_at_the_end_of_its_buffer) {
  for (std::size_t capacity = 0; capacity < 12; ++capacity) {
    char buffer[16];
    for (char& character : buffer) character = '~';
    Text text(buffer, capacity);
    (text << "abc" << std::uint64_t{4567} << '!').quoted("xyz", 3);
    EXPECT_EQ(text.data(), buffer);
    EXPECT_EQ(std::string(text.data(), text.size()), std::string("abc4567!xyz").substr(0, capacity));
    EXPECT_EQ(std::string(buffer + capacity, sizeof buffer - capacity), std::string(sizeof buffer - capacity, '~'));
  }
}

}  // namespace
}  // namespace hakmem::hardened
