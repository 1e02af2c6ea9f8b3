#include "bench/compare/compare.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>

#include "bench/compare/results.h"
#include "bench/compare/run_once.h"
#include "bench/harness/output.h"

namespace hakmem::bench {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> cases;
  std::vector<std::string> allocators;
  unsigned runs = 5;
  bool quick = false;
  bool hardened = false;
  std::string json_file;
  std::string png_file;
};

std::vector<Case> chosen_cases(std::vector<std::string> const& names) {
  std::vector<Case> chosen;
  for (Case const& entry : all_cases()) {
    bool const named = std::find(names.begin(), names.end(), entry.name) != names.end();
    if (named || (names.empty() && entry.by_default)) chosen.push_back(entry);
  }
  return chosen;
}

Candidates chosen_allocators(Options const& options) {
  Candidates candidates = find_candidates(options.hardened);
  for (std::string const& text : options.allocators) {
    Candidate added = parse_candidate(text);
    std::erase_if(candidates.found, [&](Candidate const& other) { return other.name == added.name; });
    std::erase_if(candidates.notes, [&](std::string const& note) { return note.starts_with(added.name + ":"); });
    candidates.found.push_back(std::move(added));
  }
  return candidates;
}

void print_allocators(Candidates const& candidates) {
  for (Candidate const& candidate : candidates.found) {
    std::string failure;
    nlohmann::json const report = run_once(candidate, {"empty"}, failure);
    std::cout << candidate.name << ": ";
    if (report.is_null()) {
      std::cout << "failed: " << failure << "\n";
    } else {
      std::cout << report["allocator"]["version"].get<std::string>() << " ("
                << report["allocator"]["file"].get<std::string>() << ")\n";
    }
  }
  for (std::string const& note : candidates.notes) std::cout << note << "\n";
  std::cout << "Debian's packages are older than what their authors publish; the versions above are what was measured."
            << std::endl;
}

// Round-robin over the allocators, another one first in each repetition, so that a slow minute of
// the machine hits all of them.
CaseResult run_case(Case const& chosen, Candidates const& candidates, Options const& options) {
  CaseResult result{chosen, {}};
  for (Candidate const& candidate : candidates.found) result.measured.push_back({candidate, {}, ""});
  std::vector<std::string> const arguments = arguments_of(chosen, options.quick);
  std::size_t const count = result.measured.size();
  for (unsigned run = 0; run < options.runs; ++run) {
    for (std::size_t turn = 0; turn < count; ++turn) {
      Measured& measured = result.measured[(run + turn) % count];
      if (!measured.failure.empty()) continue;
      nlohmann::json report = run_once(measured.allocator, arguments, measured.failure);
      if (!report.is_null()) measured.reports.push_back(std::move(report));
    }
  }
  return result;
}

void compare(Options const& options) {
  Candidates const candidates = chosen_allocators(options);
  for (std::string const& path : {options.json_file, options.png_file}) require_writable(path);
  print_allocators(candidates);
  nlohmann::json document = {{"runs", options.runs}, {"quick", options.quick}, {"cases", nlohmann::json::array()}};
  std::string failed;
  for (Case const& chosen : chosen_cases(options.cases)) {
    CaseResult const result = run_case(chosen, candidates, options);
    std::cout << to_text(result) << std::flush;
    document["cases"].push_back(to_json(result));
    for (Measured const& measured : result.measured) {
      if (!measured.failure.empty()) failed += " " + measured.allocator.name + "/" + chosen.name;
    }
  }
  if (!options.json_file.empty()) write_json(options.json_file, document);
  if (!options.png_file.empty()) write_png(options.png_file, document, "hak-bench-plot");
  if (!failed.empty()) throw std::runtime_error("failed:" + failed);
}

// "NAME PATH" for each allocator that can be preloaded, for scripts.
void list_allocators(bool hardened) {
  for (Candidate const& candidate : find_candidates(hardened).found) {
    if (!candidate.library.empty()) std::cout << candidate.name << " " << candidate.library << "\n";
  }
}

}  // namespace

void add_allocators_command(CLI::App& app) {
  CLI::App* const command =
      app.add_subcommand("allocators", "Lists name and path of each library that compare preloads");
  auto const hardened = std::make_shared<bool>(false);
  command->add_flag("--hardened", *hardened, "libhakmem-hardened.so too");
  command->callback([hardened] { list_allocators(*hardened); });
}

void add_compare_command(CLI::App& app) {
  CLI::App* const command =
      app.add_subcommand("compare", "Compares all allocators that are there, interleaved, by medians");
  auto const options = std::make_shared<Options>();
  std::vector<std::string> names;
  for (Case const& entry : all_cases()) names.emplace_back(entry.name);
  command->add_option("--scenarios", options->cases, "cases to run")->check(CLI::IsMember(names))->delimiter(',');
  command->add_option("--runs", options->runs, "repetitions, of which the median counts")->check(CLI::Range(1U, 1000U));
  command->add_option("--allocator", options->allocators, "NAME=PATH of one more library; NAME replaces a known one");
  command->add_flag("--hardened", options->hardened, "measure libhakmem-hardened.so too");
  command->add_flag("--quick", options->quick, "a quarter of the operations");
  command->add_option("--json", options->json_file, "write every report and the medians to this file");
  command->add_option("--png", options->png_file, "draw the medians into this file");
  command->callback([options] { compare(*options); });
}

}  // namespace hakmem::bench
