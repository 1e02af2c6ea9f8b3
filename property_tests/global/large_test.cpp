// Large blocks: the cache of freed ones, growth by the kernel, and what survives refusals.
#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "property_tests/global/global_fixture.h"

namespace hakmem::testing {
namespace {

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
  }

  bool zeroed = false;
};
TYPED_TEST_SUITE(LargeBlocksOn, Systems, SystemName);

TYPED_TEST(LargeBlocksOn, are_aligned_zero_and_found_while_they_live) {
  std::byte* const block = this->allocate(3 * kMiB + 1);
  ASSERT_NE(block, nullptr);
  EXPECT_TRUE(this->zeroed);
  EXPECT_TRUE(kernels::is_aligned(reinterpret_cast<std::uintptr_t>(block), 2 * kMiB));
  EXPECT_EQ(this->find(block)->bytes, kernels::align_up(3 * kMiB + 1, TypeParam::page_bytes()));
  EXPECT_EQ(this->large().counts().blocks, 1u);
  this->release(block);
  EXPECT_EQ(this->find(block), nullptr);
  EXPECT_EQ(this->large().counts().blocks, 0u);
  EXPECT_EQ(this->large().counts().bytes, 0u);
}

TYPED_TEST(LargeBlocksOn, keep_an_alignment_above_a_superslab_from_the_cache_too) {
  std::byte* const block = this->allocate(4 * kMiB, 2 * kMiB);
  this->release(block);
  std::byte* const aligned = this->allocate(4 * kMiB, 64 * kMiB);
  ASSERT_NE(aligned, nullptr);
  EXPECT_TRUE(kernels::is_aligned(reinterpret_cast<std::uintptr_t>(aligned), 64 * kMiB));
  this->release(aligned);
}

