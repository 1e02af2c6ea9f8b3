// What it owns: running a program with a chosen allocator and collecting what it prints.
#pragma once

#include <string>
#include <vector>

namespace hakmem::bench {

struct ChildResult {
  std::string output;   // its standard output
  std::string failure;  // empty, or why it failed: "exit status 1", "signal 11 (Segmentation fault)"
  double seconds = 0;   // from its start to its end
  double system_seconds = 0;
  double peak_rss_bytes = 0;  // the largest of its processes, or of their children
};

// Runs arguments[0] with LD_PRELOAD=preload (unset if empty) and the given "NAME=value"s in its
// environment; standard error is ours.
ChildResult run_child(std::vector<std::string> const& arguments, std::string const& preload,
                      std::vector<std::string> const& variables = {});

}  // namespace hakmem::bench
