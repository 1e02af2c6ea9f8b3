// What it owns: what the checked build keeps for each thread, in one place, so that one address serves for all of it.
// Thread-safety: the calling thread's own.
#pragma once

#include <cstdint>

namespace hakmem::hardened {

// What a function saved when it was called, as it lies where its frame pointer points.
struct Frame {
  std::uintptr_t outer = 0;   // the caller's frame pointer
  std::uintptr_t caller = 0;  // the return address
};

struct OwnThread {
  // Of the exported function that the program called, and where it lay. A copy, because what that function ends by
  // jumping to may overwrite the place.
  Frame entry;
  std::uintptr_t entry_at = 0;
  std::uint64_t random = 0;      // the state of its random numbers; 0: none was drawn yet
  std::uint64_t leaving = 0;     // of those that choose what leaves the quarantine; 0: nothing had to yet
  std::uint32_t number = 0;      // 0: it did not ask yet; see thread_number()
  std::uintptr_t stack_end = 0;  // known with the number
};
inline constinit thread_local OwnThread own{};

void start_own_thread() noexcept;
// Threads in the order in which they first asked, from 1.
[[gnu::always_inline]] inline std::uint32_t thread_number() noexcept {
  if (own.number == 0) [[unlikely]]
    start_own_thread();
  return own.number;
}

}  // namespace hakmem::hardened
