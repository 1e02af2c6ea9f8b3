// What it owns: the two spellings of "our own bug".
//   INVARIANT(c)      checked where HAKMEM_CHECKS is 1 (dev, sanitizer and fuzz builds)
//   VERIFY(c, text)   checked always; for what is cheap and off the fast paths
// Client bugs go to the mode's Reporter, failures of the system travel as typed results.
// Thread-safety: any thread; panic() takes no lock and allocates nothing.
#pragma once

#ifndef HAKMEM_CHECKS
#define HAKMEM_CHECKS 0
#endif

namespace hakmem {

// Writes one line to stderr and aborts. Defined by the OS layer.
[[noreturn]] void panic(char const* file, int line, char const* text) noexcept;

inline constexpr bool kChecks = HAKMEM_CHECKS != 0;

}  // namespace hakmem

#define VERIFY(condition, text)                                    \
  do {                                                             \
    if (!(condition)) [[unlikely]]                                 \
      ::hakmem::panic(__FILE__, __LINE__, "verify failed: " text); \
  } while (false)

#define INVARIANT(condition)                                           \
  do {                                                                 \
    if constexpr (::hakmem::kChecks) {                                 \
      if (!(condition)) [[unlikely]]                                   \
        ::hakmem::panic(__FILE__, __LINE__, "invariant: " #condition); \
    }                                                                  \
  } while (false)
