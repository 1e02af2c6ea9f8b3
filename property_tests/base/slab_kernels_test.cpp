// The kernels on blocks in slabs and on sets of slabs, against naive counterparts.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "core/base/kernels.h"
#include "property_tests/model/build_kind.h"

namespace hakmem::kernels {
namespace {

using testing::scaled;

TEST(BaseBlocks, index_by_reciprocal_is_the_quotient_for_every_class_and_offset) {
  using G = DefaultGeometry;
  constexpr Word kStep = testing::kSanitized ? 13 : 1;
  for (unsigned index = 0; index < G::kClassCount; ++index) {
    Word const block = size_of_class<G>(index);
    Word const factor = reciprocal(block);
    Word offset = 0;
    bool equal = true;
    for (; offset < G::kSuperSlabBytes && equal; offset += kStep) equal = block_index(offset, factor) == offset / block;
    ASSERT_TRUE(equal) << "block " << block << " before offset " << offset;
  }
}

TEST(BaseBlocks, the_reciprocal_is_the_exact_one_rounded_up) {
  for (Word block = kMinAlignment; block <= kMiB; block += kMinAlignment) {
    Word const rest = reciprocal(block) * block - (Word{1} << kReciprocalBits);
    ASSERT_LT(rest, block) << block;
  }
}

TEST(BaseBlocks, index_by_reciprocal_is_the_quotient_around_every_multiple_up_to_its_bounds) {
  constexpr Word kOffsets = Word{1} << 22;
  for (Word block = kMinAlignment; block <= kMiB; block += kMinAlignment * 7) {
    Word const factor = reciprocal(block);
    for (Word multiple = block; multiple < kOffsets; multiple += block) {
      ASSERT_EQ(block_index(multiple - 1, factor), (multiple - 1) / block) << block;
      ASSERT_EQ(block_index(multiple, factor), multiple / block) << block;
    }
    ASSERT_EQ(block_index(kOffsets - 1, factor), (kOffsets - 1) / block) << block;
  }
}

template <class G>
class BaseSlabLayout : public ::testing::Test {};
using Geometries = ::testing::Types<DefaultGeometry, TinyGeometry>;
TYPED_TEST_SUITE(BaseSlabLayout, Geometries);

TYPED_TEST(BaseSlabLayout, first_block_lies_behind_the_metadata_and_keeps_natural_alignment) {
  using G = TypeParam;
  for (unsigned index = 0; index < G::kClassCount; ++index) {
    Word const block = size_of_class<G>(index);
    EXPECT_EQ((first_block_offset<G>(block, false)), 0u);
    if (slabs_of_class<G>(index) != 1) continue;
    Word const offset = first_block_offset<G>(block, true);
    EXPECT_GE(offset, G::kReservedBytes);
    EXPECT_LT(offset - G::kReservedBytes, block);
    EXPECT_LE(offset + block, G::kSlabBytes) << "slab 0 holds at least one block";
    Word const natural = block & (~block + 1);
    EXPECT_EQ(offset % natural, 0u) << block;
  }
}

TYPED_TEST(BaseSlabLayout, blocks_up_to_the_small_limit_and_no_others_take_one_slab) {
  using G = TypeParam;
  for (unsigned index = 0; index < G::kClassCount; ++index)
    EXPECT_EQ(slabs_of_class<G>(index) == 1, size_of_class<G>(index) <= G::kSmallMax) << index;
}

TEST(BaseBlocks, a_stretch_carves_at_least_one_and_never_more_than_is_left) {
  for (Word block = 16; block <= 64 * kKiB; block += 16) {
    for (unsigned left : {1u, 2u, 3u, 255u, 4096u}) {
      unsigned const count = carve_stretch(block, 4 * kKiB, left);
      ASSERT_TRUE(count >= 1 && count <= left);
      ASSERT_TRUE(count == 1 || count * block <= 4 * kKiB);
      ASSERT_TRUE(count == left || (count + 1) * block > 4 * kKiB) << "as many as fit";
    }
  }
}

unsigned naive_run(std::uint32_t set, unsigned count, unsigned step) {
  for (unsigned first = 0; first + count <= 32; first += step) {
    bool all = true;
    for (unsigned i = first; i < first + count; ++i) all = all && (set >> i & 1) != 0;
    if (all) return first;
  }
  return kNoRun;
}

TEST(BaseSlabSets, run_has_its_bits_and_no_others) {
  for (unsigned count = 0; count <= 32; ++count) {
    for (unsigned first = 0; first + count <= 32; ++first) {
      std::uint32_t const run = run_of_slabs(first, count);
      for (unsigned bit = 0; bit < 32; ++bit) ASSERT_EQ(run >> bit & 1, bit >= first && bit < first + count);
    }
  }
}

TEST(BaseSlabSets, find_run_agrees_with_a_naive_search) {
  std::vector<std::uint32_t> sets{0, 1, ~0u, ~1u, 0x8000'0000u, 0xffff'0000u, 0x0000'ffffu, 0xaaaa'aaaau, 0x7fff'fffeu};
  for (unsigned first = 0; first < 32; ++first)
    for (unsigned count = 1; first + count <= 32; ++count) {
      sets.push_back(run_of_slabs(first, count));
      sets.push_back(~run_of_slabs(first, count));
    }
  std::mt19937 random(7);
  for (unsigned i = 0; i < scaled(20000); ++i) sets.push_back(static_cast<std::uint32_t>(random() | random()));
  for (std::uint32_t const set : sets) {
    for (unsigned count = 1; count <= 32; ++count)
      for (unsigned step = 1; step <= 32; step *= 2)
        ASSERT_EQ(find_run(set, count, step), naive_run(set, count, step)) << std::hex << set << " " << count;
  }
}

}  // namespace
}  // namespace hakmem::kernels
