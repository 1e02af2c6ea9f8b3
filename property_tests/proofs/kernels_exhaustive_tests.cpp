// What it owns: the kernels over their whole domain where it is small enough to walk, against
// definitions that search instead of computing.
// Thread-safety: tests; one thread.
#include <gtest/gtest.h>

#include <cstdint>

#include "core/base/kernels.h"
#include "hardened/entropy.h"

namespace hakmem {
namespace {

using kernels::Word;

// What the compiler can show by itself.
static_assert(kernels::size_of_class<DefaultGeometry>(DefaultGeometry::kClassCount - 1) == DefaultGeometry::kClassMax);
static_assert(kernels::size_of_class<TinyGeometry>(TinyGeometry::kClassCount - 1) == TinyGeometry::kClassMax);
static_assert(kernels::class_of_size<DefaultGeometry>(0) == 0);
static_assert(kernels::find_run(0, 1, 1) == kernels::kNoRun);
static_assert(kernels::find_run(~0u, 32, 32) == 0);
static_assert(kernels::batch_size(0) == 1 && kernels::batch_size(~Word{0}) == 16);

template <class G>
unsigned searched_class(Word size, Word alignment) {
  unsigned index = 0;
  while (index < G::kClassCount &&
         (kernels::size_of_class<G>(index) < size || kernels::size_of_class<G>(index) % alignment != 0))
    ++index;
  return index;
}

template <class G>
class KernelsExhaustive : public testing::Test {};
using Geometries = testing::Types<DefaultGeometry, TinyGeometry>;
TYPED_TEST_SUITE(KernelsExhaustive, Geometries);

// covers: A1
// seeded: core/base/kernels.h: Word const last = size - 1; => Word const last = size;
// seeded: core/base/kernels.h: align_up(size > alignment ? size : alignment, alignment); => align_up(size, alignment);
TYPED_TEST(KernelsExhaustive, every_size_and_alignment_up_to_a_SuperSlab_gets_the_class_that_a_search_finds) {
  for (Word alignment = 1; alignment <= TypeParam::kSuperSlabBytes; alignment *= 2) {
    unsigned expected = searched_class<TypeParam>(0, alignment);
    for (Word size = 0; size <= TypeParam::kSuperSlabBytes; ++size) {
      while (expected < TypeParam::kClassCount && (kernels::size_of_class<TypeParam>(expected) < size ||
                                                   kernels::size_of_class<TypeParam>(expected) % alignment != 0))
        ++expected;
      ASSERT_EQ(kernels::class_of_aligned_size<TypeParam>(size, alignment), expected) << size << " " << alignment;
      if (alignment == 1 && size <= TypeParam::kClassMax) {
        ASSERT_EQ(kernels::class_of_size<TypeParam>(size), expected) << size;
      }
    }
  }
}

// covers: A3
// seeded: core/base/kernels.h: std::bit_ceil(size * 8) / G::kSlabBytes => std::bit_ceil(size) / G::kSlabBytes
// seeded: core/base/kernels.h: (G::kReservedBytes + block_bytes - 1) / block_bytes * block_bytes : 0 => G::kSlabBytes : 0
TYPED_TEST(KernelsExhaustive, every_span_fits_into_a_SuperSlab_and_holds_a_block_behind_the_windows) {
  for (unsigned index = 0; index < TypeParam::kClassCount; ++index) {
    Word const size = kernels::size_of_class<TypeParam>(index);
    unsigned const slabs = kernels::slabs_of_class<TypeParam>(index);
    ASSERT_LE(slabs, TypeParam::kSlabsPerSuperSlab / 2) << index;
    ASSERT_LE(kernels::first_block_offset<TypeParam>(size, true) + size, TypeParam::kSlabBytes * slabs) << index;
  }
}

// The quotient changes only at multiples of the block size, so the offsets on both sides of each
// multiple stand for all.
// covers: A1
// seeded: core/base/kernels.h: inline constexpr unsigned kReciprocalBits = 44; => inline constexpr unsigned kReciprocalBits = 40;
// seeded: core/base/kernels.h: ((Word{1} << kReciprocalBits) + block_bytes - 1) / block_bytes; => (Word{1} << kReciprocalBits) / block_bytes;
TEST(KernelsExhaustiveReciprocal, every_block_size_up_to_1_MiB_divides_every_offset_up_to_4_MiB) {
  constexpr Word kOffsets = Word{1} << 22;
  for (Word block = 1; block <= kMiB; ++block) {
    Word const reciprocal = kernels::reciprocal(block);
    Word quotient = 0;
    bool exact = true;
    for (Word start = 0; start < kOffsets; start += block, ++quotient) {
      Word const last = start + block <= kOffsets ? start + block - 1 : kOffsets - 1;
      exact &=
          kernels::block_index(start, reciprocal) == quotient && kernels::block_index(last, reciprocal) == quotient;
    }
    ASSERT_TRUE(exact) << block;
  }
}

// covers: A3
// seeded: core/base/kernels.h: have < count - have ? have : count - have; => have;
// seeded: core/base/kernels.h: starts &= step >= 32 ? 1u : allowed; => starts &= step >= 32 ? 1u : allowed | 2u;
TEST(KernelsExhaustiveRuns, every_set_of_sixteen_slabs_gives_the_run_that_a_search_finds) {
  for (std::uint32_t set = 0; set < 0x10000; ++set) {
    for (unsigned count = 1; count <= 16; ++count) {
      for (unsigned step = 1; step <= 16; step *= 2) {
        unsigned expected = 0;
        while (expected + count <= 16 &&
               (set & kernels::run_of_slabs(expected, count)) != kernels::run_of_slabs(expected, count))
          expected += step;
        if (expected + count > 16) expected = kernels::kNoRun;
        ASSERT_EQ(kernels::find_run(set, count, step), expected) << set << " " << count << " " << step;
      }
    }
  }
}

// For each bit of either word and each of the result there are words for which the one decides on the other.
// covers: H1
// seeded: hardened/entropy.h: static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64); => static_cast<std::uint64_t>(product);
TEST(KernelsExhaustiveMix, every_bit_of_either_word_decides_on_every_bit_of_what_they_are_mixed_to) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    Word left = 1, right = 2, from_left = 0, from_right = 0;
    for (unsigned pair = 0; pair < 10'000; ++pair) {
      left = left * 6364136223846793005 + 1442695040888963407;
      right = right * 6364136223846793005 + 1442695040888963407;
      from_left |= hardened::mix(left, right) ^ hardened::mix(left ^ Word{1} << bit, right);
      from_right |= hardened::mix(left, right) ^ hardened::mix(left, right ^ Word{1} << bit);
    }
    EXPECT_EQ(from_left, ~Word{0}) << bit;
    EXPECT_EQ(from_right, ~Word{0}) << bit;
  }
}

}  // namespace
}  // namespace hakmem
