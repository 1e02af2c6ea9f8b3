// Large blocks: the cache of freed ones, growth by the kernel, and what survives refusals.
#include <cstring>
#include <set>

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
  std::byte* resize(void* block, std::size_t bytes) {
    return static_cast<std::byte*>(this->large().resize(this->space(), find(block), bytes));
  }

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

TYPED_TEST(LargeBlocksOn, are_reused_by_the_smallest_fit_with_little_to_spare) {
  std::byte* const four = this->allocate(4 * kMiB);
  std::byte* const five = this->allocate(5 * kMiB);
  std::byte* const eight = this->allocate(8 * kMiB);
  for (std::byte* block : {four, five, eight}) this->release(block);
  std::byte* const again = this->allocate(4 * kMiB - 100);
  EXPECT_EQ(again, four);
  EXPECT_FALSE(this->zeroed);
  EXPECT_EQ(this->allocate(9 * kMiB / 2), five);
  std::byte* const fresh = this->allocate(5 * kMiB);
  EXPECT_NE(fresh, eight) << "more than a quarter would be wasted";
  EXPECT_TRUE(this->zeroed);
  EXPECT_EQ(this->large().counts().cache_hits, 2u);
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

TYPED_TEST(LargeBlocksOn, the_cache_is_bounded_in_number_and_drops_the_oldest) {
  constexpr unsigned kCacheMax = LargeBlocks<typename TestFixture::C>::kCacheMax;
  std::vector<std::byte*> blocks;
  for (unsigned i = 0; i < kCacheMax + 2; ++i) blocks.push_back(this->allocate(kMiB * 2));
  for (std::byte* block : blocks) this->release(block);
  EXPECT_EQ(this->large().counts().cached_bytes, kCacheMax * kMiB * 2);
  std::vector<std::byte*> reused;
  for (unsigned i = 0; i < kCacheMax; ++i) reused.push_back(this->allocate(kMiB * 2));
  EXPECT_EQ(this->large().counts().cache_hits, kCacheMax);
  EXPECT_EQ(std::count(reused.begin(), reused.end(), blocks[0]), 0);
  EXPECT_EQ(std::count(reused.begin(), reused.end(), blocks[1]), 0);
}

TYPED_TEST(LargeBlocksOn, the_cache_is_bounded_in_bytes) {
  this->space().settings.large_cache_bytes = 16 * kMiB;
  std::vector<std::byte*> blocks;
  for (unsigned i = 0; i < 5; ++i) blocks.push_back(this->allocate(6 * kMiB));
  std::byte* const above_half = this->allocate(9 * kMiB);
  for (std::byte* block : blocks) {
    this->release(block);
    EXPECT_LE(this->large().counts().cached_bytes, 16 * kMiB);
  }
  EXPECT_EQ(this->large().counts().cached_bytes, 12 * kMiB);
  this->release(above_half);
  EXPECT_EQ(this->large().counts().cached_bytes, 12 * kMiB);
}

TYPED_TEST(LargeBlocksOn, up_to_half_of_the_cache_and_all_that_fits_are_kept) {
  std::size_t const page = TypeParam::page_bytes();
  this->space().settings.large_cache_bytes = 16 * kMiB;
  std::byte* const half = this->allocate(8 * kMiB);
  std::byte* const more = this->allocate(8 * kMiB + page);
  std::byte* const other_half = this->allocate(8 * kMiB);
  this->release(more);
  EXPECT_EQ(this->large().counts().cached_bytes, 0u);
  this->release(half);
  this->release(other_half);
  EXPECT_EQ(this->large().counts().cached_bytes, 16 * kMiB);
  this->release(this->allocate(2 * kMiB));
  EXPECT_EQ(this->large().counts().cached_bytes, 10 * kMiB) << "the oldest left";
}

TYPED_TEST(LargeBlocksOn, are_reused_with_a_quarter_to_spare_and_no_more) {
  std::size_t const page = TypeParam::page_bytes();
  std::byte* const block = this->allocate(5 * kMiB);
  this->release(block);
  std::byte* const smaller = this->allocate(4 * kMiB - page);
  EXPECT_NE(smaller, block);
  std::byte* const larger = this->allocate(5 * kMiB + page);
  EXPECT_NE(larger, block);
  std::byte* const fits = this->allocate(4 * kMiB);
  EXPECT_EQ(fits, block);
  EXPECT_EQ(this->find(fits)->bytes, 5 * kMiB) << "it keeps its size";
  EXPECT_EQ(this->large().counts().bytes, 14 * kMiB);
}

TYPED_TEST(LargeBlocksOn, an_eighth_of_the_cache_is_used_when_mappings_are_short) {
  constexpr unsigned kCacheMax = LargeBlocks<typename TestFixture::C>::kCacheMax;
  std::vector<std::byte*> blocks;
  for (unsigned i = 0; i < kCacheMax / 2; ++i) blocks.push_back(this->allocate(2 * kMiB));
  TypeParam::set_mappings(0, 2);
  for (std::byte* block : blocks) this->release(block);
  EXPECT_EQ(this->large().counts().cached_bytes, kCacheMax / 8 * 2 * kMiB);
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
  std::byte* blocks[4];
  for (std::byte*& block : blocks) block = this->allocate(2 * kMiB);
  for (unsigned i = 0; i < 4; ++i) this->release(blocks[i], 10 * (i + 1));
  EXPECT_EQ(this->large().purge(this->space(), 100, 95, 8), 0u);
  EXPECT_EQ(this->large().purge(this->space(), 100, 60, 2), 2u);
  EXPECT_EQ(this->large().purge(this->space(), 100, 60, 8), 2u);
  EXPECT_EQ(this->large().counts().cached_bytes, 0u);
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

TYPED_TEST(LargeBlocksOn, stay_as_they_are_when_the_kernel_refuses_to_move_or_cut_them) {
  std::byte* const block = this->allocate(3 * kMiB);
  this->fill(block, 3 * kMiB);
  for (OsCallSet const refused :
       {only(OsCall::kResize) | only(OsCall::kMove), only(OsCall::kResize) | only(OsCall::kMap)}) {
    TypeParam::set_plan(FaultPlan::always(ENOMEM, refused));
    EXPECT_EQ(this->resize(block, 30 * kMiB), nullptr);
    EXPECT_EQ(this->resize(block, 2 * kMiB), block) << "too long is long enough";
    EXPECT_EQ(this->find(block)->bytes, 3 * kMiB);
    EXPECT_TRUE(this->filled(block, 3 * kMiB));
    EXPECT_TRUE(this->nothing_leaked());
  }
  TypeParam::set_plan({});
  this->release(block);
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
  EXPECT_EQ(global->large.resize(global->space, descriptor, kTooMuch), nullptr);
  EXPECT_EQ(FaultyLinux::calls(OsCall::kMove), 0u);
  EXPECT_EQ(block[0], std::byte{42});
  EXPECT_EQ(descriptor->base, block);
}

}  // namespace
}  // namespace hakmem::testing
