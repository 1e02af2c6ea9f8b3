// What it owns: who called. A walk along the frame pointers of the calling thread, and a store of
// the stacks seen, each kept once and named by a small number, so that a block can carry two.
//
// Code that was built without frame pointers ends the walk early, after its return address: each
// step is taken only if it stays on the thread's own stack.
// Invariants: a stored stack never changes; number 0 is the empty one.
// Thread-safety: start_stacks() once; everything else any thread, signal handlers included.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/base/geometry.h"
#include "hardened/fixed.h"
#include "hardened/own_thread.h"

namespace hakmem::hardened {

struct Stack {
  static constexpr unsigned kMaxFrames = 16;
  unsigned count = 0;
  void* frames[kMaxFrames];
};

// Frames stored per call, 0 to Stack::kMaxFrames. Set once by start_stacks().
void start_stacks(unsigned depth) noexcept;

// Word by word: both were just stored, and one load of the two would wait until they are in the cache.
[[gnu::always_inline]] inline void note_entry(void* frame) noexcept {
  auto const* const saved = static_cast<std::uintptr_t const volatile*>(frame);
  own.entry.outer = saved[0];
  own.entry.caller = saved[1];
  own.entry_at = reinterpret_cast<std::uintptr_t>(frame);
}

// Further away lies another stack: of a coroutine, or of a signal handler.
inline constexpr std::size_t kFarthestFrame = 256 * kKiB;
inline constexpr std::size_t kLargestStack = 64 * kMiB;

// visit(return address) for the frame that lies at `at` and for each outwards, at most `most`, at least that one.
// Domain: the thread has its number.
template <class Visit>
[[gnu::always_inline]] inline void walk(Frame frame, std::uintptr_t at, unsigned most, Visit visit) noexcept {
  std::uintptr_t const last = own.stack_end - sizeof(Frame);
  do {
    visit(frame.caller);
    std::uintptr_t const outer = frame.outer;
    // In words beyond the next one: what lies below, too far or between words is large.
    std::uintptr_t const distance = std::rotr(outer - at - sizeof(void*), 3);
    if (distance >= kFarthestFrame / sizeof(void*) || last - outer > kLargestStack) return;
    frame = *reinterpret_cast<Frame const*>(outer);
    at = outer;
  } while (--most > 0 && frame.caller != 0);
}

// Return addresses from that of a frame outwards, at most `most`: from `frame`, or from the entry if it is null.
Stack walk_stack(void* frame, unsigned most) noexcept;

inline constexpr unsigned kStackIdBits = 18;

struct StackStore {
  static constexpr std::uint32_t kSlots = 1u << kStackIdBits;
  static constexpr std::size_t kSlotWords = 4;
  static constexpr unsigned kTableBits = 17;

  // A stack: the number of its frames, then the frames, in as many slots as they need. Slot 0 stays empty.
  std::uint64_t slots[kSlots][kSlotWords];
  // The slot of a stack, and above it the low bits of its hash.
  // protocol: 0, or a stack that was written before (release, acquire); written once.
  std::atomic<std::uint64_t> table[std::size_t{1} << kTableBits];
  // protocol: hands out slots; relaxed, for the table publishes them.
  std::atomic<std::uint32_t> used;

  // Where a stack is looked for.
  [[gnu::always_inline]] std::atomic<std::uint64_t>& entry(std::uint64_t hash, std::uint32_t probe) noexcept {
    return table[((hash >> (64 - kTableBits)) + probe) & ((1u << kTableBits) - 1)];
  }
  // The number that an entry has for it; what is none if the entry is another's.
  [[gnu::always_inline]] static std::uint64_t number(std::uint64_t entry, std::uint64_t hash) noexcept {
    return entry ^ hash << kStackIdBits;
  }
  [[gnu::always_inline]] static bool is_number(std::uint64_t number) noexcept { return number - 1 < kSlots - 1; }

  // The stack of the current call, stored; 0: there is no room.
  std::uint32_t find_or_add(std::uint64_t hash) noexcept;
};

// The number of the stack of the current call; 0 when none is stored. Domain: as of walk().
[[gnu::always_inline]] inline std::uint32_t remember_stack() noexcept {
  if (fixed.stack_depth == 0) [[unlikely]]
    return 0;
  StackStore* const store = fixed.stacks;
  std::uint64_t hash = 0;
  walk(own.entry, own.entry_at, fixed.stack_depth,
       [&](std::uintptr_t caller) { hash = (hash + caller) * 0x9e3779b97f4a7c15; });
  std::uint64_t const number = StackStore::number(store->entry(hash, 0).load(std::memory_order_acquire), hash);
  if (StackStore::is_number(number)) [[likely]]
    return static_cast<std::uint32_t>(number);
  return hash != 0 ? store->find_or_add(hash) : 0;
}
Stack recall_stack(std::uint32_t id) noexcept;

// Whether an address lies on the calling thread's stack, as far as known.
bool is_on_stack(void const* address) noexcept;

// The trace word of a record.
struct Trace {
  std::uint32_t allocated_by = 0, freed_by = 0;  // stacks
  std::uint32_t allocating_thread = 0, freeing_thread = 0;

  static constexpr unsigned kThreadBits = 32 - kStackIdBits;
  static constexpr std::uint32_t kStackMask = (1u << kStackIdBits) - 1;

  // A stack and a thread in half a word: that of the allocation is the lower one.
  [[gnu::always_inline]] static std::uint32_t half(std::uint32_t stack, std::uint32_t thread) noexcept {
    return stack | thread << kStackIdBits;
  }
  // The half that tells of the current call.
  [[gnu::always_inline]] static std::uint32_t own_half() noexcept {
    std::uint32_t const thread = thread_number();
    return half(remember_stack(), thread);
  }
  static Trace from(std::uint64_t word) noexcept {
    auto const allocated = static_cast<std::uint32_t>(word), freed = static_cast<std::uint32_t>(word >> 32);
    return {allocated & kStackMask, freed & kStackMask, allocated >> kStackIdBits, freed >> kStackIdBits};
  }
  std::uint64_t word() const noexcept {
    return half(allocated_by, allocating_thread) | std::uint64_t{half(freed_by, freeing_thread)} << 32;
  }
};

}  // namespace hakmem::hardened
