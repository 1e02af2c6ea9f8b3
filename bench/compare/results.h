// What it owns: the reports of the children, their medians, and how these are written.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/compare/cases.h"
#include "bench/compare/peers.h"

namespace hakmem::bench {

struct Measured {
  Candidate allocator;
  std::vector<nlohmann::json> reports;  // one for each repetition
  std::string failure;                  // the first failure of a child; empty if none
};

struct CaseResult {
  Case chosen;
  std::vector<Measured> measured;
};

// The medians of all figures, by name; null where a repetition did not have it.
nlohmann::json medians(std::vector<nlohmann::json> const& reports);

std::string to_text(CaseResult const& result);
nlohmann::json to_json(CaseResult const& result);

}  // namespace hakmem::bench
