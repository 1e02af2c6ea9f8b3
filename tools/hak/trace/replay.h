// What it owns: making the calls of a trace again, on the allocator that this process has, with the trace's threads.
//
// A thread waits for a block that another one is still to allocate; the order of the trace forbids that threads wait
// for each other in a circle. Up to kMostWorkers threads run at a time; beyond that, several of the trace share one.
// Thread-safety: one replay at a time.
#pragma once

#include <cstdint>
#include <string>

#include "tools/hak/trace/trace_file.h"

namespace hakmem::tools {

inline constexpr std::uint32_t kMostWorkers = 64;

struct ReplayTiming {
  double calls_per_second = 0;     // the median of the repetitions
  std::uint64_t peak_rss_kib = 0;  // beyond what the process had before
};
// The first byte of each page of each block is written. Throws std::runtime_error where memory runs out.
ReplayTiming time_replay(Trace const& trace, unsigned repetitions);

struct ReplayCheck {
  std::uint64_t checked_bytes = 0;
  std::uint64_t digest = 0;  // of all contents that were read back: the same for every allocator that keeps them
  std::string violation;     // the first that was seen; empty: none
};
// Checks alignment, that live blocks are disjoint and lie within their usable size, zeroed memory, and each byte of
// what was written when a block is freed or resized.
ReplayCheck check_replay(Trace const& trace);

}  // namespace hakmem::tools
