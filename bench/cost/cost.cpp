#include "bench/cost/cost.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <stdexcept>

#include "bench/cost/workloads.h"
#include "bench/harness/median.h"
#include "bench/harness/output.h"

namespace hakmem::bench {
namespace {

using Json = nlohmann::json;

// What every other row is compared with.
constexpr char const* kReference = "fast build";
constexpr char const* kScudo = "/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.scudo_standalone-x86_64.so";

// A mitigation, as the library and the options that have it and no other one that can be left out.
struct Mitigation {
  char const* name;
  char const* library;  // a name of find_candidates(), or a path
  std::vector<std::string> variables;
};

std::vector<Mitigation> all_mitigations() {
  std::string const none = "HAKMEM_QUARANTINE=0", no_stacks = "HAKMEM_STACKS=0", no_sweep = "HAKMEM_CHECK=free",
                    no_fill = "HAKMEM_FILL=1000000";
  char const* const checked = "hakmem-hardened";
  return {
      {kReference, "hakmem", {}},
      {"fast build, sample:1000", "hakmem", {"HAKMEM_GUARD=sample:1000"}},
      {"fast build, sample:100", "hakmem", {"HAKMEM_GUARD=sample:100"}},
      {"always on: records, headers, pattern at both ends, links", checked, {none, no_stacks, no_sweep, no_fill}},
      {"with the pattern throughout one freed block in 16", checked, {none, no_stacks, no_sweep}},
      {"with the pattern throughout each freed block", checked, {none, no_stacks, no_sweep, "HAKMEM_FILL=1"}},
      {"with quarantine", checked, {no_stacks, no_sweep, no_fill}},
      {"with stacks", checked, {none, no_sweep, no_fill}},
      {"with the check at exit", checked, {none, no_stacks, no_fill}},
      {"with guards, sample:1000", checked, {none, no_stacks, no_sweep, no_fill, "HAKMEM_GUARD=sample:1000"}},
      {"checked build, all defaults", checked, {}},
      {"checked build, and the pattern throughout each freed block", checked, {"HAKMEM_FILL=1"}},
      {"checked build, and guards, sample:1000", checked, {"HAKMEM_GUARD=sample:1000"}},
      {"Scudo", kScudo, {}},
  };
}

struct Options {
  unsigned runs = 5;
  bool quick = false;
  bool list = false;
  bool no_instructions = false;
  std::vector<std::string> workloads;
  std::string json_file;
};

struct Priced {
  Mitigation mitigation;
  Candidate candidate;
  Json instructions = nullptr;
};

std::vector<Priced> available(std::vector<std::string>& notes) {
  std::vector<Candidate> const found = find_candidates(true).found;
  std::vector<Priced> result;
  for (Mitigation const& mitigation : all_mitigations()) {
    std::string const library = mitigation.library;
    auto const known =
        std::find_if(found.begin(), found.end(), [&](Candidate const& entry) { return entry.name == library; });
    if (known != found.end())
      result.push_back({mitigation, *known});
    else if (std::filesystem::is_regular_file(library))
      result.push_back({mitigation, parse_candidate(std::string(mitigation.name) + "=" + library)});
    else
      notes.push_back(std::string(mitigation.name) + ": not here");
  }
  return result;
}

// Round-robin, another one first in each repetition: a slow minute of the machine hits all of them.
Json measure(Workload const& workload, std::vector<Priced> const& priced, Options const& options) {
  std::vector<std::vector<Json>> reports(priced.size());
  std::vector<std::string> failures(priced.size());
  for (unsigned run = 0; run < options.runs; ++run) {
    for (std::size_t turn = 0; turn < priced.size(); ++turn) {
      std::size_t const index = (run + turn) % priced.size();
      if (!failures[index].empty()) continue;
      Priced const& entry = priced[index];
      Json report = run_workload(workload, entry.candidate, entry.mitigation.variables, options.quick, failures[index]);
      if (failures[index].empty()) reports[index].push_back(std::move(report));
    }
  }
  Json rows = Json::object();
  for (std::size_t index = 0; index < priced.size(); ++index) {
    Json row = {{"failure", failures[index]}};
    for (char const* figure : {"seconds", "peak_rss_bytes", "requests_per_second"}) {
      auto const value = median(reports[index], std::string("/") + figure);
      if (value) row[figure] = *value;
    }
    rows[priced[index].mitigation.name] = std::move(row);
  }
  return rows;
}

std::string ratio(Json const& row, Json const& reference, char const* figure) {
  if (!row.contains(figure) || !reference.contains(figure)) return "   n/a";
  char text[32];
  std::snprintf(text, sizeof text, "%6.2f", row[figure].get<double>() / reference[figure].get<double>());
  return text;
}

void print(Workload const& workload, Json const& rows) {
  std::cout << "\n" << workload.name << "\n" << std::string(44, ' ') << "time x  RSS x   requests/s\n";
  for (Mitigation const& mitigation : all_mitigations()) {
    if (!rows.contains(mitigation.name)) continue;
    Json const& row = rows[mitigation.name];
    std::string name = mitigation.name;
    name.resize(std::max<std::size_t>(44, name.size()), ' ');
    std::cout << name;
    if (std::string const failure = row["failure"]; !failure.empty()) {
      std::cout << "failed: " << failure << "\n";
      continue;
    }
    std::cout << ratio(row, rows[kReference], "seconds") << " " << ratio(row, rows[kReference], "peak_rss_bytes");
    if (row.contains("requests_per_second"))
      std::cout << "   " << static_cast<std::uint64_t>(row["requests_per_second"].get<double>());
    std::cout << "\n";
  }
  std::cout << std::flush;
}

void price_instructions(std::vector<Priced>& priced, Json& document) {
  std::cout << "\ninstructions per malloc and free, random-mixed 500000 8192 42 with its loop\n";
  for (Priced& entry : priced) {
    Json const figure = instructions_per_pair(entry.candidate, entry.mitigation.variables);
    document["instructions_per_pair"][entry.mitigation.name] = figure;
    std::cout << entry.mitigation.name << ": " << (figure.is_null() ? "n/a" : std::to_string(figure.get<double>()))
              << std::endl;
  }
}

bool is_wanted(Workload const& workload, Options const& options) {
  auto const& names = options.workloads;
  return names.empty() || std::find(names.begin(), names.end(), workload.name) != names.end();
}

void cost(Options const& options) {
  if (options.list) {
    for (Mitigation const& mitigation : all_mitigations()) std::cout << mitigation.name << "\n";
    return;
  }
  require_writable(options.json_file);
  std::vector<std::string> notes;
  std::vector<Priced> priced = available(notes);
  if (priced.empty() || priced.front().mitigation.name != std::string(kReference))
    throw std::runtime_error("no libhakmem.so in ../lib beside hak-bench");
  Json document = {{"runs", options.runs}, {"quick", options.quick}, {"workloads", Json::object()}};
  bool failed = false;
  for (Workload const& workload : all_workloads()) {
    if (!is_wanted(workload, options)) continue;
    if (std::string const missing = missing_for(workload); !missing.empty()) {
      notes.push_back(std::string(workload.name) + ": there is no " + missing);
      continue;
    }
    Json const rows = measure(workload, priced, options);
    for (Json const& row : rows) failed |= row["failure"] != "";
    print(workload, rows);
    document["order"].push_back(workload.name);
    document["workloads"][workload.name] = rows;
  }
  for (Priced const& entry : priced) document["rows"].push_back(entry.mitigation.name);
  if (!options.no_instructions) price_instructions(priced, document);
  for (std::string const& note : notes) std::cout << note << "\n";
  if (!options.json_file.empty()) write_json(options.json_file, document);
  if (failed) throw std::runtime_error("some runs failed, see above");
}

}  // namespace

void add_cost_command(CLI::App& app) {
  CLI::App* const command =
      app.add_subcommand("cost", "Prices each mitigation alone and all together, interleaved, by medians");
  auto const options = std::make_shared<Options>();
  std::vector<std::string> names;
  for (Workload const& workload : all_workloads()) names.emplace_back(workload.name);
  command->add_option("--runs", options->runs, "repetitions, of which the median counts")->check(CLI::Range(1U, 1000U));
  command->add_option("--workload", options->workloads, "one to run instead of all; may be repeated")
      ->check(CLI::IsMember(names));
  command->add_flag("--quick", options->quick, "shorter scenarios");
  command->add_flag("--no-instructions", options->no_instructions, "do not count them under valgrind");
  command->add_flag("--list", options->list, "print the names of the rows and measure nothing");
  command->add_option("--json", options->json_file, "write the medians to this file");
  command->callback([options] { cost(*options); });
}

}  // namespace hakmem::bench
