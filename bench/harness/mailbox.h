// What it owns: blocks on their way from one thread to another.
// Invariants: head - tail <= kCapacity; the slots in [tail, head) hold blocks that nobody has freed.
// Thread-safety: one producer (try_push), one consumer (drain), no locks. Each side keeps a copy of
// the other side's index and rereads it only when the copy says full or empty, so that the harness
// costs one shared cache line per eight blocks.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace hakmem::bench {

class Mailbox {
 public:
  // False when the mailbox is full.
  bool try_push(void* block) {
    std::uint64_t const head = head_.load(std::memory_order_relaxed);
    if (head - tail_copy_ == kCapacity) {
      tail_copy_ = tail_.load(std::memory_order_acquire);
      if (head - tail_copy_ == kCapacity) return false;
    }
    blocks_[head % kCapacity] = block;
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  // Hands every waiting block to release(block); returns how many.
  template <typename Release>
  std::uint64_t drain(Release release) {
    std::uint64_t const first = tail_.load(std::memory_order_relaxed);
    std::uint64_t const head = head_.load(std::memory_order_acquire);
    for (std::uint64_t at = first; at != head; ++at) release(blocks_[at % kCapacity]);
    if (head != first) tail_.store(head, std::memory_order_release);
    return head - first;
  }

 private:
  static constexpr std::size_t kCapacity = 1024;
  static constexpr std::size_t kLineBytes = 64;

  // protocol: written by the producer after the slot, read by the consumer; release/acquire publishes the slot.
  alignas(kLineBytes) std::atomic<std::uint64_t> head_{0};
  std::uint64_t tail_copy_ = 0;  // producer's
  // protocol: written by the consumer once it has read the slots; release/acquire gives them back to the producer.
  alignas(kLineBytes) std::atomic<std::uint64_t> tail_{0};
  alignas(kLineBytes) std::array<void*, kCapacity> blocks_{};
};

}  // namespace hakmem::bench
