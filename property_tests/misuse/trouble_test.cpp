// A report needs no lock of the allocator's, no allocation and no heap that is whole: an error while all locks are
// held, by the thread that errs or by one that never lets go, or after the heap was overwritten. A program that does
// not end within a minute is killed by another signal than the promised one.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "property_tests/api/child.h"
#include "property_tests/scratch_path.h"

namespace hakmem {
namespace {

struct Bug {
  char const* name;
  char const* line;
  int signal;
  std::vector<char const*> stacks;
};
std::vector<Bug> const kBugs = {
    {"double_free",
     "double-free: free() of a freed 24-byte block from malloc",
     SIGABRT,
     {"found", "allocated", "freed"}},
    {"free_inside",
     "invalid-free: free() of an address 8 bytes inside a 24-byte block from malloc",
     SIGABRT,
     {"found", "allocated"}},
    {"write_past_end",
     "overflow: written 0 bytes past the end of a 24-byte block from malloc, found by free()",
     SIGABRT,
     {"found", "allocated"}},
    {"read_after_free",
     "use-after-free: read 1500000 bytes inside a freed 3000000-byte block from malloc",
     SIGSEGV,
     {"accessed", "allocated", "freed"}},
    {"read_past_end",
     "overflow: read 0 bytes past the end of a 3000000-byte block from malloc",
     SIGSEGV,
     {"accessed", "allocated"}},
};

ChildResult run_troubled(std::string const& trouble, Bug const& bug, std::vector<std::string> environment,
                         bool with_callback = false) {
  std::vector<std::string> words = {TROUBLED, trouble, bug.name};
  if (with_callback) words.push_back("callback");
  return run_child("", words, std::move(environment));
}

void expect_whole(std::string const& report, Bug const& bug) {
  EXPECT_EQ(report.substr(0, report.find('\n')), std::string("hakmem: ") + bug.line);
  EXPECT_EQ(count_of(report, "hakmem: "), 1) << report;
  for (char const* stack : bug.stacks) {
    std::string const title = std::string("\n  ") + stack + " by thread 1:\n    #0 0x";
    EXPECT_EQ(count_of(report, title), 1) << title << report;
  }
  EXPECT_TRUE(report.ends_with('\n')) << report;
}

class ReportInTrouble : public ::testing::TestWithParam<char const*> {};

TEST_P(ReportInTrouble, is_whole_allocates_nothing_and_the_program_ends) {
  for (Bug const& bug : kBugs) {
    if (GetParam() == std::string("blocks") && bug.name == std::string("write_past_end"))
      continue;  // its evidence is gone
    SCOPED_TRACE(bug.name);
    ChildResult const plain = run_troubled(GetParam(), bug, {});
    EXPECT_EQ(plain.signal, bug.signal) << plain.exit_code << plain.out;
    EXPECT_EQ(plain.out, "");
    expect_whole(plain.err, bug);

    ChildResult const named = run_troubled(GetParam(), bug, {"HAKMEM_SYMBOLIZE=1"}, true);
    EXPECT_EQ(named.signal, bug.signal) << named.exit_code << named.out;
    expect_whole(named.err, bug);
    EXPECT_GE(count_of(named.err, " in main+0x"), 1) << named.err;
    std::string const kind = std::string(bug.line).substr(0, std::string(bug.line).find(':'));
    EXPECT_EQ(named.out, "told " + kind + ", " + std::to_string(named.err.size()) + " bytes that end in 10\n");
  }
}

TEST_P(ReportInTrouble, goes_to_a_file_as_well) {
  testing::ScratchPath const file("report");
  for (Bug const& bug : {kBugs.front(), kBugs.back()}) {
    file.clear();
    ChildResult const child =
        run_troubled(GetParam(), bug, {"HAKMEM_REPORT=" + file.text(), "HAKMEM_REPORT_FORMAT=json"});
    EXPECT_EQ(child.signal, bug.signal) << child.exit_code << child.out;
    EXPECT_EQ(child.err, "");
    std::ostringstream text;
    text << std::ifstream(file.text()).rdbuf();
    auto const report = nlohmann::json::parse(text.str(), nullptr, false);
    ASSERT_TRUE(report.is_object()) << text.str();
    EXPECT_EQ(report["message"], std::string("hakmem: ") + bug.line);
    EXPECT_FALSE(report["stack"].empty());
    EXPECT_FALSE(report["allocated"].empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Hardened, ReportInTrouble,
                         ::testing::Values("none", "locks_held_here", "locks_held_elsewhere", "blocks"),
                         [](auto const& trouble) { return std::string(trouble.param); });

TEST(HardenedReport, does_not_wait_for_a_reader_of_its_file) {
  testing::ScratchPath const pipe("pipe");
  ASSERT_EQ(mkfifo(pipe.text().c_str(), 0600), 0);
  ChildResult const child = run_troubled("none", kBugs.front(), {"HAKMEM_REPORT=" + pipe.text()});
  EXPECT_EQ(child.signal, SIGABRT);
  expect_whole(child.err, kBugs.front());
}

// Without the truth about its blocks an allocator cannot say what happened to one. Where a call meets
// garbage it says that; an access meets a guard that nobody knows any more, unless looking for it meets garbage.
// SIGBUS: an address that is none, reached by a register that the processor takes for the stack's.
TEST(HardenedReport, of_overwritten_metadata_is_a_line_and_the_end) {
  for (std::string const garbage : {"zeroes", "ones", "random", "pointers"}) {
    for (Bug const& bug : kBugs) {
      SCOPED_TRACE(garbage + ", " + bug.name);
      ChildResult const child = run_troubled("metadata_" + garbage, bug, {"HAKMEM_SYMBOLIZE=1"}, true);
      EXPECT_TRUE(child.signal == SIGABRT || child.signal == SIGSEGV || child.signal == SIGBUS)
          << child.signal << child.exit_code << child.out;
      if (bug.signal == SIGABRT || garbage == "ones" || garbage == "random")
        EXPECT_EQ(child.err.find("hakmem: "), 0u) << child.err;
      else
        EXPECT_EQ(child.signal, SIGSEGV);
    }
  }
  EXPECT_EQ(run_troubled("metadata_ones", kBugs.front(), {}).err.find("hakmem: broken-heap: bad read by the allocator"),
            0u);
}

}  // namespace
}  // namespace hakmem
