// What it owns: how a check outside of a test framework says that a property does not hold.
// Thread-safety: values only.
#pragma once

#include <stdexcept>
#include <string>

namespace hakmem::testing {

struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void require(bool holds, char const* property) {
  if (!holds) throw Violation(property);
}

}  // namespace hakmem::testing
