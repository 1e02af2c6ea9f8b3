// What it owns: the two "allocators" a benchmark loop is compiled with. ProcessHeap is whatever the
// process has as malloc; Premade hands out blocks made beforehand, so that a loop over it costs what
// the loop itself costs: the difference of the two is the allocator's share.
// Thread-safety: ProcessHeap as malloc; a Premade belongs to one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace hakmem::bench {

struct ProcessHeap {
  static void* allocate(std::size_t bytes) {
    void* const block = std::malloc(bytes);
    if (block == nullptr) [[unlikely]] {
      std::fputs("hak-bench: malloc returned NULL\n", stderr);
      std::_Exit(1);
    }
    return block;
  }
  static void release(void* block) { std::free(block); }
};

class Premade {
 public:
  static constexpr std::size_t kBlockBytes = 2048;  // the largest request that a loop over it may make

  void* allocate(std::size_t) { return blocks_[next_++ % kBlocks].data(); }
  void release(void*) {}

 private:
  static constexpr std::size_t kBlocks = 8;  // few enough to stay in the first-level cache
  std::array<std::array<unsigned char, kBlockBytes>, kBlocks> blocks_{};
  std::size_t next_ = 0;
};

// The benchmark's use of a block: both ends are written.
inline void write_both_ends(void* block, std::size_t bytes) {
  auto* const first = static_cast<unsigned char volatile*>(block);
  first[0] = 1;
  first[bytes - 1] = 2;
}

}  // namespace hakmem::bench
