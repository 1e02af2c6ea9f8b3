// What it owns: guard pages - making them, and what is counted and said where the kernel refuses one.
// Invariants: a refused guard fails nothing: what lies there stays memory that can be touched.
// Thread-safety: all functions may be called by any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/os/line.h"
#include "core/os/os.h"

namespace hakmem {

// protocol: any thread adds; relaxed, for it is a figure.
template <OperatingSystem Os>
struct GuardRefusals {
  static inline constinit std::atomic<std::uint64_t> count{0};
  static inline constinit std::atomic<bool> warned{false};
};

// ENOMEM says that memory is short or that the process has as many mappings as it may; only the second can be
// cured by a setting, so it is named.
template <OperatingSystem Os>
char const* why_guard_was_refused(OsStatus status) noexcept {
  if (status.error != OsError::kOutOfMemory) return "a guard page was refused by the kernel; going on without it";
  std::size_t const most = Os::mappings_max();
  return most != 0 && Os::mappings() + 2 >= most
             ? "a guard page was refused: the process has as many mappings as vm.max_map_count allows; going on "
               "without it"
             : "a guard page was refused: the kernel is out of memory; going on without it";
}

// False: refused; said once.
template <OperatingSystem Os>
bool install_guard(void* start, std::size_t bytes) noexcept {
  OsStatus const status = Os::guard(start, bytes);
  if (status.ok()) return true;
  using Refusals = GuardRefusals<Os>;
  Refusals::count.fetch_add(1, std::memory_order_relaxed);
  if (!Refusals::warned.load(std::memory_order_relaxed))
    warn_once<Os>(Refusals::warned, why_guard_was_refused<Os>(status));
  return false;
}

}  // namespace hakmem
