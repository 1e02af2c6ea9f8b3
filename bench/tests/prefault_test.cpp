// The commands that measure prefaulting: map-populate and approaches.
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>

#include "bench/tests/hak_bench.h"

namespace hakmem::bench {
namespace {

constexpr double kBytes = 4 << 20;

// The median figures of each way to map 4 MiB.
std::map<std::string, nlohmann::json> ways() {
  std::string const json = scratch(".json");
  ChildResult const result = hak_bench("map-populate --mebibytes 4 --runs 5 --json " + json);
  EXPECT_EQ(result.failure, "") << result.output;
  nlohmann::json const document = nlohmann::json::parse(std::ifstream(json), nullptr, false);
  std::filesystem::remove(json);
  std::map<std::string, nlohmann::json> found;
  for (nlohmann::json const& row : document["sizes"][0]["ways"]) found[row["way"]] = row["median"];
  return found;
}

double pages() { return kBytes / static_cast<double>(sysconf(_SC_PAGESIZE)); }

bool traps_are_known(nlohmann::json const& way) { return way["setup_traps"].is_number(); }

TEST(BenchMapPopulate, populating_what_is_cut_off_costs_more_pages_than_are_kept) {
  auto const found = ways();
  EXPECT_NEAR(found.at("exact + MAP_POPULATE")["setup_minflt"].get<double>(), pages(), 4);
  EXPECT_GE(found.at("over-map + MAP_POPULATE + trim")["setup_minflt"].get<double>(), pages() * 1.4);
  EXPECT_NEAR(found.at("over-map + trim + populate")["setup_minflt"].get<double>(), pages(), 4);
}

TEST(BenchMapPopulate, every_way_but_off_leaves_all_pages_resident_and_no_trap_to_come) {
  for (auto const& [name, way] : ways()) {
    bool const off = name.find("+ off") != std::string::npos;
    EXPECT_EQ(way["resident_bytes"].get<double>(), off ? 0 : kBytes) << name;
    EXPECT_GE(way["calls"], 1) << name;
    if (!traps_are_known(way)) continue;
    double const traps = way["touch_traps"].get<double>();
    if (name == "engine + off") {
      EXPECT_NEAR(traps, pages(), 4);
    } else if (!off) {
      EXPECT_EQ(traps, 0) << name;
    }
  }
}

TEST(BenchMapPopulate, bad_input_is_one_line_and_a_failure) {
  expect_one_line_and_failure("map-populate --mebibytes 3", "multiple of 2");
  expect_one_line_and_failure("map-populate --mebibytes 0", "--mebibytes");
  expect_one_line_and_failure("map-populate --runs none", "--runs");
  expect_one_line_and_failure("map-populate --json /nonexistent/file", "/nonexistent/file");
}

TEST(BenchApproaches, options_reach_the_library_and_change_what_is_resident_and_when) {
  if (hak_bench("allocators").output.find("hakmem ") == std::string::npos) GTEST_SKIP() << "libhakmem.so is not built";
  std::string const json = scratch(".json");
  std::string const png = scratch(".png");
  ChildResult const result =
      hak_bench("approaches --quick --approach off --approach populate --approach 'off, warm-up 64M' --json " + json +
                " --png " + png);
  EXPECT_EQ(result.failure, "") << result.output;
  nlohmann::json const document = nlohmann::json::parse(std::ifstream(json), nullptr, false);
  ASSERT_EQ(document["cases"].size(), 4U);
  std::map<std::string, nlohmann::json> growth;
  for (nlohmann::json const& row : document["cases"][1]["results"]) growth[row["approach"]] = row["median"];
  ASSERT_EQ(growth.size(), 3U);
  EXPECT_GE(growth["off"]["peak_rss_bytes"], 128 << 20);
  EXPECT_GE(growth["off"]["cold_minflt"].get<double>(), growth["off, warm-up 64M"]["cold_minflt"].get<double>() * 1.5);
  if (growth["off"]["cold_traps"].is_number()) {
    EXPECT_GE(growth["off"]["cold_traps"].get<double>(), growth["populate"]["cold_traps"].get<double>() * 100);
  }
  EXPECT_TRUE(is_png(png));
  std::filesystem::remove(json);
  std::filesystem::remove(png);
}

TEST(BenchApproaches, bad_input_is_one_line_and_a_failure) {
  expect_one_line_and_failure("approaches --approach none", "--approach");
  expect_one_line_and_failure("approaches --library /nonexistent.so", "/nonexistent.so");
  expect_one_line_and_failure("approaches --png /nonexistent/file", "/nonexistent/file");
  expect_one_line_and_failure("approaches --runs 0", "--runs");
}

}  // namespace
}  // namespace hakmem::bench
