// What it owns: the life of a SuperSlab as one table: which step takes it from which state to which,
// and which system call may fail on the way. The property test of the pool holds the code against it;
// the exploration beside it shows what follows from it.
// Thread-safety: constants only.
#pragma once

#include <array>
#include <optional>

#include "property_tests/faulty_os.h"

namespace hakmem::testing {

// Where it is - nowhere, in the pool cold or warm, held by a heap, or a leftover that could not be
// unmapped - and what it holds: nothing (fresh), pages that are known to be zero (ready), or written
// ones (used).
enum class Life : unsigned {
  kGone,
  kColdFresh,
  kColdReady,
  kColdUsed,
  kHeldFresh,
  kHeldReady,
  kHeldUsed,
  kWarmFresh,
  kWarmReady,
  kWarmUsed,
  kLeft,
};
inline constexpr std::array kLifeNames = {"gone",       "cold fresh", "cold ready", "cold used",
                                          "held fresh", "held ready", "held used",  "warm fresh",
                                          "warm ready", "warm used",  "left over"};
inline constexpr unsigned kLives = kLifeNames.size();

enum class LifeStep : unsigned { kMap, kTake, kUse, kPutBack, kCool, kRelease, kRetry, kWarmUp, kPrepare };
inline constexpr std::array kLifeStepNames = {"map",     "take",  "use",     "put back", "cool",
                                              "release", "retry", "warm up", "prepare"};
inline constexpr unsigned kLifeSteps = kLifeStepNames.size();

struct LifeEdge {
  LifeStep step;
  Life from, to;
  std::optional<OsCall> failed = std::nullopt;  // only when this call fails

  constexpr bool operator==(LifeEdge const& other) const noexcept {
    return step == other.step && from == other.from && to == other.to;
  }
};

inline constexpr LifeEdge kLifeEdges[] = {
    {LifeStep::kMap, Life::kGone, Life::kHeldFresh},
    {LifeStep::kMap, Life::kGone, Life::kHeldReady},
    {LifeStep::kMap, Life::kGone, Life::kColdFresh},  // the others of its batch

    {LifeStep::kTake, Life::kWarmFresh, Life::kHeldFresh},
    {LifeStep::kTake, Life::kWarmReady, Life::kHeldReady},
    {LifeStep::kTake, Life::kWarmUsed, Life::kHeldUsed},
    {LifeStep::kTake, Life::kColdFresh, Life::kHeldFresh},
    {LifeStep::kTake, Life::kColdFresh, Life::kHeldReady},
    {LifeStep::kTake, Life::kColdReady, Life::kHeldReady},
    {LifeStep::kTake, Life::kColdUsed, Life::kHeldUsed},

    {LifeStep::kUse, Life::kHeldFresh, Life::kHeldUsed},
    {LifeStep::kUse, Life::kHeldReady, Life::kHeldUsed},

    {LifeStep::kPutBack, Life::kHeldFresh, Life::kWarmFresh},
    {LifeStep::kPutBack, Life::kHeldReady, Life::kWarmReady},
    {LifeStep::kPutBack, Life::kHeldUsed, Life::kWarmUsed},

    {LifeStep::kCool, Life::kWarmFresh, Life::kColdFresh},
    {LifeStep::kCool, Life::kWarmReady, Life::kColdFresh},
    {LifeStep::kCool, Life::kWarmUsed, Life::kColdFresh},
    {LifeStep::kCool, Life::kWarmReady, Life::kColdReady, OsCall::kPurge},
    {LifeStep::kCool, Life::kWarmUsed, Life::kColdUsed, OsCall::kPurge},

    {LifeStep::kRelease, Life::kColdFresh, Life::kGone},
    {LifeStep::kRelease, Life::kColdReady, Life::kGone},
    {LifeStep::kRelease, Life::kColdUsed, Life::kGone},
    {LifeStep::kRelease, Life::kColdFresh, Life::kLeft, OsCall::kUnmap},
    {LifeStep::kRelease, Life::kColdReady, Life::kLeft, OsCall::kUnmap},
    {LifeStep::kRelease, Life::kColdUsed, Life::kLeft, OsCall::kUnmap},

    {LifeStep::kRetry, Life::kLeft, Life::kGone},

    {LifeStep::kWarmUp, Life::kWarmFresh, Life::kWarmReady},
    {LifeStep::kWarmUp, Life::kColdFresh, Life::kWarmReady},
    {LifeStep::kWarmUp, Life::kColdReady, Life::kWarmReady},
    {LifeStep::kWarmUp, Life::kColdUsed, Life::kWarmUsed},
    {LifeStep::kWarmUp, Life::kGone, Life::kWarmReady},
    {LifeStep::kWarmUp, Life::kGone, Life::kColdFresh},
    {LifeStep::kWarmUp, Life::kColdFresh, Life::kWarmFresh, OsCall::kPopulateWrite},
    {LifeStep::kWarmUp, Life::kGone, Life::kWarmFresh, OsCall::kPopulateWrite},

    {LifeStep::kPrepare, Life::kColdFresh, Life::kWarmReady},
    {LifeStep::kPrepare, Life::kColdReady, Life::kWarmReady},
    {LifeStep::kPrepare, Life::kColdUsed, Life::kWarmUsed},
    {LifeStep::kPrepare, Life::kGone, Life::kWarmReady},
    {LifeStep::kPrepare, Life::kGone, Life::kColdFresh},
    {LifeStep::kPrepare, Life::kColdFresh, Life::kWarmFresh, OsCall::kPopulateWrite},
    {LifeStep::kPrepare, Life::kGone, Life::kWarmFresh, OsCall::kPopulateWrite},
};

}  // namespace hakmem::testing