TYPED_TEST(LargeBlocksOn, are_cut_from_a_longer_range_whose_parts_become_one_again) {
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

TYPED_TEST(LargeBlocksOn, are_taken_from_the_highest_range) {
  std::vector<std::byte*> blocks = this->allocate_apart(3);
  std::sort(blocks.begin(), blocks.end());
  for (unsigned const i : {2, 0, 1}) this->release(blocks[i]);
  for (unsigned const i : {2, 1, 0}) EXPECT_EQ(this->allocate(2 * kMiB), blocks[i]);
}

TYPED_TEST(LargeBlocksOn, a_reused_block_reads_as_zero_after_zero) {
  std::byte* block = this->allocate(4 * kMiB);
  this->fill(block, 4 * kMiB);
  this->release(block);
  block = this->allocate(4 * kMiB);
  ASSERT_FALSE(this->zeroed);
  ASSERT_TRUE(this->large().zero(this->space(), this->find(block)));
  for (std::size_t i = 0; i < 4 * kMiB; ++i) ASSERT_EQ(block[i], std::byte{0});
}

TYPED_TEST(LargeBlocksOn, the_cache_is_bounded_in_ranges_and_drops_the_oldest) {
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

TYPED_TEST(LargeBlocksOn, the_cache_is_bounded_in_bytes) {
  this->space().settings.large_cache_bytes = 16 * kMiB;
  std::vector<std::byte*> const blocks = this->allocate_apart(12);
  for (unsigned i = 0; i < blocks.size(); ++i) {
    this->release(blocks[i], i);
    EXPECT_EQ(this->cached(), std::min(2 * (i + 1), 16u) * kMiB);
  }
  EXPECT_EQ(this->large().purge(this->space(), 3 + 100, 100, ~0u), 0u) << "the first four have gone";
  EXPECT_EQ(this->large().purge(this->space(), 4 + 100, 100, ~0u), 1u);
}

TYPED_TEST(LargeBlocksOn, what_is_over_the_bound_leaves_from_the_start_of_the_oldest_range) {
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

TYPED_TEST(LargeBlocksOn, up_to_half_of_the_cache_is_kept_and_nothing_longer) {
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

TYPED_TEST(LargeBlocksOn, what_is_left_of_a_joined_range_is_kept_whatever_its_length) {
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

TYPED_TEST(LargeBlocksOn, keep_an_eighth_more_than_is_wanted_and_no_more) {
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

TYPED_TEST(LargeBlocksOn, are_not_cut_and_an_eighth_of_the_ranges_is_used_when_mappings_are_short) {
  constexpr unsigned kCacheMax = LargeBlocks<typename TestFixture::C>::kCacheMax;
  std::vector<std::byte*> const blocks = this->allocate_apart(kCacheMax / 4);
  std::byte* const long_one = this->allocate(4 * kMiB);
  TypeParam::set_mappings(0, 2);
  for (std::byte* block : blocks) this->release(block);
  EXPECT_EQ(this->cached(), kCacheMax / 8 * 2 * kMiB);
  TypeParam::set_mappings(0, 0);
  while (this->cached() != 0) this->allocate(2 * kMiB);
  this->release(long_one);
  TypeParam::set_mappings(0, 2);
  EXPECT_NE(this->allocate(2 * kMiB), long_one);
  EXPECT_EQ(this->allocate(4 * kMiB), long_one);
  TypeParam::set_mappings(0, 0);
}

// A guarded block that was freed: a grave, which holds addresses and explains who touches it.
TYPED_TEST(LargeBlocksOn, guarded_ones_become_graves_of_bounded_number_the_oldest_go) {
  using Large = LargeBlocks<typename TestFixture::C>;
  std::size_t const page = TypeParam::page_bytes();
  for (bool const short_of_mappings : {true, false}) {
    if (!short_of_mappings && !std::is_same_v<TypeParam, FaultyLinux>) continue;  // its address space is too small
    std::uint64_t const before = this->large().counts().guarded;
    unsigned const most = short_of_mappings ? Large::kGravesMax / 8 : Large::kGravesMax;
    std::vector<LargeBlock*> blocks;
    std::set<std::byte*> units;
    for (unsigned i = 0; i < most + 3; ++i) {
      blocks.push_back(this->large().allocate_guarded(this->space(), 2 * page));
      ASSERT_TRUE(blocks.back());
      ASSERT_EQ(blocks.back()->bytes, 2 * page);
      ASSERT_EQ(this->find(blocks.back()->start()), blocks.back());
      units.insert(this->space().registry().find(blocks.back()->start()).large()->base);
    }
    std::vector<std::byte*> starts;
    for (LargeBlock* block : blocks) starts.push_back(block->start());
    EXPECT_EQ(this->large().counts().guarded - before, blocks.size());
    EXPECT_EQ(this->large().counts().blocks, blocks.size());
    EXPECT_EQ(this->large().counts().bytes, blocks.size() * 2 * page);
    if (short_of_mappings) TypeParam::set_mappings(0, 2);
    for (LargeBlock* block : blocks) this->large().release(this->space(), block, 0);
    EXPECT_EQ(this->space().ledger().held_bytes, units.size() * 2 * kMiB) << "while some graves in each are left";
    EXPECT_EQ(this->large().counts().blocks, 0u);
    for (unsigned i = 0; i < starts.size(); ++i) ASSERT_EQ(this->find(starts[i]) != nullptr, i >= 3) << i;
    EXPECT_EQ(this->large().counts().cached_bytes, 0u) << "graves are no cache";
    EXPECT_EQ(this->large().purge(this->space(), 1000, 1, ~0u), 0u) << "they do not go by age";
    EXPECT_EQ(this->large().purge(this->space(), 1000, 0, 5), 5u);
    EXPECT_EQ(this->large().purge(this->space(), 1000, 0, ~0u), most - 5);
    EXPECT_EQ(this->space().ledger().held_bytes, 0u);
    TypeParam::set_mappings(0, 0);
  }
}

TYPED_TEST(LargeBlocksOn, a_grave_that_cannot_be_closed_is_given_up) {
  LargeBlock* const block = this->large().allocate_guarded(this->space(), 5 * kMiB);
  std::byte* const start = block->start();
  TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kProtectNone)));
  this->large().release(this->space(), block, 0);
  TypeParam::set_plan({});
  EXPECT_EQ(this->find(start), nullptr);
  EXPECT_EQ(this->space().ledger().held_bytes, 0u);
}

TYPED_TEST(LargeBlocksOn, leave_the_cache_by_age_oldest_first_within_the_limit) {
  std::vector<std::byte*> const blocks = this->allocate_apart(4);
  for (unsigned i = 0; i < 4; ++i) this->release(blocks[i], 10 * (i + 1));
  EXPECT_EQ(this->large().purge(this->space(), 100, 95, 8), 0u);
  EXPECT_EQ(this->large().purge(this->space(), 100, 60, 2), 2u);
  EXPECT_EQ(this->large().purge(this->space(), 100, 60, 8), 2u);
  EXPECT_EQ(this->cached(), 0u);
}

TYPED_TEST(LargeBlocksOn, a_range_is_as_old_as_its_oldest_part_and_what_is_left_of_it_too) {
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

TYPED_TEST(LargeBlocksOn, a_tail_that_was_cut_off_is_as_old_as_the_cut) {
  std::byte* const block = this->allocate(8 * kMiB);
  EXPECT_EQ(this->resize(block, 3 * kMiB, 40), block);
  EXPECT_EQ(this->cached(), 5 * kMiB);
  EXPECT_EQ(this->large().purge(this->space(), 89, 50, 8), 0u);
  EXPECT_EQ(this->large().purge(this->space(), 90, 50, 8), 1u);
}

TYPED_TEST(LargeBlocksOn, freed_after_the_clock_was_read_are_not_old) {
  this->release(this->allocate(2 * kMiB), 101);
  EXPECT_EQ(this->large().purge(this->space(), 100, 50, 8), 0u);
}

TYPED_TEST(LargeBlocksOn, grow_and_shrink_with_their_contents_and_books) {
  std::byte* block = this->allocate(3 * kMiB);
  std::size_t before = 3 * kMiB;
  this->fill(block, before);
  for (std::size_t bytes : {4 * kMiB, 9 * kMiB, 5 * kMiB + 1, 2 * kMiB, 40 * kMiB}) {
    block = this->resize(block, bytes);
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(this->filled(block, std::min(before, bytes)));
    ASSERT_EQ(this->find(block)->base, block);
    ASSERT_EQ(this->large().counts().bytes, this->find(block)->bytes);
    ASSERT_TRUE(this->nothing_leaked());
    this->fill(block, bytes);
    before = bytes;
  }
  this->release(block);
}

TYPED_TEST(LargeBlocksOn, move_with_their_pages_when_they_cannot_grow_in_place) {
  std::byte* const block = this->allocate(3 * kMiB);
  this->fill(block, 3 * kMiB);
  TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kResize)));
  std::byte* const moved = this->resize(block, 30 * kMiB);
  ASSERT_NE(moved, nullptr);
  EXPECT_NE(moved, block);
  EXPECT_EQ(TypeParam::calls(OsCall::kMove), 1u);
  EXPECT_TRUE(kernels::is_aligned(reinterpret_cast<std::uintptr_t>(moved), 2 * kMiB));
  EXPECT_TRUE(this->filled(moved, 3 * kMiB));
  EXPECT_EQ(this->find(block), nullptr);
  EXPECT_EQ(this->find(moved)->bytes, 30 * kMiB);
  this->release(moved);
}

TYPED_TEST(LargeBlocksOn, grow_into_what_the_cache_has_behind_them) {
  std::byte* const block = this->allocate(8 * kMiB);
  this->fill(block, 3 * kMiB);
  EXPECT_EQ(this->resize(block, 3 * kMiB), block);
  TypeParam::set_plan(FaultPlan::always(ENOMEM));
  EXPECT_EQ(this->resize(block, 5 * kMiB), block);
  EXPECT_EQ(this->find(block)->bytes, 5 * kMiB);
  EXPECT_EQ(this->cached(), 3 * kMiB);
  EXPECT_EQ(this->resize(block, 8 * kMiB), block);
  EXPECT_EQ(this->cached(), 0u);
  EXPECT_TRUE(this->filled(block, 3 * kMiB));
  TypeParam::set_plan({});
}

// Four pages are copied for each that the kernel would add, where the cache has room.
TYPED_TEST(LargeBlocksOn, are_better_copied_than_grown_where_pages_are_at_hand) {
  std::byte* const room = this->allocate(20 * kMiB);
  std::byte* const block = this->allocate(3 * kMiB);
  this->release(room);
  std::uint64_t const before = TypeParam::calls();
  EXPECT_EQ(this->resize(block, 15 * kMiB / 4), nullptr);
  EXPECT_EQ(this->find(block)->bytes, 3 * kMiB);
  EXPECT_EQ(TypeParam::calls(), before);
  std::byte* const moved = this->resize(block, 15 * kMiB / 4 - TypeParam::page_bytes());
  EXPECT_NE(moved, nullptr) << "more would be copied";
  EXPECT_NE(this->resize(moved, 21 * kMiB), nullptr) << "the cache has no room";
}

TYPED_TEST(LargeBlocksOn, that_move_count_as_one_mapping_still) {
  TypeParam::set_mappings(0, 20);
  std::byte* block = this->allocate(2 * kMiB);
  for (unsigned i = 1; i < 20; ++i) {
    TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kResize)));
    block = this->resize(block, (2 + i) * kMiB);
    ASSERT_NE(block, nullptr);
    TypeParam::set_plan({});
  }
  EXPECT_TRUE(this->space().may_split());
  this->release(block);
  for (unsigned i = 0; i < 50; ++i) this->release(this->allocate((2 + i % 7) * kMiB));
  EXPECT_TRUE(this->space().may_split()) << "nor does what is cut and joined add any";
  TypeParam::set_mappings(0, 0);
}

