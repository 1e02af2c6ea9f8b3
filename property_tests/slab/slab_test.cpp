// One slab: carving, the accounting identity A3, and what validate() notices.
#include <gtest/gtest.h>

#include <set>

#include "property_tests/slab/slab_fixture.h"

namespace hakmem::testing {
namespace {

template <class C>
class SlabCarving : public ::testing::Test {};
TYPED_TEST_SUITE(SlabCarving, SlabConfigs);

template <class C>
Block<C>* pop(Slab<C>* slab) {
  Block<C>* const block = slab->free;
  slab->free = block->next();
  return block;
}

TYPED_TEST(SlabCarving, hands_out_each_block_once_inside_the_span_and_naturally_aligned) {
  using C = TypeParam;
  using G = typename C::Geo;
  for (unsigned index = 0; index < G::kClassCount; ++index) {
    for (unsigned first : {0u, 1u}) {
      if (first == 0 && kernels::slabs_of_class<G>(index) > 1) continue;
      LoneSuperSlab<C> lone;
      Slab<C>* const slab = lone.span(first, index);
      std::byte* const begin = slab->start() + (first == 0 && C::Mode::kMetadataInBand ? G::kReservedBytes : 0);
      std::byte* const end = slab->start() + slab->slabs * G::kSlabBytes;
      std::size_t const natural = slab->block_bytes & (~std::size_t{slab->block_bytes} + 1);
      std::set<std::byte*> seen;
      while (slab->has_room() || slab->free) {
        Block<C>* const block = slab->free ? pop(slab) : slab->carve(G::kCarveBytes);
        auto* const start = reinterpret_cast<std::byte*>(block);
        ASSERT_TRUE(start >= begin && start + slab->block_bytes <= end) << "class " << index;
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(start) % natural, 0u);
        auto const place = seen.insert(start).first;
        if (place != seen.begin()) {
          ASSERT_GE(start - *std::prev(place), std::ptrdiff_t{slab->block_bytes});
        }
        ASSERT_TRUE(slab->validate());
      }
      ASSERT_EQ(seen.size(), slab->capacity);
      ASSERT_EQ(slab->used(), slab->capacity);
    }
  }
}

TYPED_TEST(SlabCarving, never_runs_more_than_a_stretch_ahead_of_use) {
  using C = TypeParam;
  using G = typename C::Geo;
  LoneSuperSlab<C> lone;
  Slab<C>* const slab = lone.span(1, 0);
  unsigned handed_out = 0;
  while (slab->has_room()) {
    slab->free ? pop(slab) : slab->carve(G::kCarveBytes);
    ++handed_out;
    ASSERT_LE(std::size_t{slab->carved - handed_out} * slab->block_bytes, G::kCarveBytes);
  }
}

TYPED_TEST(SlabCarving, used_is_the_same_whatever_state_counts_it) {
  using C = TypeParam;
  LoneSuperSlab<C> lone;
  Slab<C>* const slab = lone.span(1, 0);
  while (slab->has_room() || slab->free) slab->free ? pop(slab) : slab->carve(kKiB);
  std::uint32_t const used = slab->used();
  EXPECT_EQ(used, slab->carved);
  slab->state = SlabState::kFull;
  slab->countdown = slab->regain();
  EXPECT_EQ(slab->used(), used);
  EXPECT_TRUE(slab->validate());
  slab->state = SlabState::kPartial;
  slab->countdown = used;
  EXPECT_EQ(slab->used(), used);
  EXPECT_TRUE(slab->validate());
}

TYPED_TEST(SlabCarving, validate_notices_what_breaks_the_accounting) {
  using C = TypeParam;
  LoneSuperSlab<C> lone;
  Slab<C>* const slab = lone.span(1, 0);
  Block<C>* const first = slab->carve(kKiB);
  ASSERT_TRUE(slab->free && slab->validate());
  Block<C>* const kept = slab->free;
  slab->state = SlabState::kPartial;
  slab->countdown = slab->carved - slab->listed();
  ASSERT_TRUE(slab->validate());

  slab->free = kept->next();
  EXPECT_FALSE(slab->validate()) << "a block is lost";
  slab->free = kept;
  first->set_next(slab->free);
  slab->free = first;
  EXPECT_FALSE(slab->validate()) << "a used block is listed";
  slab->free = kept;

  auto* const shifted = reinterpret_cast<Block<C>*>(reinterpret_cast<std::byte*>(kept) + 16);
  shifted->set_next(nullptr);
  slab->free = shifted;
  EXPECT_FALSE(slab->validate()) << "a link points into a block";
  auto* const foreign = reinterpret_cast<Block<C>*>(lone.super.base + 2 * C::Geo::kSlabBytes);
  foreign->set_next(nullptr);
  slab->free = foreign;
  EXPECT_FALSE(slab->validate()) << "a link leaves the slab";
  kept->set_next(kept);
  slab->free = kept;
  EXPECT_FALSE(slab->validate()) << "the list is a ring";
}

}  // namespace
}  // namespace hakmem::testing
