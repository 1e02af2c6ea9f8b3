// What it owns: running a program under a preloaded library and collecting what it said.
// Thread-safety: none; one child at a time.
#pragma once

#include <string>
#include <vector>

namespace hakmem {

struct ChildResult {
  int exit_code = -1;  // -1 when a signal ended it
  int signal = 0;
  std::string out;
  std::string err;
};

// Runs `arguments` with `environment` added to this process's; `library` is preloaded unless it is
// empty. A child that does not end within a minute is killed.
ChildResult run_child(std::string const& library, std::vector<std::string> arguments,
                      std::vector<std::string> environment);

// How often a text occurs in another.
int count_of(std::string const& text, std::string const& part);

}  // namespace hakmem
