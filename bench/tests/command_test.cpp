// The hak-bench program as its users see it: run as a child process.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "bench/tests/hak_bench.h"

namespace hakmem::bench {
namespace {

nlohmann::json report_of(std::string const& arguments, std::string const& preload = "") {
  ChildResult const result = hak_bench(arguments + " --json", preload);
  EXPECT_EQ(result.failure, "") << result.output;
  return nlohmann::json::parse(result.output, nullptr, false);
}

// name and path of each library that can be preloaded
std::vector<std::pair<std::string, std::string>> libraries() {
  std::istringstream lines(hak_bench("allocators").output);
  std::vector<std::pair<std::string, std::string>> result;
  for (std::string name, path; lines >> name >> path;) result.emplace_back(name, path);
  return result;
}

double remote_share(unsigned percent) {
  nlohmann::json const report = report_of("random-mixed 200000 256 7 --threads 2 --remote " + std::to_string(percent));
  nlohmann::json const& warm = report["warm"];
  double const frees = warm["operations"].get<double>() - warm["allocations"].get<double>();
  return warm["remote_frees"].get<double>() / frees;
}

TEST(BenchRandomMixed, the_remote_share_of_frees_is_what_was_asked) {
  EXPECT_EQ(report_of("random-mixed 20000 256 7 --threads 2")["warm"]["remote_frees"], 0);
  EXPECT_NEAR(remote_share(20), 0.20, 0.01);
  EXPECT_DOUBLE_EQ(remote_share(100), 1.0);
}

TEST(BenchRandomMixed, a_seed_gives_the_same_operations_under_every_allocator) {
  std::string const arguments = "random-mixed 20000 256 42";
  nlohmann::json const under_libc = report_of(arguments);
  EXPECT_NE(under_libc["warm"]["allocations"], report_of("random-mixed 20000 256 43")["warm"]["allocations"]);
  for (auto const& [name, path] : libraries()) {
    EXPECT_EQ(report_of(arguments, path)["warm"]["allocations"], under_libc["warm"]["allocations"]) << name;
  }
}

TEST(BenchRandomMixed, an_operation_is_one_malloc_or_one_free) {
  nlohmann::json const report = report_of("random-mixed 20000 256 42");
  EXPECT_EQ(report["cold"]["operations"], 20000);
  EXPECT_EQ(report["warm"]["operations"], 20000);
  double const live = report["cold"]["allocations"].get<double>() * 2 - 20000;
  EXPECT_GE(live, 0);
  EXPECT_LE(live, 256);
}

TEST(BenchIdentity, a_report_names_the_library_that_was_preloaded) {
  EXPECT_EQ(report_of("empty")["allocator"]["soname"], "libc.so.6");
  for (auto const& [name, path] : libraries()) {
    nlohmann::json const allocator = report_of("empty", path)["allocator"];
    EXPECT_EQ(allocator["file"], std::filesystem::canonical(path).string()) << name;
    EXPECT_TRUE(allocator["complete"].get<bool>()) << name;
    EXPECT_NE(allocator["version"], "") << name;
  }
}

TEST(BenchScenario, each_one_runs_and_reports_both_phases) {
  for (char const* const arguments : {"random-mixed 20000", "larson 20000", "producer-consumer 20000", "grow 4",
                                      "large 100", "burst-idle 2 --idle-ms 1", "containers 30000", "empty"}) {
    nlohmann::json const report = report_of(arguments);
    EXPECT_GT(report["cold"]["operations"], 0) << arguments;
    EXPECT_EQ(report["cold"]["operations"], report["warm"]["operations"]) << arguments;
    EXPECT_GE(report["peak_rss_bytes"], report["start_rss_bytes"]) << arguments;
  }
}

TEST(BenchScenario, growing_by_n_mebibytes_raises_the_peak_by_at_least_as_much) {
  nlohmann::json const report = report_of("grow 32");
  EXPECT_GE(report["peak_rss_bytes"].get<double>() - report["start_rss_bytes"].get<double>(), 32 << 20);
  EXPECT_GE(report["cold"]["minflt"], 32 * 256 / 16);  // with pages of up to 64 KiB
}

TEST(BenchCommand, bad_input_is_one_line_and_a_failure) {
  expect_one_line_and_failure("random-mixed many", "iterations");
  expect_one_line_and_failure("random-mixed 1000 0", "slots");
  expect_one_line_and_failure("random-mixed 1000 256 42 --remote 20", "--threads 2");
  expect_one_line_and_failure("no-such-scenario", "hak-bench:");
  expect_one_line_and_failure("compare --scenarios none", "--scenarios");
  expect_one_line_and_failure("compare --allocator mine=/nonexistent.so", "/nonexistent.so");
  expect_one_line_and_failure("compare --allocator mine", "NAME=PATH");
  expect_one_line_and_failure("compare --json /nonexistent/file", "/nonexistent/file");
}

TEST(BenchCompare, a_library_that_is_not_the_allocator_is_refused) {
  ChildResult const result = hak_bench(std::string("compare --runs 1 --quick --allocator fake=") + NOT_AN_ALLOCATOR);
  EXPECT_NE(result.failure, "");
  EXPECT_NE(result.output.find("fake: the child measured"), std::string::npos) << result.output;
}

TEST(BenchCompare, json_and_picture_hold_every_allocator_that_is_there) {
  std::string const json = scratch(".json");
  std::string const png = scratch(".png");
  ChildResult const result =
      hak_bench("compare --runs 1 --quick --scenarios containers --json " + json + " --png " + png);
  EXPECT_EQ(result.failure, "") << result.output;
  nlohmann::json const document = nlohmann::json::parse(std::ifstream(json), nullptr, false);
  ASSERT_EQ(document["cases"].size(), 1U);
  EXPECT_EQ(document["cases"][0]["results"].size(), libraries().size() + 1);
  for (nlohmann::json const& row : document["cases"][0]["results"]) {
    EXPECT_GT(row["median"]["warm_operations_per_second"], 0) << row["allocator"];
  }
  EXPECT_TRUE(is_png(png));
  std::filesystem::remove(json);
  std::filesystem::remove(png);
}

}  // namespace
}  // namespace hakmem::bench
