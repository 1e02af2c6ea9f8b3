// The report of statistics: each figure with its unit.
#include "core/api/report.h"

#include <gtest/gtest.h>

#include <climits>
#include <sstream>
#include <string>

namespace hakmem {
namespace {

void append(void* text, char const* piece, std::size_t bytes) noexcept {
  static_cast<std::string*>(text)->append(piece, bytes);
}

struct Row {
  std::string field;
  std::string label;
};
#define HAKMEM_FIGURE(field, unit, label) {#field, label},
Row const kRows[] = {
#include "core/api/statistics.def"
};
#undef HAKMEM_FIGURE

// Every figure has a value of its own.
Statistics distinct() {
  Statistics statistics;
  auto* const figures = reinterpret_cast<std::uint64_t*>(&statistics);
  for (std::size_t i = 0; i < sizeof statistics / sizeof(std::uint64_t); ++i) figures[i] = 1000 * (i + 1) + i;
  return statistics;
}

TEST(ApiReport, of_text_aligns_the_figures) {
  std::string text;
  {
    TextWriter out(&append, &text);
    write_statistics_text(out, distinct());
  }
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  std::uint64_t number = 0;
  while (std::getline(lines, line)) {
    std::string const expected = std::to_string(1000 * (number + 1) + number);
    std::size_t const end = line.ends_with(" bytes") ? line.size() - 6 : line.size();
    EXPECT_EQ(end, 46u + 18u) << line;
    EXPECT_EQ(line.substr(end - expected.size(), expected.size()), expected) << line;
    ++number;
  }
}

TEST(ApiReport, mallinfo_is_made_of_the_statistics) {
  constexpr std::size_t kBytes = 2 << 20;
  Statistics const from = distinct();
  struct mallinfo2 const wide = to_mallinfo2(from, kBytes);
  EXPECT_EQ(wide.arena, from.super_slabs_now * kBytes);
  EXPECT_EQ(wide.ordblks, from.super_slabs_warm_now + from.super_slabs_cold_now);
  EXPECT_EQ(wide.hblks, from.large_blocks_now);
  EXPECT_EQ(wide.hblkhd, from.large_bytes_now);
  EXPECT_EQ(wide.uordblks, from.small_bytes_now);
  EXPECT_EQ(wide.fordblks, from.super_slabs_now * kBytes - from.small_bytes_now);
  EXPECT_EQ(wide.keepcost, from.super_slabs_warm_now * kBytes + from.large_cached_bytes_now);
  EXPECT_EQ(wide.smblks + wide.usmblks + wide.fsmblks, 0u);
  auto const narrowed = [](std::size_t value) { return value < INT_MAX ? static_cast<int>(value) : INT_MAX; };
  struct mallinfo const narrow = to_mallinfo(wide);
  EXPECT_EQ(narrow.arena, narrowed(wide.arena));
  EXPECT_EQ(narrow.ordblks, narrowed(wide.ordblks));
  EXPECT_EQ(narrow.hblks, narrowed(wide.hblks));
  EXPECT_EQ(narrow.hblkhd, narrowed(wide.hblkhd));
  EXPECT_EQ(narrow.uordblks, narrowed(wide.uordblks));
  EXPECT_EQ(narrow.fordblks, narrowed(wide.fordblks));
  EXPECT_EQ(narrow.keepcost, narrowed(wide.keepcost));
}

TEST(ApiReport, of_text_says_bytes_behind_figures_of_bytes_and_nothing_behind_counts) {
  std::string text;
  {
    TextWriter out(&append, &text);
    write_statistics_text(out, Statistics{});
  }
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "hakmem: allocator statistics");
  for (Row const& row : kRows) {
    ASSERT_TRUE(std::getline(lines, line)) << row.field;
    EXPECT_TRUE(line.starts_with("  " + row.label)) << line;
    EXPECT_EQ(line.ends_with("0 bytes"), row.field.find("bytes") != std::string::npos) << line;
  }
  EXPECT_FALSE(std::getline(lines, line)) << line;
}

}  // namespace
}  // namespace hakmem
