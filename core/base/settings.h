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

enum class Level : std::uint8_t { kGuard, kHarden, kFull };
enum class ReportFormat : std::uint8_t { kText, kJson, kBoth };
enum class CheckTime : std::uint8_t { kFree, kExit, kEvery };

// A choice of which one alternative carries a number, as in "exit:3"; as one word: choice, then number.
template <class Choice>
struct Numbered {
  Choice choice{};
  std::uint32_t number = 0;

  constexpr Numbered() noexcept = default;
  constexpr explicit Numbered(std::uint64_t word) noexcept
      : choice(static_cast<Choice>(word & 0xff)), number(static_cast<std::uint32_t>(word >> 8)) {}
  constexpr explicit operator std::uint64_t() const noexcept {
    return static_cast<std::uint64_t>(choice) | std::uint64_t{number} << 8;
  }
};
enum class ErrorAction : std::uint8_t { kAbort, kContinue, kExit };
enum class GuardPolicy : std::uint8_t { kOff, kAll, kSample };
enum class GuardSide : std::uint8_t { kRight, kLeft, kRandom };

struct Settings {
  PrefaultPolicy prefault = PrefaultPolicy::kAhead;
  HugePolicy huge = HugePolicy::kNever;
  std::uint32_t batch_max = 16;              // SuperSlabs mapped by one call, at most
  std::uint32_t purge_delay_ms = 500;        // age at which free resident memory goes back
  std::size_t warmup_bytes = 0;              // filled into the warm pool before the program needs it
  std::size_t large_cache_bytes = 64 << 20;  // freed large blocks kept for reuse
  StatsReport stats_at_exit = StatsReport::kOff;
  bool help_at_start = false;
  Level level = Level::kHarden;  // what other options are unless they are set
  // The checked build's.
  std::size_t quarantine_bytes = 64 << 10;  // of released blocks, per heap, that are not reused yet
  std::uint32_t fill_one_in = 16;            // of the longer freed blocks, that are filled whole
  unsigned stack_depth = 8;                  // frames kept for each allocation and each release
  std::uint64_t seed = 0;                    // of every random choice; 0: none
  Numbered<CheckTime> check{static_cast<std::uint64_t>(CheckTime::kExit)};  // how often all blocks are looked at
  Numbered<GuardPolicy> guard;               // which blocks get pages of their own between guard pages
  GuardSide guard_side = GuardSide::kRight;  // which end of such a block lies at a guard page
  Numbered<ErrorAction> on_error;            // what follows a report
  ReportFormat report_format = ReportFormat::kText;
  bool symbolize = false;             // functions are named in reports
  char const* failures = nullptr;     // which requests are refused on purpose; null: none
  char const* report_file = nullptr;  // appended to; null: standard error
};

}  // namespace hakmem
