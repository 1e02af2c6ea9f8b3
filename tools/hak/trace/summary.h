// What it owns: what `hak trace show` says of a trace.
// Thread-safety: none.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/hak/trace/trace_file.h"

namespace hakmem::tools {

nlohmann::json summary_of(Trace const& trace);
std::string summary_text(nlohmann::json const& summary);

}  // namespace hakmem::tools
