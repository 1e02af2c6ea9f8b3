// What it owns: replays on several allocators: each in a process of its own that has the allocator preloaded.
// Thread-safety: none.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace hakmem::tools {

struct ReplayOptions {
  std::string file;
  bool check = false;
  unsigned repetitions = 5;
  bool json = false;
};

// One replay on this process's allocator: the figures, "allocator" (the library that really served it) among them.
nlohmann::json replay_here(ReplayOptions const& options);
// The same on each allocator: a name that hak-bench knows, or the path of a library. Empty: all that are installed.
// A process that failed has only "allocator" and "failure".
std::vector<nlohmann::json> replay_on(std::vector<std::string> const& allocators, ReplayOptions const& options);

std::string to_text(nlohmann::json const& replayed);

}  // namespace hakmem::tools
