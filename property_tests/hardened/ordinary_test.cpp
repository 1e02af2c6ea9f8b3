// What the checked build does in few steps for most blocks, on a pretend span.
#include <gtest/gtest.h>

#include <cstring>

#include "hardened/hardened_mode.h"
#include "property_tests/hardened/reports.h"
#include "property_tests/hardened/span.h"

namespace hakmem::hardened {
namespace {

void* arm_ordinary(Span& span, std::size_t index, std::size_t bytes) {
  return HardenedMode::arm_ordinary(span.place(index), bytes, AllocationKind::kMalloc);
}
struct SpanOfFreeBlocks : Span {
  explicit SpanOfFreeBlocks(std::size_t bytes_of_each = kBytes) : Span(true, bytes_of_each) {
    for (std::size_t index = 0; index < kBlocks; ++index) make_free(index);
  }
};

TEST(HardenedOrdinary, memory_that_was_never_used_is_enclosed_whatever_it_holds) {
  for (std::size_t block_bytes = 32; block_bytes <= Span::kMostBytes; block_bytes += 16) {
    for (std::size_t bytes = 0; bytes < block_bytes - kMinAlignment; ++bytes) {
      SpanOfFreeBlocks span(block_bytes);
      std::memset(span.place(2).start, 0x55, block_bytes);
      span.set(2, 0);
      ASSERT_EQ(arm_ordinary(span, 2, bytes), span.place(2).start + kMinAlignment);
      ASSERT_EQ(span.facts(2).bytes, bytes);
      ASSERT_TRUE(span.is_sound(2)) << bytes << " of " << block_bytes;
      ASSERT_TRUE(span.is_sound(1) && span.is_sound(3));
    }
  }
}

// Behind it lies more to be written.
TEST(HardenedOrdinary, the_last_block_of_a_span_is_left_to_the_long_way_when_it_was_never_used) {
  SpanOfFreeBlocks span;
  span.set(Span::kBlocks - 1, 0);
  EXPECT_EQ(arm_ordinary(span, Span::kBlocks - 1, 40), nullptr);
  EXPECT_EQ(span.word(Span::kBlocks - 1), 0u);
}

TEST(HardenedOrdinary, a_live_block_is_known_by_the_header_in_front_of_it_and_by_no_other) {
  Reports reports;
  SpanOfFreeBlocks span;
  for (std::size_t const alignment : {16u, 32u, 64u}) {
    ClientPtr const pointer(HardenedMode::arm(span.place(2), {.bytes = 40, .alignment = alignment}, false));
    auto* const client = static_cast<std::byte*>(pointer.unchecked());
    std::size_t bytes = 0;
    ASSERT_TRUE(HardenedMode::inspect_ordinary(pointer, bytes));
    EXPECT_EQ(bytes, 40u);
    for (unsigned bit = 0; bit < 8 * kHeaderBytes; ++bit) {
      std::byte& byte = client[static_cast<int>(bit / 8) - static_cast<int>(kHeaderBytes)];
      byte ^= std::byte{1} << bit % 8;
      ASSERT_FALSE(HardenedMode::inspect_ordinary(pointer, bytes)) << bit;
      byte ^= std::byte{1} << bit % 8;
    }
    std::byte* const elsewhere = span.place(3).start;
    std::memcpy(elsewhere, client - kHeaderBytes, kHeaderBytes);
    EXPECT_FALSE(HardenedMode::inspect_ordinary(ClientPtr(elsewhere + kHeaderBytes), bytes));
    span.make_free(3);
    EXPECT_TRUE(HardenedMode::admit(span.place(2), pointer, {}));
    EXPECT_FALSE(HardenedMode::inspect_ordinary(pointer, bytes));
  }
  EXPECT_TRUE(reports.taken().empty());
}

// As a program may write it back that keeps a copy of a freed block.
TEST(HardenedOrdinary, a_header_that_says_free_is_that_of_no_live_block) {
  SpanOfFreeBlocks span;
  std::byte* const start = span.place(2).start;
  Header::of(span.word(2), start).store(start);
  std::size_t bytes = 0;
  EXPECT_FALSE(HardenedMode::inspect_ordinary(ClientPtr(start + kHeaderBytes), bytes));
}

}  // namespace
}  // namespace hakmem::hardened
