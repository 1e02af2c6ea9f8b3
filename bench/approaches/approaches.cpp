#include "bench/approaches/approaches.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <numeric>
#include <random>
#include <sstream>
#include <string_view>

#include "bench/compare/results.h"
#include "bench/compare/run_once.h"
#include "bench/harness/output.h"
#include "bench/map_populate/ways.h"
#include "core/base/geometry.h"

namespace hakmem::bench {
namespace {

using Json = nlohmann::json;

struct Approach {
  char const* name;
  char const* prefault;  // null: the C library's allocator, for reference
  char const* huge;
  char const* warmup;
  char const* batch = "16";
};

constexpr Approach kApproaches[] = {
    {"glibc", nullptr, nullptr, nullptr},
    {"off", "off", "never", "0"},
    {"populate", "populate", "never", "0"},
    {"touch", "touch", "never", "0"},
    {"ahead", "ahead", "never", "0"},
    {"background", "background", "never", "0"},
    {"off, batch 1", "off", "never", "0", "1"},
    {"off, batch 4", "off", "never", "0", "4"},
    {"populate, batch 1", "populate", "never", "0", "1"},
    {"off, warm-up 64M", "off", "never", "64M"},
    {"off, advise", "off", "advise", "0"},
    {"populate, advise", "populate", "advise", "0"},
    {"ahead, advise", "ahead", "advise", "0"},
    {"background, advise", "background", "advise", "0"},
    {"off, collapse", "off", "collapse", "0"},
    {"off, hugetlb", "off", "hugetlb", "0"},
    {"populate, hugetlb", "populate", "hugetlb", "0"},
    {"populate, advise, warm-up 64M", "populate", "advise", "64M"},
};

struct Setting {
  char const* name;
  char const* arguments;
  char const* quick_arguments;
  // Compared with the kernel making as much resident by itself; 0: not compared.
  unsigned mebibytes = 0;
  unsigned quick_mebibytes = 0;
};

constexpr Setting kSettings[] = {
    {"cold start", "random-mixed 100000 256 42", "random-mixed 100000 256 42"},
    {"growth, touched once", "grow 1024", "grow 128", 1024, 128},
    {"steady state", "random-mixed 20000000 8192 42", "random-mixed 2000000 8192 42"},
    {"burst and idle", "burst-idle 64 --bursts 2 --idle-ms 700", "burst-idle 16 --bursts 2 --idle-ms 100"},
};

struct Options {
  std::vector<std::string> approaches;
  std::string library;
  unsigned runs = 5;
  bool quick = false;
  std::string json_file;
  std::string png_file;
};

struct Measured {
  Approach approach;
  std::vector<Json> reports;
  std::string failure;
};

std::string library_under_test(Options const& options) {
  if (!options.library.empty()) return parse_candidate("hakmem=" + options.library).library;
  for (Candidate const& candidate : find_candidates(false).found) {
    if (candidate.name == "hakmem") return candidate.library;
  }
  throw std::runtime_error("no libhakmem.so in ../lib beside hak-bench; name one with --library");
}

std::vector<std::string> words_of(char const* text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

Json run_approach(Approach const& approach, std::string const& library, std::vector<std::string> const& arguments,
                  std::string& failure) {
  if (approach.prefault == nullptr) return run_once({approach.name, "", true}, arguments, failure);
  return run_once({approach.name, library, false}, arguments, failure,
                  {std::string("HAKMEM_SS_PREFAULT=") + approach.prefault, std::string("HAKMEM_HUGE=") + approach.huge,
                   std::string("HAKMEM_WARMUP=") + approach.warmup, std::string("HAKMEM_BATCH=") + approach.batch});
}

// What the kernel takes to make that much resident in the way that the approach asks for, without an
// allocator: one populate call a SuperSlab, or one write a page.
double kernel_seconds(Approach const& approach, std::size_t mebibytes) {
  std::string_view const prefault = approach.prefault, huge = approach.huge;
  bool const touched = prefault == "off" || prefault == "background";
  WayCost const cost = measure({.acquisition = Acquisition::kEngine,
                                .prefault = touched ? PrefaultPolicy::kOff : PrefaultPolicy::kPopulate,
                                .huge = huge == "advise"     ? HugePolicy::kAdvise
                                        : huge == "collapse" ? HugePolicy::kCollapse
                                        : huge == "hugetlb"  ? HugePolicy::kHugetlb
                                                             : HugePolicy::kNever},
                               mebibytes * kMiB);
  return cost.setup_seconds + cost.touch_seconds;
}

// The same memory a second time costs no pages: the difference of both passes is what they cost.
void compare_with_kernel(Json& report, Approach const& approach, std::size_t mebibytes) {
  double const pages = report["cold"]["seconds"].get<double>() - report["warm"]["seconds"].get<double>();
  report["times_the_kernel"] = pages / kernel_seconds(approach, mebibytes);
}

// Without a pool of huge pages, hugetlb would measure the fallback under its name.
bool can_be_measured(Approach const& approach) {
  bool const pool = approach.huge != nullptr && std::string_view(approach.huge) == "hugetlb";
  return !pool || is_offered(HugePolicy::kHugetlb, DefaultGeometry::kSuperSlabBytes);
}

// All approaches in each repetition, in another order each time: what the one before leaves to the
// kernel (free huge pages, or none) is part of what the next one meets.
std::vector<Measured> run_setting(Setting const& setting, Options const& options, std::string const& library) {
  std::vector<Measured> measured;
  for (Approach const& approach : kApproaches) {
    bool const named =
        std::find(options.approaches.begin(), options.approaches.end(), approach.name) != options.approaches.end();
    if ((named || options.approaches.empty()) && can_be_measured(approach)) measured.push_back({approach, {}, ""});
  }
  std::vector<std::string> const arguments = words_of(options.quick ? setting.quick_arguments : setting.arguments);
  unsigned const runs = options.quick ? 1 : options.runs;
  std::size_t const mebibytes = options.quick ? setting.quick_mebibytes : setting.mebibytes;
  std::vector<std::size_t> order(measured.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937 random(42);
  for (unsigned run = 0; run < runs; ++run) {
    std::shuffle(order.begin(), order.end(), random);
    for (std::size_t const turn : order) {
      Measured& entry = measured[turn];
      if (!entry.failure.empty()) continue;
      bool const compared = mebibytes != 0 && entry.approach.prefault != nullptr;
      if (compared) kernel_seconds(entry.approach, mebibytes);  // both sides find the pages that it leaves
      Json report = run_approach(entry.approach, library, arguments, entry.failure);
      if (report.is_null()) continue;
      if (compared) compare_with_kernel(report, entry.approach, mebibytes);
      entry.reports.push_back(std::move(report));
    }
  }
  return measured;
}

std::string cell(Json const& value, double scale, int width, int decimals) {
  char text[32];
  if (value.is_number()) {
    std::snprintf(text, sizeof text, " %*.*f", width, decimals, value.get<double>() * scale);
  } else {
    std::snprintf(text, sizeof text, " %*s", width, "n/a");
  }
  return text;
}

Json sum(Json const& left, Json const& right) {
  return left.is_number() && right.is_number() ? Json(left.get<double>() + right.get<double>()) : Json(nullptr);
}

std::string row(Measured const& measured, Json const& median) {
  constexpr double kMillion = 1e-6;
  constexpr double kMebibyte = 1.0 / (1 << 20);
  std::string name = measured.approach.name;
  name.resize(std::max<std::size_t>(30, name.size()), ' ');
  if (!measured.failure.empty()) return name + " failed: " + measured.failure + "\n";
  return name + cell(median["cold_operations_per_second"], kMillion, 8, 2) +
         cell(median["warm_operations_per_second"], kMillion, 8, 2) + cell(median["cold_traps"], 1, 9, 0) +
         cell(median["warm_traps"], 1, 9, 0) + cell(sum(median["cold_minflt"], median["warm_minflt"]), 1, 9, 0) +
         cell(median["process_system_seconds"], 1, 9, 3) + cell(median["process_seconds"], 1, 8, 3) +
         cell(median["peak_rss_bytes"], kMebibyte, 9, 1) + cell(median["final_rss_bytes"], kMebibyte, 9, 1) +
         (median["times_the_kernel"].is_number() ? cell(median["times_the_kernel"], 1, 9, 2) : "") + "\n";
}

Json report_setting(Setting const& setting, std::vector<Measured> const& measured, std::string& failed) {
  std::cout << "\n"
            << setting.name
            << "\n                               cold M/s warm M/s cold traps warm traps  minflt  system s  whole s  "
               "peak MiB final MiB"
            << (setting.mebibytes != 0 ? " x kernel" : "") << "\n";
  Json rows = Json::array();
  for (Measured const& entry : measured) {
    Json const median = medians(entry.reports);
    std::cout << row(entry, median) << std::flush;
    if (!entry.failure.empty()) failed += std::string(" ") + entry.approach.name + "/" + setting.name;
    rows.push_back({{"approach", entry.approach.name},
                    {"peer", entry.approach.prefault == nullptr},
                    {"median", median},
                    {"reports", entry.reports},
                    {"failure", entry.failure}});
  }
  return {{"case", setting.name}, {"results", std::move(rows)}};
}

void approaches(Options const& options) {
  std::string const library = library_under_test(options);
  for (std::string const& path : {options.json_file, options.png_file}) require_writable(path);
  Json document = {{"library", library}, {"runs", options.runs}, {"quick", options.quick}, {"cases", Json::array()}};
  for (Approach const& approach : kApproaches) {
    if (!can_be_measured(approach)) std::cout << approach.name << ": not offered by this kernel now\n";
  }
  std::string failed;
  for (Setting const& setting : kSettings) {
    document["cases"].push_back(report_setting(setting, run_setting(setting, options, library), failed));
  }
  if (!options.json_file.empty()) write_json(options.json_file, document);
  if (!options.png_file.empty()) write_png(options.png_file, document, "hak-bench-plot");
  if (!failed.empty()) throw std::runtime_error("failed:" + failed);
}

}  // namespace

void add_approaches_command(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "approaches", "Compares prefault policies, batches, huge pages and warm-up, interleaved, by medians");
  auto const options = std::make_shared<Options>();
  std::vector<std::string> names;
  for (Approach const& entry : kApproaches) names.emplace_back(entry.name);
  command->add_option("--approach", options->approaches, "one to run instead of all; may be repeated")
      ->check(CLI::IsMember(names));
  command->add_option("--library", options->library, "the libhakmem.so to measure instead of the one built here");
  command->add_option("--runs", options->runs, "repetitions, of which the median counts")->check(CLI::Range(1U, 1000U));
  command->add_flag("--quick", options->quick, "one repetition of smaller scenarios, under a minute");
  command->add_option("--json", options->json_file, "write every report and the medians to this file");
  command->add_option("--png", options->png_file, "draw the medians into this file");
  command->callback([options] { approaches(*options); });
}

}  // namespace hakmem::bench
