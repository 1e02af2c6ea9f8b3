// What it owns: large blocks on their own, with their books.
// Thread-safety: one test at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "property_tests/global/global_fixture.h"

namespace hakmem::testing {

template <class Os>
class LargeBlocksOn : public GlobalTest<Os> {
 public:
  using Base = GlobalTest<Os>;
  using C = typename Base::C;

  std::byte* allocate(std::size_t bytes, std::size_t alignment = kMinAlignment) {
    return static_cast<std::byte*>(this->large().allocate(this->space(), bytes, alignment, zeroed));
  }
  LargeBlock* find(void* block) { return large_at(this->space().registry(), block); }
  void release(void* block, std::uint64_t now_ms = 0) { this->large().release(this->space(), find(block), now_ms); }
  std::byte* resize(void* block, std::size_t bytes, std::uint64_t now_ms = 0) {
    return static_cast<std::byte*>(this->large().resize(this->space(), find(block), bytes, now_ms));
  }
  // Blocks of 2 MiB that do not touch.
  std::vector<std::byte*> allocate_apart(unsigned count) {
    std::vector<std::byte*> blocks;
    for (unsigned i = 0; i < count; ++i) blocks.push_back(allocate(2 * kMiB, 4 * kMiB));
    return blocks;
  }
  std::uint64_t cached() { return this->large().counts().cached_bytes; }

  static void fill(std::byte* block, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; i += 4093) block[i] = static_cast<std::byte>(i * 7 + 1);
  }
  static bool filled(std::byte const* block, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; i += 4093)
      if (block[i] != static_cast<std::byte>(i * 7 + 1)) return false;
    return true;
  }

  void TearDown() override {
    EXPECT_TRUE(this->large().validate());
    EXPECT_TRUE(this->nothing_leaked());
    auto const counts = this->large().counts();
    EXPECT_EQ(this->space().ledger().held_bytes, counts.bytes + counts.cached_bytes);
    Os::unmap_all();  // what lies beside a block decides whether the kernel moves it in one piece
  }

  bool zeroed = false;
};

}  // namespace hakmem::testing
