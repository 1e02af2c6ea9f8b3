// What it owns: who called. A walk along the frame pointers of the calling thread, and a store of
// the stacks seen, each kept once and named by a small number, so that a block can carry two.
//
// Code that was built without frame pointers ends the walk early, after its return address: each
// step is taken only if it stays on the thread's own stack.
// Invariants: a stored stack never changes; number 0 is the empty one.
// Thread-safety: start_stacks() once; everything else any thread, signal handlers included.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hakmem::hardened {

struct Stack {
  static constexpr unsigned kMaxFrames = 16;
  unsigned count = 0;
  void* frames[kMaxFrames];
};

// Frames stored per call, 0 to Stack::kMaxFrames. Set once by start_stacks().
void start_stacks(unsigned depth) noexcept;

// What a function saved when it was called, as it lies where its frame pointer points.
struct Frame {
  std::uintptr_t outer = 0;   // the caller's frame pointer
  std::uintptr_t caller = 0;  // the return address
};

// Of the exported function that the program called. A copy, because what that function ends by jumping to
// may overwrite the place.
inline constinit thread_local Frame entry_frame{};
[[gnu::always_inline]] inline void note_entry(void* frame) noexcept { entry_frame = *static_cast<Frame const*>(frame); }

// Return addresses from that of a frame outwards, at most `most`: from `frame`, or from the entry if it is null.
Stack walk_stack(void* frame, unsigned most) noexcept;

inline constexpr unsigned kStackIdBits = 18;
// The number of the stack of the current call; 0 when none is stored.
std::uint32_t remember_stack() noexcept;
Stack recall_stack(std::uint32_t id) noexcept;

// Whether an address lies on the calling thread's stack, as far as known.
bool is_on_stack(void const* address) noexcept;

// The trace word of a record.
struct Trace {
  std::uint32_t allocated_by = 0, freed_by = 0;  // stacks
  std::uint32_t allocating_thread = 0, freeing_thread = 0;

  static constexpr unsigned kThreadBits = 14;

  static Trace from(std::uint64_t word) noexcept {
    constexpr std::uint64_t kStackMask = (1u << kStackIdBits) - 1, kThreadMask = (1u << kThreadBits) - 1;
    Trace trace;
    trace.allocated_by = static_cast<std::uint32_t>(word & kStackMask);
    trace.freed_by = static_cast<std::uint32_t>(word >> kStackIdBits & kStackMask);
    trace.allocating_thread = static_cast<std::uint32_t>(word >> 2 * kStackIdBits & kThreadMask);
    trace.freeing_thread = static_cast<std::uint32_t>(word >> (2 * kStackIdBits + kThreadBits) & kThreadMask);
    return trace;
  }
  std::uint64_t word() const noexcept {
    constexpr std::uint64_t kThreadMask = (1u << kThreadBits) - 1;
    return allocated_by | std::uint64_t{freed_by} << kStackIdBits |
           (allocating_thread & kThreadMask) << 2 * kStackIdBits |
           (freeing_thread & kThreadMask) << (2 * kStackIdBits + kThreadBits);
  }
};

}  // namespace hakmem::hardened
