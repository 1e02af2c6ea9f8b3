// What it owns: running hak-bench as its users do, and what its tests share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "bench/compare/child.h"

namespace hakmem::bench {

// Standard output and standard error of `hak-bench ARGUMENTS`.
inline ChildResult hak_bench(std::string const& arguments, std::string const& preload = "") {
  return run_child({"/bin/sh", "-c", std::string("exec \"") + HAK_BENCH + "\" " + arguments + " 2>&1"}, preload);
}

inline void expect_one_line_and_failure(std::string const& arguments, std::string const& fragment) {
  ChildResult const result = hak_bench(arguments);
  EXPECT_NE(result.failure, "") << arguments;
  EXPECT_NE(result.output.find(fragment), std::string::npos) << result.output;
  EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
}

// A file that no other process uses.
inline std::string scratch(std::string const& suffix) {
  return std::filesystem::temp_directory_path() / ("hak-bench-test-" + std::to_string(getpid()) + suffix);
}

inline bool is_png(std::string const& path) {
  std::string signature(4, '\0');
  std::ifstream(path).read(signature.data(), 4);
  return signature == "\x89PNG";
}

}  // namespace hakmem::bench
