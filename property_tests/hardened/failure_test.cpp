// Requests refused on purpose: plans, and which requests they refuse.
#include "hardened/failure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <utility>

#include "hardened/entropy.h"

namespace hakmem::hardened {
namespace {

std::string written(FailurePlan const& plan) {
  char buffer[kTokenBytes];
  Text text(buffer, sizeof buffer);
  write_plan(text, plan);
  return {text.data(), text.size()};
}

void expect_same(FailurePlan const& plan, FailurePlan const& expected) {
  EXPECT_EQ(plan.kind, expected.kind);
  EXPECT_EQ(plan.number, expected.number);
  EXPECT_EQ(plan.least, expected.least);
  EXPECT_EQ(plan.seed, expected.seed);
}

using Kind = FailurePlan::Kind;
struct Form {
  char const* text;
  FailurePlan plan;
  char const* written = nullptr;  // null: as it was read
};
constexpr std::uint64_t kMost = ~std::uint64_t{0};
constexpr Form kForms[] = {
    {"nth:1", {Kind::kNth, 1, 0, 0}},
    {"nth:18446744073709551615", {Kind::kNth, kMost, 0, 0}},
    {"nth:0010", {Kind::kNth, 10, 0, 0}, "nth:10"},
    {"every:3", {Kind::kEvery, 3, 0, 0}},
    {"every:3,size>=1024", {Kind::kEvery, 3, 1024, 0}},
    {"nth:2,seed:9", {Kind::kNth, 2, 0, 9}, "nth:2"},
    {"size>=4096", {Kind::kAll, 0, 4096, 0}},
    {"size>=0", {Kind::kAll, 0, 0, 0}},
    {"size>=18446744073709551615", {Kind::kAll, 0, kMost, 0}},
    {"size>=3K", {Kind::kAll, 0, 3 << 10, 0}, "size>=3072"},
    {"size>=5M,nth:4", {Kind::kNth, 4, 5 << 20, 0}, "nth:4,size>=5242880"},
    {"size>=7G", {Kind::kAll, 0, std::uint64_t{7} << 30, 0}, "size>=7516192768"},
    {"size>=17179869183G", {Kind::kAll, 0, std::uint64_t{17179869183} << 30, 0}, "size>=18446744072635809792"},
    {"rate:0", {Kind::kRate, 0, 0, 0}, "rate:0.000000000"},
    {"rate:0.250000000,seed:7", {Kind::kRate, 250'000'000, 0, 7}},
    {"rate:0.123456789", {Kind::kRate, 123'456'789, 0, 0}},
    {"rate:0.5,seed:3", {Kind::kRate, 500'000'000, 0, 3}, "rate:0.500000000,seed:3"},
    {"rate:1", {Kind::kRate, 1'000'000'000, 0, 0}, "rate:1.000000000"},
    {"rate:1.000000000,size>=64,seed:9", {Kind::kRate, 1'000'000'000, 64, 9}},
    {"size>=2M,seed:3,rate:0.5", {Kind::kRate, 500'000'000, 2 << 20, 3}, "rate:0.500000000,size>=2097152,seed:3"},
};

TEST(HardenedFailure, plans_are_read_in_every_form_and_written_so_that_they_read_the_same) {
  for (Form const& form : kForms) {
    SCOPED_TRACE(form.text);
    FailurePlan parsed;
    ASSERT_TRUE(parse_failure_plan(form.text, parsed));
    expect_same(parsed, form.plan);
    EXPECT_EQ(written(parsed), form.written ? form.written : form.text);
    FailurePlan again;
    ASSERT_TRUE(parse_failure_plan(written(parsed).c_str(), again));
    if (parsed.kind != Kind::kRate) parsed.seed = 0;
    expect_same(again, parsed);
  }
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
                           "rate:0.0123456789",
                           "rate:0.",
                           "rate:.5",
                           "rate:1.000000001",
                           "rate:0,5",
                           "rate:0.5,rate:0.5",
                           "size>=2M,seed:3,rate:.5",
                           "every:0",
                           "every",
                           "neither:1",
                           "size>=17179869184G",
                           "size>=1T",
                           "nth:a",
                           "nth:/",
                           "nth::",
                           "nth:1 ",
                           "nth:1,,size>=1",
                           "seed:x,rate:0.1",
                           "seed:0,rate:0.1",
                           "size>=",
                           "size>=K",
                           "size>=18446744073709551616",
                           "size>=18446744073709551615K",
                           "size>=99999999999G",
                           "often",
                           "nth:18446744073709551616",
                           "nth:20000000000000000000",
                           "nth:99999999999999999999"}) {
    FailurePlan parsed;
    EXPECT_FALSE(parse_failure_plan(plan, parsed)) << plan;
    EXPECT_EQ(parsed.kind, FailurePlan::Kind::kNone) << plan;
  }
}

std::string refused_by(char const* plan, unsigned requests, std::size_t bytes = 100) {
  FailurePlan parsed;
  EXPECT_TRUE(parse_failure_plan(plan, parsed));
  start_failures(parsed);
  std::string verdicts;
  for (unsigned i = 0; i < requests; ++i) verdicts += refuses(bytes) ? 'x' : '.';
  return verdicts;
}

TEST(HardenedFailure, refuses_what_the_plan_says) {
  EXPECT_EQ(refused_by("nth:1", 4), "x...");
  EXPECT_EQ(refused_by("nth:3", 6), "..x...");
  EXPECT_EQ(refused_by("every:2", 6), ".x.x.x");
  EXPECT_EQ(refused_by("every:1", 3), "xxx");
  EXPECT_EQ(refused_by("size>=0", 3, 0), "xxx");
  EXPECT_EQ(refused_by("nth:2", 3, 0), ".x.");
  EXPECT_EQ(refused_by("size>=101", 3), "...");
  EXPECT_EQ(refused_by("size>=100", 3), "xxx");
  EXPECT_EQ(refused_by("nth:2,size>=101", 3), "...");
  EXPECT_EQ(failure_counts().requests, 0u) << "requests that are too small are not counted";
  EXPECT_EQ(refused_by("rate:0", 50), std::string(50, '.'));
  EXPECT_EQ(refused_by("rate:1", 50), std::string(50, 'x'));
  start_failures({});
  EXPECT_FALSE(refuses(1));
  EXPECT_STREQ(failure_token(), "");
}

TEST(HardenedFailure, counts_what_was_asked_and_what_was_refused_since_the_start) {
  refused_by("every:3", 10);
  EXPECT_EQ(failure_counts().requests, 10u);
  EXPECT_EQ(failure_counts().refused, 3u);
  refuses(100);
  EXPECT_EQ(failure_counts().requests, 11u);
  refused_by("nth:1,size>=50", 4, 49);
  EXPECT_EQ(failure_counts().requests, 0u);
  EXPECT_EQ(failure_counts().refused, 0u);
  EXPECT_FALSE(refuses(49));
  EXPECT_TRUE(refuses(50));
  start_failures({});
  refuses(100);
  EXPECT_EQ(failure_counts().requests, 0u) << "nothing is counted without a plan";
}

TEST(HardenedFailure, a_rate_without_a_seed_draws_another_one_each_time) {
  std::set<std::string> tokens;
  for (int i = 0; i < 20; ++i) {
    refused_by("rate:0.5", 1);
    std::string const token = failure_token();
    EXPECT_EQ(token.find("HAKMEM_FAIL=rate:0.500000000,seed:"), 0u);
    EXPECT_EQ(token.find(",seed:0"), std::string::npos);
    tokens.insert(token);
  }
  EXPECT_EQ(tokens.size(), 20u);
  start_failures({});
}

// States of the generator after which it gives 1'000'000'000 and 999'999'999.
TEST(HardenedFailure, a_seed_that_is_drawn_is_1_to_a_billion) {
  for (auto const& [state, seed] :
       {std::pair{std::uint64_t{6498031520185415866u}, "1"}, {std::uint64_t{7419554015829250069u}, "1000000000"}}) {
    own.random = state;
    refused_by("rate:0.5", 1);
    EXPECT_EQ(failure_token(), std::string("HAKMEM_FAIL=rate:0.500000000,seed:") + seed);
  }
  start_failures({});
}

TEST(HardenedFailure, the_longest_token_fits_its_place) {
  for (Form const& form : kForms) {
    FailurePlan plan = form.plan;
    plan.least = ~std::uint64_t{0};
    if (plan.seed != 0) plan.seed = kMost;
    start_failures(plan);
    EXPECT_LT(std::string(failure_token()).size(), kTokenBytes - 1);
  }
  start_failures({});
}

TEST(HardenedFailure, rates_are_met_whatever_they_are) {
  for (unsigned const percent : {1u, 10u, 50u, 90u, 99u}) {
    char plan[32];
    std::snprintf(plan, sizeof plan, "rate:0.%02u,seed:5", percent);
    std::string const verdicts = refused_by(plan, 20000);
    auto const refused = std::count(verdicts.begin(), verdicts.end(), 'x');
    EXPECT_NEAR(static_cast<double>(refused), 200.0 * percent, 300) << plan;
  }
  start_failures({});
}

TEST(HardenedFailure, a_rate_is_met_and_repeated_by_its_token) {
  std::string const first = refused_by("rate:0.2", 5000);
  auto const refused = std::count(first.begin(), first.end(), 'x');
  EXPECT_GT(refused, 850);
  EXPECT_LT(refused, 1150);
  std::string const token = failure_token();
  ASSERT_EQ(token.find("HAKMEM_FAIL="), 0u);
  EXPECT_EQ(refused_by(token.c_str() + std::string("HAKMEM_FAIL=").size(), 5000), first);
  EXPECT_NE(refused_by("rate:0.2,seed:1", 5000), refused_by("rate:0.2,seed:2", 5000));
  start_failures({});
}

// A token repeats the same refusals in any later version as well.
TEST(HardenedFailure, a_rate_with_a_seed_refuses_the_requests_that_its_formula_says) {
  EXPECT_EQ(refused_by("rate:0.3,seed:1", 40), ".......xx.....x.xx.x...........xx...xx..");
  EXPECT_EQ(refused_by("rate:0.3,seed:2", 40), "...x...xx.......x.x...x........x.xx.....");
  EXPECT_EQ(refused_by("rate:0.733443778,seed:2", 1), ".") << "what the formula gives is not below the rate";
  EXPECT_EQ(refused_by("rate:0.733443779,seed:2", 1), "x");
  start_failures({});
}

}  // namespace
}  // namespace hakmem::hardened
