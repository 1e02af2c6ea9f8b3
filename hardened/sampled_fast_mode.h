// What it owns: `SampledFastMode`, the fast build as it ships: FastMode, and HAKMEM_GUARD for a sample of
// its blocks, which get pages of their own between guard pages. What surrounds such a block, what is
// checked of it and how it is reported are the checked build's own functions.
//
// Guarding costs microseconds where an allocation costs nanoseconds, so sampling has a budget of time:
// under sample:N a thread gets at most one guarded block in 4 N microseconds, which is one in N blocks for
// a thread that allocates a quarter of a million a second, and fewer for a faster one.
// Invariants: without HAKMEM_GUARD nothing here is touched but the answer of samples().
// Thread-safety: configure(), watch() and seal() once; everything else any thread.
#pragma once

#include "hardened/hardened_mode.h"

namespace hakmem {

struct SampledFastMode : FastMode {
  static constexpr bool kSamples = true;

  static void configure(Settings const& settings) noexcept;
  static void set_report_callback(ReportCallback callback, void* context) noexcept {
    hardened::set_report_callback(callback, context);
  }

  static bool samples() noexcept { return hardened::fixed.sample_in != 0; }
  static std::uint32_t next_sample() noexcept;
  static bool affords_sample(std::uint64_t now_ms) noexcept;

  [[gnu::always_inline]] static void entered(void* frame) noexcept { hardened::note_entry(frame); }
  static void* arm(BlockPlace const& place, Request const& request, bool zeroed) noexcept;
  static bool admit(BlockPlace const& place, ClientPtr pointer, Claim const& claim) noexcept;
  static bool inspect(BlockPlace const& place, ClientPtr pointer, Claim const& claim) noexcept {
    return HardenedMode::inspect(place, pointer, claim);
  }
  static std::size_t client_bytes(BlockPlace const& place) noexcept { return HardenedMode::client_bytes(place); }
  static void watch(BlockPlace (*find)(void const*)) noexcept;
  static void seal() noexcept;
};
static_assert(SamplingMode<SampledFastMode>);

}  // namespace hakmem
