// What it owns: the table of what `compare` runs - a scenario and its arguments under a name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hakmem::bench {

struct Case {
  char const* name;
  char const* scenario;
  std::uint64_t amount;   // first argument; a quarter of it in a quick run
  char const* arguments;  // the others, separated by blanks
  bool by_default;
};

std::span<Case const> all_cases();

// The command line of a case, without the program's name.
std::vector<std::string> arguments_of(Case const& chosen, bool quick);

}  // namespace hakmem::bench
