// What it owns: the process's resident memory, for bounds that a leak breaks by far.
// Thread-safety: any thread.
#pragma once

#include <cstddef>
#include <cstdio>

#include "core/os/linux.h"

namespace hakmem::testing {

inline std::size_t resident_bytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  unsigned long total = 0, resident = 0;
  if (file && std::fscanf(file, "%lu %lu", &total, &resident) != 2) resident = 0;
  if (file) std::fclose(file);
  return resident * Linux::page_bytes();
}

}  // namespace hakmem::testing
