// What it owns: the reference model of a heap - which blocks live, where, and what is in them. It
// performs each operation on an allocator and checks invariants A1 and A2 around it.
// Invariants: `blocks()` are disjoint and each holds the pattern of its seed.
// Thread-safety: one thread at a time; use one model per thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <vector>

#include "core/api/allocator.h"

namespace hakmem::testing {

template <class A>
class ShadowHeap {
 public:
  using Heap = typename A::Heap;

  struct Live {
    std::byte* start = nullptr;
    std::size_t bytes = 0;
    unsigned seed = 0;
  };

  explicit ShadowHeap(A& allocator) : allocator_(allocator) {}

  // Each returns null, and changes nothing, when the allocator does.
  void* allocate(Heap* heap, std::size_t bytes) {
    return take_in(allocator_.allocate(heap, bytes), bytes, kMinAlignment);
  }
  void* allocate_aligned(Heap* heap, std::size_t bytes, std::size_t alignment) {
    return take_in(allocator_.allocate_aligned(heap, bytes, alignment), bytes, alignment);
  }
  void* allocate_zeroed(Heap* heap, std::size_t bytes) {
    void* const block = allocator_.allocate_zeroed(heap, bytes);
    if (block) expect_zero(static_cast<std::byte*>(block), bytes);
    return take_in(block, bytes, kMinAlignment);
  }

  void* reallocate(Heap* heap, std::size_t number, std::size_t bytes) {
    Live const before = blocks_[number];
    expect_contents(before, before.bytes);
    void* const after = allocator_.reallocate(heap, before.start, bytes);
    if (!after) {
      expect_contents(before, before.bytes);
      return nullptr;
    }
    forget(number);
    expect_contents({static_cast<std::byte*>(after), before.bytes, before.seed}, std::min(before.bytes, bytes));
    return take_in(after, bytes, kMinAlignment);
  }

  void release(Heap* heap, std::size_t number) {
    Live const block = blocks_[number];
    expect_contents(block, block.bytes);
    forget(number);
    allocator_.release(heap, block.start);
  }

  void release_all(Heap* heap) {
    while (!blocks_.empty()) release(heap, blocks_.size() - 1);
  }

  void expect_all_contents() const {
    for (Live const& block : blocks_) expect_contents(block, block.bytes);
  }

  std::vector<Live> const& blocks() const { return blocks_; }
  std::size_t live_bytes() const { return live_bytes_; }

 private:
  static std::byte pattern(unsigned seed, std::size_t offset) {
    return static_cast<std::byte>(seed * 167 + offset * 31 + (offset >> 8) + 1);
  }

  // All offsets of a small block; of a large one both ends and some from every page.
  template <class Visit>
  static void for_each_offset(std::size_t bytes, Visit visit) {
    constexpr std::size_t kWhole = 4096, kEnds = 256, kStride = 1021;
    for (std::size_t i = 0; i < bytes; i += bytes <= kWhole || i < kEnds || i + kEnds >= bytes ? 1 : kStride) visit(i);
    if (bytes > kWhole)
      for (std::size_t i = bytes - kEnds; i < bytes; ++i) visit(i);
  }

  void expect_contents(Live const& block, std::size_t bytes) const {
    std::size_t wrong = 0;
    for_each_offset(block.bytes, [&](std::size_t i) {
      if (i < bytes && block.start[i] != pattern(block.seed, i)) ++wrong;
    });
    if (wrong != 0) ADD_FAILURE() << wrong << " bytes changed in a block of " << block.bytes;
  }

  static void expect_zero(std::byte const* start, std::size_t bytes) {
    // All bytes equal their successor, and the first is zero.
    bool const zero = bytes == 0 || (start[0] == std::byte{0} && std::memcmp(start, start + 1, bytes - 1) == 0);
    if (!zero) ADD_FAILURE() << "a zeroed block of " << bytes << " bytes is not zero";
  }

  void* take_in(void* block, std::size_t bytes, std::size_t alignment) {
    if (!block) return nullptr;
    auto const start = reinterpret_cast<std::uintptr_t>(block);
    if (start % alignment != 0 || start % kMinAlignment != 0) ADD_FAILURE() << "misaligned for " << alignment;
    std::size_t const usable = allocator_.usable_bytes(block);
    if (usable < bytes) ADD_FAILURE() << "usable " << usable << " of " << bytes;
    std::uintptr_t const end = start + (usable == 0 ? 1 : usable);
    auto const next = ends_.lower_bound(start);
    bool const hits_next = next != ends_.end() && next->first < end;
    if (hits_next || (next != ends_.begin() && std::prev(next)->second > start)) ADD_FAILURE() << "blocks overlap";
    ends_[start] = end;
    Live const live{static_cast<std::byte*>(block), bytes, ++seed_};
    for_each_offset(bytes, [&](std::size_t i) { live.start[i] = pattern(live.seed, i); });
    blocks_.push_back(live);
    live_bytes_ += bytes;
    return block;
  }

  void forget(std::size_t number) {
    ends_.erase(reinterpret_cast<std::uintptr_t>(blocks_[number].start));
    live_bytes_ -= blocks_[number].bytes;
    blocks_[number] = blocks_.back();
    blocks_.pop_back();
  }

  A& allocator_;
  std::vector<Live> blocks_;
  std::map<std::uintptr_t, std::uintptr_t> ends_;  // start -> end of what the client may use
  std::size_t live_bytes_ = 0;
  unsigned seed_ = 0;
};

}  // namespace hakmem::testing
