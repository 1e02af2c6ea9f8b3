// What it owns: one run of a scenario under one allocator, and the proof that it was that one.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/compare/peers.h"

namespace hakmem::bench {

// The report of `hak-bench ARGUMENTS` as a child process under the allocator, with what the whole
// process took added; null and `failure` set if it failed. Throws std::runtime_error if the report is of another
// allocator.
nlohmann::json run_once(Candidate const& candidate, std::vector<std::string> const& arguments, std::string& failure,
                        std::vector<std::string> const& variables = {});

}  // namespace hakmem::bench
