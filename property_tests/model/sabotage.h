// What it owns: an allocator that breaks one promise, for the controls that show that a check can fail.
// Thread-safety: as the subject.
#pragma once

#include <cstdint>

#include "property_tests/model/subject.h"

namespace hakmem::testing {

enum class Sabotage : std::uint8_t {
  kNone,
  kMisaligned,      // blocks that ask for an alignment start 16 bytes late
  kTwice,           // one block in four is handed out again
  kNotZero,         // zeroed blocks have a byte that is not
  kLosesContents,   // a block that moved lost its last byte
  kNeverFreed,      // freed blocks are forgotten
  kChangesErrno,    // of calls that free
  kRefuses,         // one request in four, for no reason
  kWritesElsewhere  // a free writes into another live block
};
inline constexpr unsigned kSabotages = 9;

// As `subject`, but for one promise.
std::unique_ptr<Subject> sabotaged(std::unique_ptr<Subject> subject, Sabotage how);

}  // namespace hakmem::testing
