// What it owns: which allocators `compare` measures, and where their libraries are.
#pragma once

#include <string>
#include <vector>

namespace hakmem::bench {

struct Candidate {
  std::string name;
  std::string library;  // what LD_PRELOAD gets; empty: the C library's own
  bool peer = true;     // false: ours
};

struct Candidates {
  std::vector<Candidate> found;
  std::vector<std::string> notes;  // one line for each allocator that is not there
};

// glibc, the peers that Debian packages, and our library next to this executable.
Candidates find_candidates(bool with_hardened);

// "NAME=PATH" as a candidate; throws std::runtime_error if it is malformed or PATH is not a file.
Candidate parse_candidate(std::string const& text);

}  // namespace hakmem::bench
