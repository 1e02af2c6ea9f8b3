// The report of statistics: each figure with its unit.
#include "core/api/report.h"

#include <gtest/gtest.h>

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
