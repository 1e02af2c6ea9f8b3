// What it owns: how this test binary was built, so that a test can do less where each step costs
// more. No check depends on it.
// Thread-safety: constants only.
#pragma once

namespace hakmem::testing {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
#else
inline constexpr bool kThreadSanitizer = false;
#endif

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#else
inline constexpr bool kAddressSanitizer = false;
#endif

inline constexpr bool kSanitized = kThreadSanitizer || kAddressSanitizer;

// How often to repeat what a plain build repeats `full` times.
constexpr unsigned scaled(unsigned full) {
  unsigned const divisor = kThreadSanitizer ? 16 : kAddressSanitizer ? 4 : 1;
  return full / divisor == 0 ? 1 : full / divisor;
}

}  // namespace hakmem::testing
