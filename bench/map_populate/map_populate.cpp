#include "bench/map_populate/map_populate.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>

#include "bench/harness/median.h"
#include "bench/harness/output.h"
#include "bench/map_populate/ways.h"

namespace hakmem::bench {
namespace {

using Json = nlohmann::json;

struct Options {
  std::vector<std::size_t> mebibytes = {2, 64};
  unsigned runs = 15;
  std::string json_file;
};

struct MeasuredWay {
  Way way;
  std::vector<Json> costs;  // one for each repetition
};

Json to_json(WayCost const& cost) {
  Json json = {{"setup_seconds", cost.setup_seconds},   {"setup_traps", nullptr},
               {"setup_minflt", cost.setup_minflt},     {"calls", cost.calls},
               {"resident_bytes", cost.resident_bytes}, {"huge_bytes", cost.huge_bytes},
               {"touch_seconds", cost.touch_seconds},   {"touch_traps", nullptr}};
  if (cost.setup_traps) json["setup_traps"] = *cost.setup_traps;
  if (cost.touch_traps) json["touch_traps"] = *cost.touch_traps;
  return json;
}

Json medians(MeasuredWay const& measured) {
  Json result = Json::object();
  for (auto const& [figure, ignored] : measured.costs.front().items()) {
    auto const value = median(measured.costs, "/" + figure);
    result[figure] = value ? Json(*value) : Json(nullptr);
  }
  return result;
}

std::string cell(Json const& value, double scale, int width, int decimals) {
  char text[32];
  if (value.is_null()) {
    std::snprintf(text, sizeof text, " %*s", width, "n/a");
  } else {
    std::snprintf(text, sizeof text, " %*.*f", width, decimals, value.get<double>() * scale);
  }
  return text;
}

std::string row(std::string const& name, Json const& median) {
  constexpr double kMicroseconds = 1e6;
  constexpr double kMebibytes = 1.0 / (1 << 20);
  std::string padded = name;
  padded.resize(std::max<std::size_t>(36, name.size()), ' ');
  return padded + cell(median["setup_seconds"], kMicroseconds, 11, 1) + cell(median["setup_traps"], 1, 8, 0) +
         cell(median["setup_minflt"], 1, 8, 0) + cell(median["calls"], 1, 6, 0) +
         cell(median["resident_bytes"], kMebibytes, 9, 1) + cell(median["huge_bytes"], kMebibytes, 7, 1) +
         cell(median["touch_seconds"], kMicroseconds, 11, 1) + cell(median["touch_traps"], 1, 8, 0) + "\n";
}

// One repetition of every way after the other, so that a slow minute of the machine hits all of them.
std::vector<MeasuredWay> measure_all(std::size_t bytes, unsigned runs) {
  std::vector<MeasuredWay> measured;
  for (Way const& way : all_ways()) {
    if (is_offered(way.huge, bytes)) {
      measured.push_back({way, {}});
    } else {
      std::cout << way.name() << ": not offered by this kernel now\n";
    }
  }
  for (unsigned run = 0; run < runs; ++run) {
    for (MeasuredWay& entry : measured) entry.costs.push_back(to_json(measure(entry.way, bytes)));
  }
  return measured;
}

Json run_size(std::size_t mebibytes, unsigned runs) {
  std::cout << "\n" << mebibytes << " MiB, aligned to 2 MiB\n";
  std::vector<MeasuredWay> const measured = measure_all(mebibytes << 20, runs);
  std::cout
      << "                                       set-up us    traps  minflt  calls  resident    huge    touch us    "
         "traps\n";
  Json rows = Json::array();
  for (MeasuredWay const& entry : measured) {
    Json const median = medians(entry);
    std::cout << row(entry.way.name(), median);
    rows.push_back({{"way", entry.way.name()}, {"median", median}, {"runs", entry.costs}});
  }
  return {{"mebibytes", mebibytes}, {"ways", std::move(rows)}};
}

void map_populate(Options const& options) {
  require_writable(options.json_file);
  Json document = {{"runs", options.runs}, {"sizes", Json::array()}};
  for (std::size_t const mebibytes : options.mebibytes) document["sizes"].push_back(run_size(mebibytes, options.runs));
  if (!options.json_file.empty()) write_json(options.json_file, document);
}

}  // namespace

void add_map_populate_command(CLI::App& app) {
  CLI::App* const command =
      app.add_subcommand("map-populate", "Measures every way to get aligned SuperSlabs with and without their pages");
  auto const options = std::make_shared<Options>();
  command->add_option("--mebibytes", options->mebibytes, "sizes, multiples of 2")
      ->delimiter(',')
      ->check(CLI::Range(std::size_t{2}, std::size_t{1} << 14))
      ->check([](std::string const& text) {
        return std::stoul(text) % 2 == 0 ? std::string() : text + " is not a multiple of 2";
      });
  command->add_option("--runs", options->runs, "repetitions, of which the median counts")
      ->check(CLI::Range(1U, 10'000U));
  command->add_option("--json", options->json_file, "write every figure to this file");
  command->callback([options] { map_populate(*options); });
}

}  // namespace hakmem::bench
