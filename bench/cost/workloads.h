// What it owns: the work that mitigations are priced on: scenarios of hak-bench, and programs that are installed.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "bench/compare/peers.h"

namespace hakmem::bench {

struct Workload {
  char const* name;
  char const* scenario;         // arguments of hak-bench; null: a program
  char const* program;          // a shell script that runs the program; null: a scenario
  char const* needs;            // the files that the program is made of, separated by blanks
  char const* quick = nullptr;  // the scenario for --quick; null: as scenario
};

std::span<Workload const> all_workloads();

// Empty, or what is missing here.
std::string missing_for(Workload const& workload);

// One run: {"seconds", "peak_rss_bytes"}, and "requests_per_second" of a server; null and `failure` set if it failed.
nlohmann::json run_workload(Workload const& workload, Candidate const& candidate,
                            std::vector<std::string> const& variables, bool quick, std::string& failure);

// Instructions for a malloc and a free, the loop of the benchmark included; null without valgrind.
nlohmann::json instructions_per_pair(Candidate const& candidate, std::vector<std::string> const& variables);

}  // namespace hakmem::bench
