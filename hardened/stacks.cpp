#include "hardened/stacks.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <atomic>
#include <bit>

#include "core/base/geometry.h"
#include "core/os/linux.h"
#include "core/os/thread.h"
#include "hardened/fixed.h"

namespace hakmem::hardened {
namespace {

// A stored stack: its hash, with the number of frames in the low byte, then the frames. Slot 0 stays empty.
constexpr std::size_t kSlotWords = 4;
constexpr std::uint32_t kSlots = 1u << kStackIdBits;
constexpr std::uint32_t kTableBits = 17;
constexpr std::uint32_t kProbes = 16;

}  // namespace

struct StackStore {
  std::uint64_t slots[kSlots][kSlotWords];
  // protocol: 0, or the number of a stack that was written before (release, acquire); written once.
  std::atomic<std::uint32_t> table[1u << kTableBits];
  // protocol: hands out slots; relaxed, for the table publishes them.
  std::atomic<std::uint32_t> used;
};

namespace {

constinit thread_local std::uintptr_t own_stack_top = 0;

// No frame of ours lies above: the kernel puts the random bytes above the first thread's stack,
// and libc a thread's own descriptor above each other one.
std::uintptr_t stack_top() noexcept {
  if (own_stack_top == 0) [[unlikely]] {
    bool const first_thread = current_thread_id() == static_cast<std::uint32_t>(::getpid());
    own_stack_top =
        first_thread ? ::getauxval(AT_RANDOM) : reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
  }
  return own_stack_top;
}

// Further away lies another stack: of a coroutine, or of a signal handler.
constexpr std::size_t kFarthestFrame = 256 * kKiB;
constexpr std::size_t kLargestStack = 64 * kMiB;

bool is_on_own_stack(std::uintptr_t address, std::uintptr_t top) noexcept {
  std::uintptr_t const below = top - address;  // large where it lies above
  return below >= sizeof(Frame) && below <= kLargestStack && address % sizeof(void*) == 0;
}

// visit(return address) for a frame above `below` and for each outwards, at most `most`.
template <class Visit>
[[gnu::always_inline]] inline void walk(Frame frame, void* below, unsigned most, Visit visit) noexcept {
  auto inner = reinterpret_cast<std::uintptr_t>(below);
  std::uintptr_t const last = stack_top() - sizeof(Frame);
  for (unsigned left = most; left > 0 && frame.caller != 0; --left) {
    visit(frame.caller);
    std::uintptr_t const outer = frame.outer;
    // In words beyond the next one: what lies below, too far or between words is large.
    std::uintptr_t const distance = std::rotr(outer - inner - sizeof(void*), 3);
    if (distance >= kFarthestFrame / sizeof(void*) || last - outer > kLargestStack) return;
    frame = *reinterpret_cast<Frame const*>(outer);
    inner = outer;
  }
}

// The stack that was just hashed, stored. 0: there is no room.
[[gnu::noinline, gnu::cold]] std::uint32_t add(std::uint64_t hash) noexcept {
  Stack const stack = walk_stack(nullptr, fixed.stack_depth);
  std::uint32_t const slots = static_cast<std::uint32_t>((1 + stack.count + kSlotWords - 1) / kSlotWords);
  std::uint32_t const fresh = 1 + fixed.stacks->used.fetch_add(slots, std::memory_order_relaxed);
  if (fresh + slots > kSlots) {
    fixed.stacks->used.fetch_sub(slots, std::memory_order_relaxed);
    return 0;
  }
  std::uint64_t* const words = fixed.stacks->slots[fresh];
  words[0] = hash;
  for (unsigned i = 0; i < stack.count; ++i) words[1 + i] = reinterpret_cast<std::uintptr_t>(stack.frames[i]);
  return fresh;
}

std::uint32_t find_or_add(std::uint64_t hash) noexcept {
  std::uint32_t const first = static_cast<std::uint32_t>(hash >> (64 - kTableBits));
  for (std::uint32_t probe = 0; probe < kProbes; ++probe) {
    auto& entry = fixed.stacks->table[(first + probe) & ((1u << kTableBits) - 1)];
    std::uint32_t id = entry.load(std::memory_order_acquire);
    if (id == 0) {
      std::uint32_t const fresh = add(hash);
      if (fresh == 0) return 0;
      if (entry.compare_exchange_strong(id, fresh, std::memory_order_release, std::memory_order_acquire)) return fresh;
    }
    if (fixed.stacks->slots[id][0] == hash) return id;
  }
  return 0;
}

}  // namespace

void start_stacks(unsigned depth) noexcept {
  fixed.stack_depth = depth < Stack::kMaxFrames ? depth : Stack::kMaxFrames;
  if (fixed.stack_depth == 0 || fixed.stacks) return;
  std::size_t const page = Linux::page_bytes();
  std::size_t const bytes = (sizeof(StackStore) + page - 1) / page * page;
  std::size_t const with_guards = bytes + 2 * page;
  OsMapping const mapping = Linux::map(nullptr, with_guards, MapKind::kNormal);
  if (!mapping.ok()) return;
  auto* const start = static_cast<std::byte*>(mapping.address) + page;
  Linux::name(mapping.address, with_guards, "hakmem stacks");
  static_cast<void>(Linux::guard(mapping.address, page));
  static_cast<void>(Linux::guard(start + bytes, page));
  fixed.stacks = reinterpret_cast<StackStore*>(start);
}

Stack walk_stack(void* frame, unsigned most) noexcept {
  Stack stack;
  auto const add = [&stack](std::uintptr_t caller) { stack.frames[stack.count++] = reinterpret_cast<void*>(caller); };
  if (!frame)
    walk(entry_frame, __builtin_frame_address(0), most, add);
  else if (is_on_own_stack(reinterpret_cast<std::uintptr_t>(frame), stack_top()))
    walk(*static_cast<Frame const*>(frame), frame, most, add);
  return stack;
}

std::uint32_t remember_stack() noexcept {
  if (!fixed.stacks) return 0;
  std::uint64_t hash = 0;
  unsigned count = 0;
  walk(entry_frame, __builtin_frame_address(0), fixed.stack_depth, [&](std::uintptr_t caller) {
    hash = (hash + caller) * 0x9e3779b97f4a7c15;
    ++count;
  });
  return count == 0 ? 0 : find_or_add((hash & ~std::uint64_t{0xff}) | count);
}

Stack recall_stack(std::uint32_t id) noexcept {
  Stack stack;
  if (!fixed.stacks) return stack;
  std::uint64_t const* const words = fixed.stacks->slots[id];
  stack.count = static_cast<unsigned>(words[0] & 0xff);
  if (stack.count > Stack::kMaxFrames) stack.count = 0;
  for (unsigned i = 0; i < stack.count; ++i) stack.frames[i] = reinterpret_cast<void*>(words[1 + i]);
  return stack;
}

bool is_on_stack(void const* address) noexcept {
  auto const bits = reinterpret_cast<std::uintptr_t>(address);
  auto const here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return bits >= here && bits < stack_top() && stack_top() - here <= kLargestStack;
}

}  // namespace hakmem::hardened
