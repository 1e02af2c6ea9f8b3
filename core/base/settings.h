// What it owns: the values of the options that lower layers act on. The option table in
// core/api/options.def gives each its name, range, default and help, and fills this in once.
// Thread-safety: written once before the first allocation; read by all.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hakmem {

enum class PrefaultPolicy : std::uint8_t { kOff = 0, kPopulate = 1, kTouch = 2, kAhead = 3, kBackground = 4 };
enum class HugePolicy : std::uint8_t { kNever, kAdvise, kCollapse, kHugetlb };
enum class StatsReport : std::uint8_t { kOff, kText, kJson };

struct Settings {
  PrefaultPolicy prefault = PrefaultPolicy::kOff;
  HugePolicy huge = HugePolicy::kNever;
  std::uint32_t purge_delay_ms = 500;        // age at which free resident memory goes back
  std::size_t warmup_bytes = 0;              // filled into the warm pool before the program needs it
  std::size_t large_cache_bytes = 64 << 20;  // freed large blocks kept for reuse
  StatsReport stats_at_exit = StatsReport::kOff;
  bool help_at_start = false;
};

}  // namespace hakmem
