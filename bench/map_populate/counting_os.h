// What it owns: Linux with a count of the system calls that a set-up makes.
// Thread-safety: none: the count is for a single-threaded measurement.
#pragma once

#include <cstdint>

#include "core/os/linux.h"

namespace hakmem::bench {

struct CountingLinux : Linux {
  static inline std::uint64_t calls = 0;

  static OsMapping map(void* hint, std::size_t bytes, MapKind kind) noexcept {
    ++calls;
    return Linux::map(hint, bytes, kind);
  }
  static OsStatus unmap(void* address, std::size_t bytes) noexcept {
    ++calls;
    return Linux::unmap(address, bytes);
  }
  static OsStatus populate_write(void* address, std::size_t bytes) noexcept {
    ++calls;
    return Linux::populate_write(address, bytes);
  }
  static OsStatus advise_huge(void* address, std::size_t bytes) noexcept {
    ++calls;
    return Linux::advise_huge(address, bytes);
  }
  static OsStatus collapse_huge(void* address, std::size_t bytes) noexcept {
    ++calls;
    return Linux::collapse_huge(address, bytes);
  }
};
static_assert(OperatingSystem<CountingLinux>);

}  // namespace hakmem::bench
