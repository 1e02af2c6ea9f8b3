// The same bugs under the fast build, which trusts its client: the documented weaker outcome of each. SECURITY.md has
// the table; it is the one that this test makes.
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "property_tests/api/child.h"

namespace hakmem {
namespace {

enum class Outcome {
  kRunsOn,  // to its end, in silence, as if it were right
  kStops,   // by SIGABRT with one line: the address belongs to no block
  kEnds,    // undefined: by exit or by a signal, with a line at most; never a hang
};
constexpr Outcome kRunsOn = Outcome::kRunsOn, kStops = Outcome::kStops, kEnds = Outcome::kEnds;

char const* text_of(Outcome outcome) {
  switch (outcome) {
    case kRunsOn:
      return "runs on, as if it were right";
    case kStops:
      return "stops with one line";
    case kEnds:
      return "undefined; ends";
  }
  return "?";
}

struct Weaker {
  char const* bug;
  Outcome small, large;
};
constexpr Weaker kWeaker[] = {
    {"double_free", kEnds, kStops},
    {"double_free_by_another_thread", kEnds, kStops},
    {"double_free_in_another_thread", kEnds, kStops},
    {"double_free_much_later", kEnds, kStops},
    {"free_inside", kEnds, kEnds},
    {"free_misaligned", kEnds, kEnds},
    {"free_stack", kEnds, kEnds},
    {"free_static", kEnds, kEnds},
    {"free_wild", kEnds, kEnds},
    {"delete_of_malloc", kRunsOn, kRunsOn},
    {"free_of_new", kRunsOn, kRunsOn},
    {"delete_array_of_new", kRunsOn, kRunsOn},
    {"delete_of_new_array", kRunsOn, kRunsOn},
    {"free_of_aligned_new", kRunsOn, kRunsOn},
    {"delete_with_another_size", kRunsOn, kRunsOn},
    {"delete_with_another_alignment", kRunsOn, kRunsOn},
    {"free_sized_with_another_size", kRunsOn, kRunsOn},
    {"realloc_of_dead", kEnds, kStops},
    {"realloc_of_new", kRunsOn, kRunsOn},
    {"usable_size_of_dead", kEnds, kStops},
    {"write_past_end", kEnds, kEnds},
    {"write_seven_past_end", kEnds, kEnds},
    {"write_past_end_and_never_free", kEnds, kEnds},
    {"write_past_end_while_others_are_freed", kEnds, kEnds},
    {"write_before_start", kEnds, kEnds},
    {"write_sixteen_before_start", kEnds, kEnds},
    {"write_past_zero_bytes", kEnds, kEnds},
    {"write_after_free", kEnds, kEnds},
    {"write_after_free_at_start", kEnds, kEnds},
    {"write_after_free_at_end", kEnds, kEnds},
    {"write_after_free_before_reuse", kEnds, kEnds},
    {"write_after_free_when_much_was_freed", kEnds, kEnds},
    {"read_after_free", kEnds, kEnds},
    {"read_past_end", kEnds, kEnds},
    {"read_before_start", kEnds, kEnds},
    {"read_on_to_the_next_super_slab", kEnds, kEnds},
    {"write_on_to_the_next_super_slab", kEnds, kEnds},
    {"read_back_to_the_last_super_slab", kEnds, kEnds},
    {"read_between_super_slabs", kEnds, kEnds},
    {"read_past_end_with_sigaction", kEnds, kEnds},
    {"read_past_end_with_signal", kEnds, kEnds},
    {"read_past_end_with_bsd_signal", kEnds, kEnds},
    {"read_past_end_with_sysv_signal", kEnds, kEnds},
    {"read_past_end_with_strict_signal", kEnds, kEnds},
};
constexpr std::size_t kBands[] = {24, 100, 4000, 70'000, 3'000'000};
constexpr std::size_t kSmallMost = 1 << 20;

void expect(Outcome outcome, ChildResult const& child) {
  switch (outcome) {
    case kRunsOn:
      EXPECT_EQ(child.exit_code, 0) << child.signal;
      EXPECT_EQ(child.err, "");
      break;
    case kStops:
      EXPECT_EQ(child.signal, SIGABRT) << child.exit_code;
      EXPECT_EQ(child.err.find("hakmem: "), 0u) << child.err;
      EXPECT_NE(child.err.find("the address belongs to no block\n"), std::string::npos) << child.err;
      break;
    case kEnds:
      EXPECT_NE(child.signal, SIGALRM) << "it was killed after a minute";
  }
  EXPECT_LE(count_of(child.err, "\n"), 1) << child.err;
}

class MisuseFast : public ::testing::TestWithParam<Weaker> {};

TEST_P(MisuseFast, has_the_documented_outcome_and_its_twin_runs_on) {
  for (std::size_t const size : kBands) {
    for (char const* where : {"main", "thread"}) {
      SCOPED_TRACE(std::to_string(size) + " bytes, " + where);
      std::vector<std::string> words = {PROGRAM, GetParam().bug, std::to_string(size), where, "wrong"};
      expect(size > kSmallMost ? GetParam().large : GetParam().small, run_child(FAST_LIBRARY, words, {}));
      words.back() = "right";
      expect(kRunsOn, run_child(FAST_LIBRARY, words, {}));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fast, MisuseFast, ::testing::ValuesIn(kWeaker),
                         [](auto const& weaker) { return std::string(weaker.param.bug); });

TEST(MisuseFastTable, covers_every_bug_that_there_is) {
  std::set<std::string> covered = {"hold_many", "hold_many_on_an_older_kernel", "hold_some_without_guards",
                                   "print_distances"};  // no bugs
  for (Weaker const& weaker : kWeaker) covered.insert(weaker.bug);
  std::istringstream names(run_child("", {PROGRAM, "list", "0", "main", "wrong"}, {}).out);
  std::set<std::string> const all(std::istream_iterator<std::string>(names), {});
  EXPECT_EQ(all, covered);
}

TEST(MisuseFastTable, outcomes_are_those_of_the_page) {
  std::ostringstream table;
  table << "| bug | up to 1 MiB | above |\n|---|---|---|\n";
  for (Weaker const& weaker : kWeaker)
    table << "| `" << weaker.bug << "` | " << text_of(weaker.small) << " | " << text_of(weaker.large) << " |\n";
  std::ostringstream page;
  page << std::ifstream(SECURITY_PAGE).rdbuf();
  EXPECT_NE(page.str().find("<!-- fast outcomes -->\n" + table.str() + "<!-- end of fast outcomes -->\n"),
            std::string::npos)
      << "the page must have this table between its marks:\n"
      << table.str();
}

}  // namespace
}  // namespace hakmem
