// Requests refused on purpose, as programs see it.
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "property_tests/api/child.h"

namespace hakmem {
namespace {

std::string verdicts_of(std::string const& plan) { return run_child(LIBRARY, {FAILS, plan}, {}).out; }

TEST(HardenedFailure, every_call_is_refused_with_enomem_and_keeps_its_block) {
  EXPECT_EQ(verdicts_of("nth:100"), std::string(42, '.') + " 0 0\n");
  EXPECT_EQ(verdicts_of("rate:1"), std::string(42, 'x') + " 42 0\n");
  EXPECT_EQ(verdicts_of("size>=1000"), ".x.xxx..x.xxx..x.xxx..x.xxx..x.xxx..x.xxx. 24 0\n");
  EXPECT_EQ(verdicts_of("nth:7"), ".....x" + std::string(36, '.') + " 1 0\n") << "realloc asks a second time";
  EXPECT_EQ(verdicts_of("nth:8"), "......x" + std::string(35, '.') + " 1 0\n") << "new asks once, without a handler";
  EXPECT_EQ(verdicts_of("never"), std::string(42, '.') + " 0 22\n");
}

TEST(HardenedFailure, the_environment_says_it_too_and_reports_how_to_repeat_it) {
  EXPECT_NE(run_child(LIBRARY, {FAILS}, {"HAKMEM_FAIL=size>=1000"}).out.find(".x.xxx."), std::string::npos);
  ChildResult const malformed = run_child(LIBRARY, {FAILS}, {"HAKMEM_FAIL=often"});
  EXPECT_NE(malformed.err.find("HAKMEM_FAIL must be"), std::string::npos);
  EXPECT_EQ(malformed.out.find('x'), std::string::npos);
  ChildResult const report =
      run_child(LIBRARY, {PROGRAM, "double_free", "24", "main", "wrong"}, {"HAKMEM_FAIL=nth:1,size>=1K"});
  EXPECT_EQ(report.signal, SIGABRT);
  EXPECT_NE(report.err.find("repeat with HAKMEM_FAIL=nth:1,size>=1024\n"), std::string::npos) << report.err;
  EXPECT_EQ(run_child(LIBRARY, {PROGRAM, "double_free", "24", "main", "wrong"}, {}).err.find("repeat with"),
            std::string::npos);
  ChildResult const figures = run_child(LIBRARY, {FAILS}, {"HAKMEM_FAIL=every:5,size>=1K", "HAKMEM_STATS=text"});
  EXPECT_NE(figures.err.find("; repeat with HAKMEM_FAIL=every:5,size>=1024\n"), std::string::npos) << figures.err;
}

TEST(HardenedFailure, the_fast_build_refuses_to_refuse) {
  EXPECT_EQ(run_child(FAST_LIBRARY, {FAILS, "rate:1"}, {}).out, std::string(42, '.') + " 0 95\n");
}

}  // namespace
}  // namespace hakmem
