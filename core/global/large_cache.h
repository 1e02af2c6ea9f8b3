// What it owns: the pages of freed large blocks, for reuse. Ranges that touch are one; of a range that is longer than
// what is wanted a part is cut off. A range is as old as its oldest part, so that what lies idle goes back to the
// system whatever is in use beside it. Invariant: no two ranges touch. Thread-safety: none; core/global/large.h
// serialises.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/kernels.h"
#include "core/global/large_block.h"

namespace hakmem {

class LargeCache {
 public:
  // What is longer than wanted by more than this stays in the cache, or goes there.
  static constexpr std::size_t spare_bytes(std::size_t wanted) noexcept { return wanted / 8; }

  // Adds a range. Those that it touched are part of it now; their descriptors, two at most, come back linked by `next`.
  LargeBlock* put(LargeBlock* range) noexcept {
    LargeBlock* spent = nullptr;
    for (LargeBlock *other = shelf_.list.first(), *following; other; other = following) {
      following = other->next;
      if (other->end() != range->base && range->end() != other->base) continue;
      shelf_.remove(other);
      if (other->base < range->base) range->base = other->base;
      range->bytes += other->bytes;
      if (other->freed_at_ms < range->freed_at_ms) range->freed_at_ms = other->freed_at_ms;
      other->next = spent;
      spent = other;
    }
    shelf_.put(range);
    return spent;
  }

  // The highest range that has `wanted` bytes at a multiple of `alignment`; null: none has. One that must not be cut
  // has them at its start, and little to spare. The highest, because new mappings lie below: what is lowest idles, and
  // goes.
  LargeBlock* find(std::size_t wanted, std::size_t alignment, bool may_cut) const noexcept {
    LargeBlock* best = nullptr;
    for (LargeBlock* range = shelf_.list.first(); range; range = range->next) {
      std::size_t const lead = lead_bytes(range, alignment);
      if (range->bytes < wanted || range->bytes - wanted < lead) continue;
      if (!may_cut && (lead != 0 || range->bytes - wanted > spare_bytes(wanted))) continue;
      if (!best || range->base > best->base) best = range;
    }
    return best;
  }

  // Takes that range, all of it.
  LargeBlock* take(std::size_t wanted, std::size_t alignment, bool may_cut) noexcept {
    LargeBlock* const best = find(wanted, alignment, may_cut);
    if (best) shelf_.remove(best);
    return best;
  }

  // Takes the range that starts at `end`, if it has at least so many bytes; null: there is none.
  LargeBlock* take_behind(std::byte const* end, std::size_t least) noexcept {
    for (LargeBlock* range = shelf_.list.first(); range; range = range->next) {
      if (range->base != end || range->bytes < least) continue;
      shelf_.remove(range);
      return range;
    }
    return nullptr;
  }

  // Takes the range that was freed first, if that was `latest_ms` or before; null: none.
  LargeBlock* take_oldest(std::uint64_t latest_ms) noexcept {
    LargeBlock* const range = oldest();
    if (!range || range->freed_at_ms > latest_ms) return nullptr;
    shelf_.remove(range);
    return range;
  }

  // What is over a limit: a range, or pages that were the start of one (`range` is null then). No bytes: nothing is.
  struct Excess {
    LargeBlock* range = nullptr;
    std::byte* base = nullptr;
    std::size_t bytes = 0;
  };
  Excess take_excess(std::uint64_t max_bytes, unsigned max_count, std::size_t page_bytes) noexcept {
    std::uint64_t const over = bytes() <= max_bytes ? 0 : kernels::align_up(bytes() - max_bytes, page_bytes);
    bool const too_many = shelf_.count > max_count;
    if (over == 0 && !too_many) return {};
    LargeBlock* const range = oldest();
    if (too_many || over >= range->bytes) {
      shelf_.remove(range);
      return {range, range->base, range->bytes};
    }
    std::byte* const base = range->base;
    range->base += over;
    range->bytes -= over;
    shelf_.bytes -= over;
    return {nullptr, base, over};
  }

  static std::size_t lead_bytes(LargeBlock const* range, std::size_t alignment) noexcept {
    auto const base = reinterpret_cast<std::uintptr_t>(range->base);
    return kernels::align_up(base, alignment) - base;
  }

  std::uint64_t bytes() const noexcept { return shelf_.bytes; }

  bool validate() const noexcept {
    for (LargeBlock const* range = shelf_.list.first(); range; range = range->next)
      for (LargeBlock const* other = shelf_.list.first(); other; other = other->next)
        if (range->end() == other->base) return false;
    return shelf_.validate();
  }

 private:
  LargeBlock* oldest() const noexcept {
    LargeBlock* oldest = shelf_.list.first();
    for (LargeBlock* range = oldest; range; range = range->next)
      if (range->freed_at_ms <= oldest->freed_at_ms) oldest = range;
    return oldest;
  }

  LargeShelf shelf_;
};

}  // namespace hakmem
