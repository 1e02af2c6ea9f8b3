// What it owns: how the attributed page faults of one run are written.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/hak/faults/attribution.h"

namespace hakmem::tools {

struct FaultReport {
  std::vector<std::string> command;
  int exit_status = 0;
  bool sees_kernel = true;
  std::uint64_t lost = 0;
  FaultCounts counts;
};

std::string to_text(FaultReport const& report);
nlohmann::json to_json(FaultReport const& report);

}  // namespace hakmem::tools
