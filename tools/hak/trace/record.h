// What it owns: running a program with the recorder preloaded, and the trace file that comes of it.
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hakmem::tools {

struct RecordOptions {
  std::string output;
  std::string program;  // whose calls are kept, of the programs that the command runs; empty: the most active one's
  std::uint64_t limit = 0;
  std::vector<std::string> command;
};

// Returns the command's exit status. Throws std::runtime_error where nothing could be recorded.
int record(RecordOptions const& options);

}  // namespace hakmem::tools
