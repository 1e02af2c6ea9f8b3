// What it owns: blocks of 16 to 1040 bytes that together reach a number of bytes. One byte in each
// cache line is written, so that every page of them is touched.
// Thread-safety: none.
#pragma once

#include <cstddef>

#include "bench/harness/heap_under_test.h"
#include "bench/harness/page_buffer.h"
#include "bench/harness/random.h"

namespace hakmem::bench {

class BlockPile {
 public:
  explicit BlockPile(std::size_t bytes) : bytes_(bytes), blocks_(bytes / kMeanBytes * 2 + 1) {}

  // Allocates until the requests sum up to the number of bytes; returns the number of blocks.
  std::size_t grow(Random& random) {
    for (std::size_t live = 0; live < bytes_ && count_ < blocks_.size(); ++count_) {
      std::size_t const bytes = kSmallestBytes + random.below(kSizes);
      auto* const block = static_cast<unsigned char volatile*>(ProcessHeap::allocate(bytes));
      for (std::size_t offset = 0; offset < bytes; offset += kLineBytes) block[offset] = 1;
      blocks_[count_] = const_cast<unsigned char*>(block);
      live += bytes;
    }
    return count_;
  }

  void clear() {
    while (count_ > 0) ProcessHeap::release(blocks_[--count_]);
  }

 private:
  static constexpr std::uint32_t kSmallestBytes = 16;
  static constexpr std::uint32_t kSizes = 1025;
  static constexpr std::size_t kMeanBytes = kSmallestBytes + kSizes / 2;
  static constexpr std::size_t kLineBytes = 64;

  std::size_t bytes_;
  PageBuffer<void*> blocks_;
  std::size_t count_ = 0;
};

}  // namespace hakmem::bench
