// Requests refused on purpose: plans, which requests they refuse, and what programs see.
#include "hardened/failure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <string>

#include "property_tests/api/child.h"

namespace hakmem {
namespace {

using hardened::FailurePlan;

std::string written(FailurePlan const& plan) {
  char buffer[hardened::kTokenBytes];
  hardened::Text text(buffer, sizeof buffer);
  hardened::write_plan(text, plan);
  return {text.data(), text.size()};
}

TEST(HardenedFailure, plans_are_read_as_they_are_written) {
  for (std::string const plan : {"nth:1", "every:3", "every:3,size>=1024", "size>=4096", "rate:0.250000000,seed:7",
                                 "rate:1.000000000,size>=64,seed:9"}) {
    FailurePlan parsed;
    ASSERT_TRUE(hardened::parse_failure_plan(plan.c_str(), parsed)) << plan;
    EXPECT_EQ(written(parsed), plan);
  }
  FailurePlan parsed;
  EXPECT_FALSE(hardened::parse_failure_plan("size>=2M,seed:3,rate:.5", parsed)) << "a share has a whole part";
  EXPECT_TRUE(hardened::parse_failure_plan("size>=2M,seed:3,rate:0.5", parsed));
  EXPECT_EQ(written(parsed), "rate:0.500000000,size>=2097152,seed:3");
}

TEST(HardenedFailure, malformed_plans_are_refused_and_change_nothing) {
  for (char const* plan : {"",
                           "nth",
                           "nth:",
                           "nth:0",
                           "nth:-1",
                           "nth:1x",
                           "nth:1,",
                           ",nth:1",
                           "nth:1,every:2",
                           "seed:1",
                           "rate:1.1",
                           "rate:2",
                           "rate:0.1234567890",
                           "rate:0.",
                           "seed:0,rate:0.1",
                           "size>=",
                           "size>=K",
                           "size>=99999999999G",
                           "often",
                           "nth:9999999999999999999"}) {
    FailurePlan parsed;
    EXPECT_FALSE(hardened::parse_failure_plan(plan, parsed)) << plan;
    EXPECT_EQ(parsed.kind, FailurePlan::Kind::kNone) << plan;
  }
}

std::string refused_by(char const* plan, unsigned requests, std::size_t bytes = 100) {
  FailurePlan parsed;
  EXPECT_TRUE(hardened::parse_failure_plan(plan, parsed));
  hardened::start_failures(parsed);
  std::string verdicts;
  for (unsigned i = 0; i < requests; ++i) verdicts += hardened::refuses(bytes) ? 'x' : '.';
  return verdicts;
}

TEST(HardenedFailure, refuses_what_the_plan_says) {
  EXPECT_EQ(refused_by("nth:1", 4), "x...");
  EXPECT_EQ(refused_by("nth:3", 6), "..x...");
  EXPECT_EQ(refused_by("every:2", 6), ".x.x.x");
  EXPECT_EQ(refused_by("size>=101", 3), "...");
  EXPECT_EQ(refused_by("size>=100", 3), "xxx");
  EXPECT_EQ(refused_by("nth:2,size>=101", 3), "...");
  EXPECT_EQ(hardened::failure_counts().requests, 0u) << "requests that are too small are not counted";
  EXPECT_EQ(refused_by("rate:0", 50), std::string(50, '.'));
  EXPECT_EQ(refused_by("rate:1", 50), std::string(50, 'x'));
  hardened::start_failures({});
  EXPECT_FALSE(hardened::refuses(1));
  EXPECT_STREQ(hardened::failure_token(), "");
}

TEST(HardenedFailure, a_rate_is_met_and_repeated_by_its_token) {
  std::string const first = refused_by("rate:0.2", 5000);
  auto const refused = std::count(first.begin(), first.end(), 'x');
  EXPECT_GT(refused, 850);
  EXPECT_LT(refused, 1150);
  std::string const token = hardened::failure_token();
  ASSERT_EQ(token.find("HAKMEM_FAIL="), 0u);
  EXPECT_EQ(refused_by(token.c_str() + std::string("HAKMEM_FAIL=").size(), 5000), first);
  EXPECT_NE(refused_by("rate:0.2,seed:1", 5000), refused_by("rate:0.2,seed:2", 5000));
  hardened::start_failures({});
}

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
