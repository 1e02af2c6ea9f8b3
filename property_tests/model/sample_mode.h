// What it owns: a mode that trusts its client but for a sample, whose size a test sets: each allocation is
// chosen after so many others. Guarded blocks are only placed; nothing is checked of them.
// Thread-safety: the settings by one thread, alone; everything else any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/kernels.h"
#include "core/mode/mode.h"

namespace hakmem::testing {

struct SampleMode : FastMode {
  static constexpr char const* kName = "sample";
  static constexpr bool kSamples = true;

  static bool samples() noexcept { return sampling; }
  static std::uint32_t next_sample() noexcept {
    if (!random) return pass;
    std::uint32_t passed = 0;
    for (;; ++passed) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      if ((random >> 33) % (pass + 1) == 0) return passed;
    }
  }
  static bool affords_sample(std::uint64_t) noexcept { return affords; }

  static void* arm(BlockPlace const& place, Request const& request, bool) noexcept {
    return reinterpret_cast<void*>(kernels::align_up(reinterpret_cast<std::uintptr_t>(place.start), request.alignment));
  }
  static bool admit(BlockPlace const&, ClientPtr, Claim const&) noexcept { return admits; }
  static bool inspect(BlockPlace const&, ClientPtr pointer, Claim const&) noexcept {
    inspected = static_cast<std::byte*>(pointer.unchecked());
    return true;
  }
  static std::size_t client_bytes(BlockPlace const& place) noexcept {
    return static_cast<std::size_t>(place.start + place.bytes - inspected);
  }
  static void entered(void*) noexcept {}
  static void watch(BlockPlace (*)(void const*)) noexcept {}
  static void seal() noexcept {}

  static inline bool sampling = true, affords = true, admits = true;
  static inline std::uint32_t pass = 0;    // allocations that pass before one is chosen, each time or on average
  static inline std::uint64_t random = 0;  // 0: each time; else what chance is drawn from
  static inline thread_local std::byte* inspected = nullptr;
};
static_assert(SamplingMode<SampleMode>);

}  // namespace hakmem::testing