TYPED_TEST(LargeBlocksOn, stay_as_they_are_when_the_kernel_refuses_to_move_them) {
  std::byte* const block = this->allocate(3 * kMiB);
  this->fill(block, 3 * kMiB);
  for (OsCallSet const refused :
       {only(OsCall::kResize) | only(OsCall::kMove), only(OsCall::kResize) | only(OsCall::kMap)}) {
    TypeParam::set_plan(FaultPlan::always(ENOMEM, refused));
    EXPECT_EQ(this->resize(block, 30 * kMiB), nullptr);
    EXPECT_EQ(this->find(block)->bytes, 3 * kMiB);
    EXPECT_TRUE(this->filled(block, 3 * kMiB));
    EXPECT_TRUE(this->nothing_leaked());
  }
  TypeParam::set_plan({});
  this->release(block);
}

TYPED_TEST(LargeBlocksOn, are_not_cut_when_there_is_no_memory_for_a_descriptor) {
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

// No memory for the registry: a descriptor is there from an attempt before, the arena is full.
TYPED_TEST(LargeBlocksOn, go_back_when_they_cannot_be_entered) {
  TypeParam::set_plan({only(OsCall::kMap), ~std::uint64_t{1}, true, ENOMEM});
  EXPECT_EQ(this->allocate(3 * kMiB), nullptr);
  while (this->space().arena().allocate(8, 8)) {
  }
  bool refused_at_the_registry = false;
  for (unsigned k = 1; k < 5; ++k) {
    TypeParam::set_plan({only(OsCall::kMap), ~CallBits{0} << k, true, ENOMEM});
    if (this->allocate(3 * kMiB)) break;
    EXPECT_EQ(this->space().ledger().held_bytes, 0u);
    refused_at_the_registry |= this->space().ledger().unmap_calls != 0;
  }
  EXPECT_TRUE(refused_at_the_registry);
}

TEST(LargeBlocks, growth_beyond_what_can_be_committed_is_refused_before_anything_moves) {
  constexpr std::size_t kTooMuch = std::size_t{1} << 45;
  if (OsMapping const all = Linux::map(nullptr, kTooMuch, MapKind::kNormal); all.ok()) {
    Linux::unmap(all.address, kTooMuch);
    GTEST_SKIP() << "this system commits to anything";
  }
  FaultyLinux::reset();
  using C = GlobalTest<FaultyLinux>::C;
  auto const global = std::make_unique<Global<C>>();
  bool zeroed = false;
  auto* const block = static_cast<std::byte*>(global->large.allocate(global->space, 2 * kMiB, 16, zeroed));
  block[0] = std::byte{42};
  LargeBlock* const descriptor = global->space.registry().find(block).large();
  EXPECT_EQ(global->large.resize(global->space, descriptor, kTooMuch, 0), nullptr);
  EXPECT_EQ(FaultyLinux::calls(OsCall::kMove), 0u);
  EXPECT_EQ(block[0], std::byte{42});
  EXPECT_EQ(descriptor->base, block);
}

}  // namespace
}  // namespace hakmem::testing
