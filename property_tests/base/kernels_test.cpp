// The kernels on plain words and on size classes, over their whole domain where it is small.
#include "core/base/kernels.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace hakmem::kernels {
namespace {

constexpr Word kTop = std::numeric_limits<Word>::max();

TEST(BaseKernels, alignment_moves_to_the_nearest_multiple) {
  for (unsigned shift = 0; shift < 63; ++shift) {
    Word const alignment = Word{1} << shift;
    ASSERT_TRUE(is_power_of_two(alignment));
    for (Word value : {Word{0}, Word{1}, alignment - 1, alignment, alignment + 1, alignment / 2 * 3, kTop / 2}) {
      if (value > kTop - alignment) continue;
      Word const down = align_down(value, alignment), up = align_up(value, alignment);
      ASSERT_TRUE(down % alignment == 0 && up % alignment == 0);
      ASSERT_TRUE(down <= value && value - down < alignment);
      ASSERT_TRUE(up >= value && up - value < alignment);
      ASSERT_EQ(is_aligned(value, alignment), value % alignment == 0);
    }
  }
  EXPECT_FALSE(is_power_of_two(0));
  for (Word value = 3; value < 70000; ++value) ASSERT_EQ(is_power_of_two(value), std::popcount(value) == 1) << value;
}

TEST(BaseKernels, product_tells_overflow_apart) {
  EXPECT_FALSE(multiply(0, kTop).overflowed);
  EXPECT_EQ(multiply(kTop, 1).value, kTop);
  EXPECT_FALSE(multiply(kTop, 1).overflowed);
  EXPECT_TRUE(multiply(kTop, 2).overflowed);
  EXPECT_TRUE(multiply(Word{1} << 32, Word{1} << 32).overflowed);
  EXPECT_FALSE(multiply(Word{1} << 32, (Word{1} << 32) - 1).overflowed);
}

TEST(BaseKernels, trim_plan_keeps_an_aligned_range_and_cuts_the_rest) {
  constexpr Word kPage = 4096;
  for (Word alignment : {Word{8} * kPage, Word{32} * kPage}) {
    for (Word keep = kPage; keep <= 3 * alignment; keep += kPage * 5) {
      for (Word raw = alignment; raw < 2 * alignment; raw += kPage) {
        for (Word spare : {Word{0}, kPage, alignment}) {
          Word const bytes = keep + alignment - kPage + spare;
          TrimPlan const plan = plan_trim(raw, bytes, keep, alignment);
          ASSERT_EQ(plan.base % alignment, 0u);
          ASSERT_EQ(plan.base, raw + plan.prefix);
          ASSERT_EQ(plan.prefix + keep + plan.suffix, bytes);
          ASSERT_LT(plan.prefix, alignment);
        }
      }
    }
  }
}

TEST(BaseKernels, trim_plan_holds_at_the_end_of_the_address_space) {
  Word const bytes = 4 * kMiB, keep = 2 * kMiB;
  TrimPlan const plan = plan_trim(Word{0} - bytes, bytes, keep, 2 * kMiB);
  EXPECT_EQ(plan.prefix, 0u);
  EXPECT_EQ(plan.suffix, 2 * kMiB);
}

template <class G>
class BaseSizeClasses : public ::testing::Test {};
using Geometries = ::testing::Types<DefaultGeometry, TinyGeometry>;
TYPED_TEST_SUITE(BaseSizeClasses, Geometries);

TYPED_TEST(BaseSizeClasses, sizes_rise_and_end_at_the_largest) {
  using G = TypeParam;
  for (unsigned index = 1; index < G::kClassCount; ++index)
    ASSERT_LT(size_of_class<G>(index - 1), size_of_class<G>(index));
  EXPECT_EQ(size_of_class<G>(0), G::kQuantum);
  EXPECT_EQ(size_of_class<G>(G::kClassCount - 1), G::kClassMax);
}

TYPED_TEST(BaseSizeClasses, every_size_gets_the_smallest_class_that_holds_it) {
  using G = TypeParam;
  unsigned expected = 0;
  for (Word size = 0; size <= G::kClassMax; ++size) {
    if (size > size_of_class<G>(expected)) ++expected;
    ASSERT_EQ(class_of_size<G>(size), expected) << size;
  }
}

TYPED_TEST(BaseSizeClasses, every_class_size_is_a_multiple_of_the_minimum_alignment) {
  using G = TypeParam;
  for (unsigned index = 0; index < G::kClassCount; ++index)
    ASSERT_EQ(size_of_class<G>(index) % kMinAlignment, 0u) << index;
}

TEST(BaseSizeClassWaste, is_at_most_an_eighth_above_128_bytes) {
  using G = DefaultGeometry;
  for (Word size = 129; size <= G::kClassMax; ++size) {
    Word const waste = size_of_class<G>(class_of_size<G>(size)) - size;
    ASSERT_LE(waste * 8, size_of_class<G>(class_of_size<G>(size))) << size;
  }
  for (Word size = 1; size <= 128; ++size) ASSERT_LT(size_of_class<G>(class_of_size<G>(size)) - size, 16u) << size;
}

TYPED_TEST(BaseSizeClasses, spans_hold_eight_blocks_or_are_one_slab) {
  using G = TypeParam;
  for (unsigned index = 0; index < G::kClassCount; ++index) {
    unsigned const slabs = slabs_of_class<G>(index);
    ASSERT_GE(slabs, 1u);
    ASSERT_LT(slabs, G::kSlabsPerSuperSlab);
    if (slabs > 1) {
      ASSERT_GE(slabs * G::kSlabBytes / size_of_class<G>(index), 8u) << index;
      ASSERT_LT(slabs / 2 * G::kSlabBytes / size_of_class<G>(index), 8u) << "half of it would do: " << index;
    } else {
      ASSERT_LE(size_of_class<G>(index), G::kSmallMax) << index;
    }
  }
}

TYPED_TEST(BaseSizeClasses, aligned_class_is_the_first_that_is_large_enough_and_aligned) {
  using G = TypeParam;
  for (Word alignment = 1; alignment <= 4 * G::kSuperSlabBytes; alignment *= 2) {
    unsigned expected = 0;
    for (Word size = 0; size <= G::kClassMax + 2; ++size) {
      while (expected < G::kClassCount &&
             (size_of_class<G>(expected) < size || size_of_class<G>(expected) % alignment != 0))
        ++expected;
      bool const possible = alignment <= G::kSlabBytes && size <= G::kClassMax;
      ASSERT_EQ((class_of_aligned_size<G>(size, alignment)), possible ? expected : G::kClassCount)
          << size << " at " << alignment;
    }
  }
}

TYPED_TEST(BaseSizeClasses, there_is_no_class_for_what_is_too_large_to_round_up) {
  using G = TypeParam;
  for (Word const large : {G::kClassMax + 1, ~Word{0} - 16, ~Word{0}}) {
    for (Word alignment = 1; alignment <= kMaxAlignment; alignment *= 2)
      ASSERT_EQ((class_of_aligned_size<G>(large, alignment)), G::kClassCount) << large << " at " << alignment;
  }
  for (Word alignment = 2 * G::kClassMax; alignment <= kMaxAlignment; alignment *= 2)
    ASSERT_EQ((class_of_aligned_size<G>(0, alignment)), G::kClassCount) << alignment;
}

TEST(BaseKernels, batches_double_up_to_sixteen) {
  Word mapped = 0;
  unsigned before = 1;
  for (unsigned step = 0; step < 40; ++step) {
    unsigned const batch = batch_size(mapped);
    ASSERT_TRUE(is_power_of_two(batch));
    ASSERT_LE(batch, 16u);
    ASSERT_TRUE(batch == before || batch == 2 * before) << mapped;
    ASSERT_LE(batch, mapped < 2 ? 1 : mapped) << "never more than doubles what there is";
    mapped += before = batch;
  }
  EXPECT_EQ(before, 16u);
  EXPECT_EQ(batch_size(0), 1u);
  EXPECT_EQ(batch_size(kTop / 2), 16u);
}

}  // namespace
}  // namespace hakmem::kernels
