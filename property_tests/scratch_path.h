// What it owns: paths of one test's own, so that tests of several processes never share a file.
// Thread-safety: none.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace hakmem::testing {

// A path in the temporary folder that no other process uses; nothing is there at first, and what the test put there is
// removed in the end.
class ScratchPath {
 public:
  explicit ScratchPath(std::string const& name)
      : path_(std::filesystem::temp_directory_path() / ("hakmem_" + std::to_string(::getpid()) + "_" + name)) {
    clear();
  }
  ~ScratchPath() { clear(); }
  ScratchPath(ScratchPath const&) = delete;
  ScratchPath& operator=(ScratchPath const&) = delete;

  std::string const& text() const { return path_; }
  void clear() const { std::filesystem::remove_all(path_); }

 private:
  std::string const path_;
};

}  // namespace hakmem::testing
