#include "hardened/stacks.h"

#include <atomic>
#include <bit>

#include "core/base/geometry.h"
#include "core/os/linux.h"
#include "hardened/fixed.h"

namespace hakmem::hardened {

namespace {

constexpr std::uint32_t kProbes = 16;

bool is_on_own_stack(std::uintptr_t address) noexcept {
  std::uintptr_t const below = own.stack_end - address;  // large where it lies above
  return below >= sizeof(Frame) && below <= kLargestStack && address % sizeof(void*) == 0;
}

// The stack that was just hashed, stored. 0: there is no room.
std::uint32_t add() noexcept {
  Stack const stack = walk_stack(nullptr, fixed.stack_depth);
  std::uint32_t const slots =
      static_cast<std::uint32_t>((1 + stack.count + StackStore::kSlotWords - 1) / StackStore::kSlotWords);
  std::uint32_t const fresh = 1 + fixed.stacks->used.fetch_add(slots, std::memory_order_relaxed);
  if (fresh + slots > StackStore::kSlots) {
    fixed.stacks->used.fetch_sub(slots, std::memory_order_relaxed);
    return 0;
  }
  std::uint64_t* const words = fixed.stacks->slots[fresh];
  words[0] = stack.count;
  for (unsigned i = 0; i < stack.count; ++i) words[1 + i] = reinterpret_cast<std::uintptr_t>(stack.frames[i]);
  return fresh;
}

}  // namespace

std::uint32_t StackStore::find_or_add(std::uint64_t hash) noexcept {
  for (std::uint32_t probe = 0; probe < kProbes; ++probe) {
    auto& place = entry(hash, probe);
    std::uint64_t found = place.load(std::memory_order_acquire);
    if (found == 0) {
      std::uint32_t const fresh = add();
      if (fresh == 0) return 0;
      std::uint64_t const word = fresh | hash << kStackIdBits;
      if (place.compare_exchange_strong(found, word, std::memory_order_release, std::memory_order_acquire))
        return fresh;
    }
    if (is_number(number(found, hash))) return static_cast<std::uint32_t>(number(found, hash));
  }
  return 0;
}

void start_stacks(unsigned depth) noexcept {
  fixed.stack_depth = depth < Stack::kMaxFrames ? depth : Stack::kMaxFrames;
  if (fixed.stack_depth == 0 || fixed.stacks) return;
  std::size_t const page = Linux::page_bytes();
  std::size_t const bytes = (sizeof(StackStore) + page - 1) / page * page;
  std::size_t const with_guards = bytes + 2 * page;
  OsMapping const mapping = Linux::map(nullptr, with_guards, MapKind::kNormal);
  if (!mapping.ok()) {
    fixed.stack_depth = 0;
    return;
  }
  auto* const start = static_cast<std::byte*>(mapping.address) + page;
  Linux::name(mapping.address, with_guards, "hakmem stacks");
  static_cast<void>(Linux::guard(mapping.address, page));
  static_cast<void>(Linux::guard(start + bytes, page));
  fixed.stacks = reinterpret_cast<StackStore*>(start);
}

Stack walk_stack(void* frame, unsigned most) noexcept {
  static_cast<void>(thread_number());
  Stack stack;
  auto const add = [&stack](std::uintptr_t caller) { stack.frames[stack.count++] = reinterpret_cast<void*>(caller); };
  if (most == 0) return stack;
  if (!frame && own.entry.caller != 0)
    walk(own.entry, own.entry_at, most, add);
  else if (is_on_own_stack(reinterpret_cast<std::uintptr_t>(frame)))
    walk(*static_cast<Frame const*>(frame), reinterpret_cast<std::uintptr_t>(frame), most, add);
  return stack;
}

Stack recall_stack(std::uint32_t id) noexcept {
  Stack stack;
  if (!fixed.stacks) return stack;
  std::uint64_t const* const words = fixed.stacks->slots[id];
  stack.count = static_cast<unsigned>(words[0]);
  if (stack.count > Stack::kMaxFrames) stack.count = 0;
  for (unsigned i = 0; i < stack.count; ++i) stack.frames[i] = reinterpret_cast<void*>(words[1 + i]);
  return stack;
}

bool is_on_stack(void const* address) noexcept {
  static_cast<void>(thread_number());
  auto const bits = reinterpret_cast<std::uintptr_t>(address);
  auto const here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return bits >= here && bits < own.stack_end && own.stack_end - here <= kLargestStack;
}

}  // namespace hakmem::hardened
