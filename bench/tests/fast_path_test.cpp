// The counter of fast-path instructions, tried on the C library's own malloc.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "bench/compare/child.h"

namespace hakmem::bench {
namespace {

class BenchFastPath : public testing::Test {
 protected:
  void SetUp() override {
    Dl_info info{};
    ASSERT_NE(dladdr(reinterpret_cast<void const*>(&std::malloc), &info), 0);
    library_ = info.dli_fname;
    golden_ = std::filesystem::temp_directory_path() / ("fast-path-test-" + std::to_string(getpid()));
    write_golden("malloc 1 -\n");
  }
  void TearDown() override { std::filesystem::remove(golden_); }

  void write_golden(std::string const& text) const { std::ofstream(golden_) << text; }

  ChildResult count(std::string const& action) const {
    return run_child({"/bin/sh", "-c",
                      std::string("exec ") + COUNT_FAST_PATH + " --tracer " + TRACE_CALLS + " --library " + library_ +
                          " --golden " + golden_.string() + " " + action + " 2>&1"},
                     "");
  }

  std::string library_;
  std::filesystem::path golden_;
};

TEST_F(BenchFastPath, an_updated_table_checks) {
  EXPECT_EQ(count("--update").failure, "");
  ChildResult const check = count("--check");
  EXPECT_EQ(check.failure, "") << check.output;
}

TEST_F(BenchFastPath, every_path_ends_with_its_return) {
  std::istringstream lines(count("").output);
  int paths = 0;
  std::string previous = "ret";
  for (std::string line; std::getline(lines, line); previous = line) {
    if (line.starts_with(" ")) continue;
    EXPECT_TRUE(previous.ends_with("ret")) << previous;
    ++paths;
  }
  EXPECT_TRUE(previous.ends_with("ret")) << previous;
  EXPECT_EQ(paths, 5);
}

TEST_F(BenchFastPath, another_count_than_the_table_says_fails) {
  ChildResult const check = count("--check");
  EXPECT_NE(check.failure, "");
  EXPECT_NE(check.output.find("the golden table says 1"), std::string::npos) << check.output;
}

TEST_F(BenchFastPath, a_count_above_the_budget_fails) {
  ASSERT_EQ(count("--update").failure, "");
  std::ostringstream table;
  std::ifstream lines(golden_);
  for (std::string line; std::getline(lines, line);) {
    table << (line.starts_with("malloc ") ? line.substr(0, line.size() - 1) + "2" : line) << "\n";
  }
  write_golden(table.str());
  ChildResult const check = count("--check");
  EXPECT_NE(check.failure, "");
  EXPECT_NE(check.output.find("the budget is 2"), std::string::npos) << check.output;
}

}  // namespace
}  // namespace hakmem::bench
