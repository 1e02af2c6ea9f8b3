// The cache of freed large blocks: what is reused and cut, what is kept, and what leaves when.
#include <algorithm>
#include <set>
#include <vector>

#include "property_tests/global/large_fixture.h"

namespace hakmem::testing {
namespace {

template <class Os>
class LargeCacheOn : public LargeBlocksOn<Os> {};
TYPED_TEST_SUITE(LargeCacheOn, Systems, SystemName);

TYPED_TEST(LargeCacheOn, keep_an_alignment_above_a_superslab_from_the_cache_too) {
  std::byte* const block = this->allocate(4 * kMiB, 2 * kMiB);
  this->release(block);
  std::byte* const aligned = this->allocate(4 * kMiB, 64 * kMiB);
  ASSERT_NE(aligned, nullptr);
  EXPECT_TRUE(kernels::is_aligned(reinterpret_cast<std::uintptr_t>(aligned), 64 * kMiB));
  this->release(aligned);
}

TYPED_TEST(LargeCacheOn, are_cut_from_a_longer_range_whose_parts_become_one_again) {
  std::byte* const long_one = this->allocate(8 * kMiB);
  std::uint64_t const calls = this->space().ledger().map_calls;
  this->release(long_one);
  std::byte* const first = this->allocate(3 * kMiB);
  EXPECT_EQ(first, long_one);
  EXPECT_FALSE(this->zeroed);
  EXPECT_EQ(this->find(first)->bytes, 3 * kMiB);
  EXPECT_EQ(this->cached(), 5 * kMiB);
  std::byte* const second = this->allocate(3 * kMiB);
  EXPECT_EQ(second, long_one + 4 * kMiB) << "aligned, with a range left on each side";
  EXPECT_EQ(this->cached(), 2 * kMiB);
  EXPECT_EQ(this->large().counts().cache_hits, 2u);
  this->release(second);
  this->release(first);
  EXPECT_EQ(this->allocate(8 * kMiB), long_one);
  EXPECT_EQ(this->cached(), 0u);
  EXPECT_EQ(this->space().ledger().map_calls, calls);
}

TYPED_TEST(LargeCacheOn, are_taken_from_the_highest_range) {
  std::vector<std::byte*> blocks = this->allocate_apart(3);
  std::sort(blocks.begin(), blocks.end());
  for (unsigned const i : {2, 0, 1}) this->release(blocks[i]);
  for (unsigned const i : {2, 1, 0}) EXPECT_EQ(this->allocate(2 * kMiB), blocks[i]);
}

TYPED_TEST(LargeCacheOn, a_reused_block_reads_as_zero_after_zero) {
  std::byte* block = this->allocate(4 * kMiB);
  this->fill(block, 4 * kMiB);
  this->release(block);
  block = this->allocate(4 * kMiB);
  ASSERT_FALSE(this->zeroed);
  ASSERT_TRUE(this->large().zero(this->space(), this->find(block)));
  for (std::size_t i = 0; i < 4 * kMiB; ++i) ASSERT_EQ(block[i], std::byte{0});
}

TYPED_TEST(LargeCacheOn, the_cache_is_bounded_in_ranges_and_drops_the_oldest) {
  constexpr unsigned kCacheMax = LargeBlocks<typename TestFixture::C>::kCacheMax;
  this->space().settings.large_cache_bytes = 4 * kCacheMax * kMiB;
  std::vector<std::byte*> const blocks = this->allocate_apart(kCacheMax + 2);
  for (unsigned i = 0; i < blocks.size(); ++i) this->release(blocks[i], i);
  EXPECT_EQ(this->cached(), kCacheMax * 2 * kMiB);
  std::set<std::byte*> reused;
  for (unsigned i = 0; i < kCacheMax; ++i) reused.insert(this->allocate(2 * kMiB));
  EXPECT_EQ(this->large().counts().cache_hits, kCacheMax);
  EXPECT_EQ(reused, std::set<std::byte*>(blocks.begin() + 2, blocks.end()));
}

TYPED_TEST(LargeCacheOn, the_cache_is_bounded_in_bytes) {
  this->space().settings.large_cache_bytes = 16 * kMiB;
  std::vector<std::byte*> const blocks = this->allocate_apart(12);
  for (unsigned i = 0; i < blocks.size(); ++i) {
    this->release(blocks[i], i);
    EXPECT_EQ(this->cached(), std::min(2 * (i + 1), 16u) * kMiB);
  }
  EXPECT_EQ(this->large().purge(this->space(), 3 + 100, 100, ~0u), 0u) << "the first four have gone";
  EXPECT_EQ(this->large().purge(this->space(), 4 + 100, 100, ~0u), 1u);
}

TYPED_TEST(LargeCacheOn, what_is_over_the_bound_leaves_from_the_start_of_the_oldest_range) {
  std::size_t const page = TypeParam::page_bytes();
  this->space().settings.large_cache_bytes = 16 * kMiB;
  std::byte* const old = this->allocate(8 * kMiB);
  this->allocate(2 * kMiB);
  std::byte* const young = this->allocate(8 * kMiB);
  std::byte* const more = this->allocate(2 * kMiB);
  this->release(old, 1);
  this->release(young, 2);
  EXPECT_EQ(this->cached(), 16 * kMiB);
  this->space().settings.large_cache_bytes += page + 1;  // no whole number of pages
  this->release(more, 3);
  EXPECT_EQ(this->cached(), 16 * kMiB + page);
  EXPECT_EQ(this->large().purge(this->space(), 1, 0, 1), 1u);
  EXPECT_EQ(this->cached(), 10 * kMiB) << "the oldest had lost 2 MiB less a page";
}

TYPED_TEST(LargeCacheOn, up_to_half_of_the_cache_is_kept_and_nothing_longer) {
  std::size_t const page = TypeParam::page_bytes();
  this->space().settings.large_cache_bytes = 16 * kMiB;
  std::byte* const half = this->allocate(8 * kMiB);
  std::byte* const more = this->allocate(8 * kMiB + page);
  this->release(more);
  EXPECT_EQ(this->cached(), 0u);
  this->release(half);
  EXPECT_EQ(this->cached(), 8 * kMiB);
  std::byte* const tail = this->allocate(20 * kMiB);
  EXPECT_EQ(this->resize(tail, 3 * kMiB), tail);
  EXPECT_EQ(this->cached(), 8 * kMiB) << "nor is a tail";
  EXPECT_EQ(this->find(tail)->bytes, 3 * kMiB);
}

TYPED_TEST(LargeCacheOn, what_is_left_of_a_joined_range_is_kept_whatever_its_length) {
  this->space().settings.large_cache_bytes = 16 * kMiB;
  std::byte* const both = this->allocate(15 * kMiB);
  this->space().settings.large_cache_bytes = 32 * kMiB;
  this->release(both);
  this->space().settings.large_cache_bytes = 16 * kMiB;
  std::byte* const start = this->allocate(2 * kMiB);
  EXPECT_EQ(start, both);
  EXPECT_EQ(this->cached(), 13 * kMiB);
  EXPECT_EQ(this->resize(start, 4 * kMiB), start);
  EXPECT_EQ(this->cached(), 11 * kMiB);
}

TYPED_TEST(LargeCacheOn, keep_an_eighth_more_than_is_wanted_and_no_more) {
  std::size_t const page = TypeParam::page_bytes();
  std::byte* block = this->allocate(9 * kMiB);
  this->release(block);
  std::byte* const fits = this->allocate(8 * kMiB);
  EXPECT_EQ(fits, block);
  EXPECT_EQ(this->find(fits)->bytes, 9 * kMiB);
  EXPECT_EQ(this->large().counts().bytes, 9 * kMiB);
  EXPECT_EQ(this->resize(fits, 8 * kMiB), fits);
  EXPECT_EQ(this->find(fits)->bytes, 9 * kMiB);
  EXPECT_EQ(this->resize(fits, 8 * kMiB - page), fits);
  EXPECT_EQ(this->find(fits)->bytes, 8 * kMiB - page);
  EXPECT_EQ(this->cached(), kMiB + page);
}

TYPED_TEST(LargeCacheOn, are_not_cut_and_an_eighth_of_the_ranges_is_used_when_mappings_are_short) {
  constexpr unsigned kCacheMax = LargeBlocks<typename TestFixture::C>::kCacheMax;
  std::vector<std::byte*> const blocks = this->allocate_apart(kCacheMax / 4);
  std::byte* const long_one = this->allocate(9 * kMiB);
  TypeParam::set_mappings(0, 2);
  for (std::byte* block : blocks) this->release(block);
  EXPECT_EQ(this->cached(), kCacheMax / 8 * 2 * kMiB);
  TypeParam::set_mappings(0, 0);
  while (this->cached() != 0) this->allocate(2 * kMiB);
  this->release(long_one);
  TypeParam::set_mappings(0, 2);
  EXPECT_NE(this->allocate(2 * kMiB), long_one);
  EXPECT_NE(this->allocate(8 * kMiB - TypeParam::page_bytes()), long_one);
  EXPECT_EQ(this->allocate(8 * kMiB), long_one) << "an eighth to spare";
  TypeParam::set_mappings(0, 0);
}

TYPED_TEST(LargeCacheOn, leave_the_cache_by_age_oldest_first_within_the_limit) {
  std::vector<std::byte*> const blocks = this->allocate_apart(4);
  for (unsigned i = 0; i < 4; ++i) this->release(blocks[i], 10 * (i + 1));
  EXPECT_EQ(this->large().purge(this->space(), 100, 95, 8), 0u);
  EXPECT_EQ(this->large().purge(this->space(), 100, 60, 2), 2u);
  EXPECT_EQ(this->large().purge(this->space(), 100, 60, 8), 2u);
  EXPECT_EQ(this->cached(), 0u);
}

TYPED_TEST(LargeCacheOn, a_range_is_as_old_as_its_oldest_part_and_what_is_left_of_it_too) {
  std::byte* const block = this->allocate(8 * kMiB);
  this->release(block, 10);
  std::byte* const start = this->allocate(2 * kMiB);
  EXPECT_EQ(this->large().purge(this->space(), 59, 50, 8), 0u);
  this->release(start, 40);
  EXPECT_EQ(this->large().purge(this->space(), 59, 50, 8), 0u);
  EXPECT_EQ(this->cached(), 8 * kMiB);
  EXPECT_EQ(this->large().purge(this->space(), 60, 50, 8), 1u);
  EXPECT_EQ(this->cached(), 0u);
}

TYPED_TEST(LargeCacheOn, a_tail_that_was_cut_off_is_as_old_as_the_cut) {
  std::byte* const block = this->allocate(8 * kMiB);
  EXPECT_EQ(this->resize(block, 3 * kMiB, 40), block);
  EXPECT_EQ(this->resize(block, 5 * kMiB, 80), block);
  EXPECT_EQ(this->cached(), 3 * kMiB) << "what growth left of it";
  EXPECT_EQ(this->large().purge(this->space(), 89, 50, 8), 0u);
  EXPECT_EQ(this->large().purge(this->space(), 90, 50, 8), 1u);
}

TYPED_TEST(LargeCacheOn, what_was_freed_at_the_start_of_the_clock_is_old_as_soon_as_anything) {
  this->release(this->allocate(2 * kMiB), 0);
  EXPECT_EQ(this->large().purge(this->space(), 49, 50, 8), 0u);
  EXPECT_EQ(this->large().purge(this->space(), 50, 50, 8), 1u);
}

// Neither descriptors nor what counts as mappings leaks where ranges are cut, joined, grown into and dropped.
TYPED_TEST(LargeCacheOn, cutting_and_joining_leaves_nothing_behind) {
  TypeParam::set_mappings(0, 40);
  this->space().settings.large_cache_bytes = 13 * kMiB;
  std::size_t metadata = 0;
  for (unsigned i = 0; i < 6000; ++i) {
    std::byte* blocks[3];
    for (std::byte*& block : blocks) block = this->allocate(2 * kMiB);
    for (unsigned const k : {0, 2, 1}) this->release(blocks[k]);
    std::byte* const whole = this->allocate(6 * kMiB);
    ASSERT_EQ(this->resize(whole, 3 * kMiB), whole);
    ASSERT_EQ(this->resize(whole, 6 * kMiB), whole);
    std::byte* const over = this->allocate(3 * kMiB, 64 * kMiB);
    std::byte* const more = this->allocate(5 * kMiB, 64 * kMiB);
    for (std::byte* block : {whole, over, more}) this->release(block, i);
    ASSERT_TRUE(this->space().may_split()) << i;
    if (i == 10) metadata = this->space().arena().mapped_bytes();
  }
  EXPECT_EQ(this->space().arena().mapped_bytes(), metadata);
  TypeParam::set_mappings(0, 0);
}

TYPED_TEST(LargeCacheOn, freed_after_the_clock_was_read_are_not_old) {
  this->release(this->allocate(2 * kMiB), 101);
  EXPECT_EQ(this->large().purge(this->space(), 100, 50, 8), 0u);
}

TYPED_TEST(LargeCacheOn, are_not_cut_when_there_is_no_memory_for_a_descriptor) {
  std::byte* const block = this->allocate(12 * kMiB);
  std::byte* const other = this->allocate(12 * kMiB);
  this->release(other);
  while (this->space().arena().allocate(8, 8)) TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  EXPECT_EQ(this->resize(block, 3 * kMiB), block) << "too long is long enough";
  EXPECT_EQ(this->find(block)->bytes, 12 * kMiB);
  EXPECT_EQ(this->allocate(3 * kMiB), other);
  EXPECT_EQ(this->find(other)->bytes, 12 * kMiB);
  EXPECT_EQ(this->cached(), 0u);
  TypeParam::set_plan({});
}

}  // namespace
}  // namespace hakmem::testing
