// What it owns: a way to standard error that survives the program closing its own: programs that
// check their output do so at exit, before the report is written.
// Thread-safety: keep() once; write() by any thread.
#pragma once

#include <cstddef>

namespace hakmem {

struct StandardError {
  // Duplicates the descriptor, close-on-exec and out of the way of the program's own.
  static void keep() noexcept;
  // Writes to the descriptor that is still what it was when it was kept; to none otherwise.
  // Keeps errno.
  static void write(char const* text, std::size_t bytes) noexcept;
};

}  // namespace hakmem
