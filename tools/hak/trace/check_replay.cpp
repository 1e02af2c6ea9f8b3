#include <malloc.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "tools/hak/trace/workers.h"

namespace hakmem::tools {
namespace {

// What any block has that can hold an object of that alignment.
std::size_t least_alignment(std::uint64_t bytes) {
  return std::min<std::uint64_t>(alignof(std::max_align_t), std::bit_floor(std::max<std::uint64_t>(bytes, 1)));
}

[[noreturn]] void violated(Call const& call, std::string const& what) {
  throw std::runtime_error(std::string(name_of(call.kind)) + " of block " + std::to_string(call.block) + ": " + what);
}

// Byte `at` of a block.
std::uint8_t pattern(std::uint32_t block, std::size_t at) {
  std::uint64_t const word = (std::uint64_t{block} + 1) * 0x9e3779b97f4a7c15u ^ (at / 8 + 1) * 0xc2b2ae3d27d4eb4fu;
  return static_cast<std::uint8_t>(word >> (at % 8 * 8) | 1);  // never what zeroed memory holds
}

// What is known of all live blocks.
class CheckedHeap {
 public:
  explicit CheckedHeap(Trace const& trace) : bytes_(trace.blocks, 0) {}

  void* perform(Call const& call, void* old) {
    std::size_t const old_bytes = bytes_[call.block];
    if (old) check_contents(call, old, old_bytes);
    if (old) leave(old);
    void* const block = perform_call(call, old);
    if (call.kind == CallKind::kFree) return nullptr;
    require_memory(call, block);
    check_place(call, block);
    enter(call, block);
    if (call.kind == CallKind::kCalloc) check_zero(call, block);
    if (call.kind == CallKind::kRealloc) check_contents(call, block, std::min<std::size_t>(old_bytes, call.bytes));
    auto* const memory = static_cast<std::uint8_t*>(block);
    for (std::size_t at = 0; at < call.bytes; ++at) memory[at] = pattern(call.block, at);
    bytes_[call.block] = call.bytes;
    return block;
  }
  ReplayCheck result() const { return {checked_, digest_, ""}; }

 private:
  void check_contents(Call const& call, void const* block, std::size_t bytes) {
    auto const* const memory = static_cast<std::uint8_t const*>(block);
    std::uint64_t sum = call.block;
    for (std::size_t at = 0; at < bytes; ++at) {
      if (memory[at] != pattern(call.block, at)) violated(call, "byte " + std::to_string(at) + " was changed");
      sum = (sum ^ memory[at]) * 0x100000001b3u;
    }
    checked_.fetch_add(bytes, std::memory_order_relaxed);
    digest_.fetch_add(sum, std::memory_order_relaxed);  // of any order of the threads
  }
  static void check_place(Call const& call, void* block) {
    std::size_t const alignment = std::max(least_alignment(call.bytes), std::size_t{1} << call.alignment_log2);
    if (reinterpret_cast<std::uintptr_t>(block) % alignment != 0)
      violated(call, "not aligned to " + std::to_string(alignment));
    if (malloc_usable_size(block) < call.bytes) violated(call, "its usable size is less than what was asked for");
  }
  static void check_zero(Call const& call, void const* block) {
    auto const* const memory = static_cast<std::uint8_t const*>(block);
    if (std::any_of(memory, memory + call.bytes, [](std::uint8_t byte) { return byte != 0; }))
      violated(call, "not zero");
  }
  void enter(Call const& call, void* block) {
    auto const start = reinterpret_cast<std::uintptr_t>(block);
    std::uintptr_t const end = start + std::max<std::size_t>(call.bytes, 1);
    std::lock_guard const lock(lock_);
    auto const next = extents_.lower_bound(start);
    bool const overlaps =
        (next != extents_.end() && next->first < end) || (next != extents_.begin() && std::prev(next)->second > start);
    if (overlaps) violated(call, "overlaps a live block");
    extents_.emplace_hint(next, start, end);
  }
  void leave(void* block) {
    std::lock_guard const lock(lock_);
    extents_.erase(reinterpret_cast<std::uintptr_t>(block));
  }

  std::vector<std::size_t> bytes_;  // of each block; written by the worker whose turn it is
  std::mutex lock_;
  std::map<std::uintptr_t, std::uintptr_t> extents_;  // start -> end
  // protocol: sums; relaxed, read when the workers have ended.
  std::atomic<std::uint64_t> checked_{0}, digest_{0};
};

}  // namespace

ReplayCheck check_replay(Trace const& trace) {
  Workers workers(trace);
  CheckedHeap heap(trace);
  ReplayCheck result;
  try {
    workers.run([&heap](Call const& call, void* block) { return heap.perform(call, block); });
    workers.each_live([&heap](std::uint32_t block, void* address) {
      heap.perform({.kind = CallKind::kFree, .block = block}, address);
    });
    result = heap.result();
  } catch (std::runtime_error const& error) {
    result = heap.result();
    result.violation = error.what();
  }
  return result;
}

}  // namespace hakmem::tools
