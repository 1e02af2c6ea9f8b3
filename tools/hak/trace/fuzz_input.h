// What it owns: a trace as an input of the fuzz target api_sequence.
// Thread-safety: none.
#pragma once

#include <cstddef>
#include <string>

#include "tools/hak/trace/trace_file.h"

namespace hakmem::tools {

// What part of a trace an input holds. Blocks from before `skip` are left out, and those that find no room beside the
// blocks which are live; threads beyond the model's share its numbers.
struct FuzzPart {
  std::size_t skip = 0;
  std::size_t most_records = 255;
  bool hardened = false;
};
std::string fuzz_input_of(Trace const& trace, FuzzPart const& part);

}  // namespace hakmem::tools
