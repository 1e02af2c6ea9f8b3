// What it owns: the plan by which requests are refused on purpose, so that a program's own paths out
// of memory can be tested: HAKMEM_FAIL and hak_fail_start().
//
//   nth:N     the Nth request          every:N   each Nth request         rate:P   a share, 0 to 1
//   size>=S   only requests of S bytes or more are counted; alone: all of them are refused
//   seed:N    of rate; without it one is drawn, and the token tells which
// Clauses are joined by commas, at most one of the first three.
// Invariants: which request is refused depends on the plan and on the number of the request alone.
// Thread-safety: refuses() any thread; start and stop while no other thread allocates.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hardened/text.h"

namespace hakmem::hardened {

struct FailurePlan {
  enum class Kind : std::uint8_t { kNone, kNth, kEvery, kRate, kAll };
  Kind kind = Kind::kNone;
  std::uint64_t number = 0;  // kNth, kEvery: N; kRate: the share in billionths
  std::uint64_t least = 0;   // bytes
  std::uint64_t seed = 0;    // of kRate; 0: not given
};

// False: malformed, `plan` is unchanged.
bool parse_failure_plan(char const* text, FailurePlan& plan) noexcept;
// The plan as it is written; null-terminated, at most kTokenBytes.
inline constexpr std::size_t kTokenBytes = 96;
void write_plan(Text& out, FailurePlan const& plan) noexcept;

// Counts requests from 1 again. kNone: nothing is refused.
void start_failures(FailurePlan plan) noexcept;

// protocol: written by start_failures(), while no other thread allocates, last.
inline constinit std::atomic<bool> there_is_a_plan{false};
// Whether requests are counted at all.
inline bool failures_planned() noexcept { return there_is_a_plan.load(std::memory_order_acquire); }

// Counts a request; true: refuse it.
bool refuses(std::size_t bytes) noexcept;

struct FailureCounts {
  std::uint64_t requests, refused;
};
FailureCounts failure_counts() noexcept;

// "HAKMEM_FAIL=..." that repeats what was refused; empty while there is no plan. A constant place.
char const* failure_token() noexcept;

}  // namespace hakmem::hardened
