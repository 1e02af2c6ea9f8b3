// What it owns: what each fuzz target consists of. A surface is one file, fuzz_NAME.cpp, which defines `surface`; it
// is linked with an engine (engine.cpp) or with the driver that replays files (replay.cpp).
// Thread-safety: one input at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "property_tests/model/violation.h"

namespace hakmem::fuzz {

using Input = std::span<std::uint8_t const>;

struct Surface {
  char const* name;
  bool records;  // inputs are records of eight bytes; otherwise text
  // Checks one input; throws testing::Violation. `seeded` 0: nothing else. From 1 to `seeded_bugs`: with that bug
  // planted in what is under test, for the controls.
  void (*check)(Input input, unsigned seeded);
  unsigned seeded_bugs;
  // What the input does, as C++ or text.
  std::string (*print)(Input input);
};

extern Surface const surface;

}  // namespace hakmem::fuzz
