// Every figure that the allocator reports, held against what was done to it.
#include <gtest/gtest.h>

#include <cstring>

#include "property_tests/model/allocators.h"

namespace hakmem::testing {
namespace {

// The fast build alone: slabs and pages are counted exactly, and what the checked one adds to blocks takes some.
using B = Build<FastMode, DefaultGeometry>;
using G = DefaultGeometry;

bool all_zero(Statistics const& figures) {
  static constexpr char kZero[sizeof figures] = {};
  return std::memcmp(&figures, kZero, sizeof figures) == 0;
}

class HeapStatistics : public ::testing::Test {
 public:
  using Alloc = B::Alloc;

  HeapStatistics() {
    FaultyLinux::reset();
    heap = subject->attach();
  }
  Statistics mine() { return subject->statistics(heap); }
  void* allocate(std::size_t bytes) { return subject->allocate(heap, bytes); }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  Alloc::Heap* heap = nullptr;
};

TEST(HeapStatisticsOfNothing, are_zero) {
  FaultyLinux::reset();
  GuardRefusals<FaultyLinux>::count = 0;  // of the system, not of one allocator
  EXPECT_TRUE(all_zero(Statistics{}));
  EXPECT_TRUE(all_zero(std::make_unique<B::Alloc>()->statistics()));
}

TEST(HeapStatisticsOfNothing, uncounting_takes_no_more_than_is_counted) {
  Statistics figures;
  figures.small_blocks_now = 5;
  figures.small_bytes_now = 100;
  figures.uncount(2, 30);
  EXPECT_EQ(figures.small_blocks_now, 3u);
  EXPECT_EQ(figures.small_bytes_now, 40u);
  figures.uncount(3, 30);
  EXPECT_EQ(figures.small_blocks_now, 0u);
  EXPECT_EQ(figures.small_bytes_now, 0u);
  figures.small_blocks_now = 2;
  figures.small_bytes_now = 60;
  figures.uncount(9, 20);
  EXPECT_EQ(figures.small_blocks_now, 0u);
  EXPECT_EQ(figures.small_bytes_now, 20u);
}

TEST_F(HeapStatistics, count_small_and_medium_blocks_with_their_bytes) {
  std::vector<std::pair<void*, std::size_t>> held;
  std::uint64_t bytes = 0, singles = 0;
  for (std::size_t const size : {1, 16, 100, 1000, 5000, 40'000, 65'536, 65'537, 300'000, 1'048'576}) {
    for (int i = 0; i < 3; ++i) {
      void* const block = allocate(size);
      held.emplace_back(block, subject->usable_bytes(block));
      bytes += held.back().second;
      singles += size > G::kClassMax;
      auto const now = mine();
      ASSERT_EQ(now.small_blocks_now, held.size());
      ASSERT_EQ(now.small_bytes_now, bytes);
      ASSERT_EQ(now.medium_blocks_allocated, singles);
    }
  }
  while (!held.empty()) {
    subject->release(heap, held.back().first);
    bytes -= held.back().second;
    held.pop_back();
    ASSERT_EQ(mine().small_blocks_now, held.size());
    ASSERT_EQ(mine().small_bytes_now, bytes);
  }
  EXPECT_EQ(mine().medium_blocks_allocated, singles) << "a total";
}

// Another thread's active slabs count as held whole; parked heaps are counted exactly.
TEST_F(HeapStatistics, count_the_free_blocks_of_active_slabs_as_held_where_another_thread_may_take_them) {
  void* const block = allocate(1024);
  std::uint64_t const carved = G::kCarveBytes / 1024;
  EXPECT_EQ(mine().small_blocks_now, 1u);
  EXPECT_EQ(subject->statistics().small_blocks_now, carved);
  EXPECT_EQ(subject->statistics().small_bytes_now, carved * 1024);
  subject->detach(heap);
  EXPECT_EQ(subject->statistics().small_blocks_now, 1u);
  ASSERT_EQ(subject->attach(), heap);
  subject->release(heap, block);
}

// Blocks are handed to the fast paths by carving, and again when a slab that has some becomes active.
TEST_F(HeapStatistics, count_each_block_that_is_handed_to_the_fast_paths_once_each_time) {
  std::vector<void*> held{allocate(1024)};
  auto* const slab = heap->slab_of(subject->global().space.registry(), held[0])->head();
  while (slab->has_room()) held.push_back(allocate(1024));
  EXPECT_EQ(mine().small_blocks_handed_out, slab->capacity);
  while (slab->state == SlabState::kActive) held.push_back(allocate(1024));
  std::uint64_t carved = mine().small_blocks_handed_out;
  EXPECT_EQ(carved, slab->capacity + G::kCarveBytes / 1024);
  unsigned freed = 0;
  for (; slab->state == SlabState::kFull; ++freed) subject->release(heap, held[freed]);
  ASSERT_EQ(slab->state, SlabState::kPartial);
  EXPECT_EQ(freed, slab->capacity - slab->used());
  while (slab->state == SlabState::kPartial) allocate(1024);
  EXPECT_EQ(mine().small_blocks_handed_out, carved + freed) << "those that came back";
}

TEST_F(HeapStatistics, count_large_blocks_and_those_that_wait_for_reuse) {
  constexpr std::size_t kBytes = 3 * kMiB;
  void* const one = allocate(kBytes);
  void* const two = allocate(2 * kBytes);
  EXPECT_EQ(mine().large_blocks_now, 2u);
  EXPECT_EQ(mine().large_bytes_now, 3 * kBytes);
  EXPECT_EQ(mine().large_cached_bytes_now, 0u);
  subject->release(heap, one);
  subject->release(heap, two);
  EXPECT_EQ(mine().large_blocks_now, 0u);
  EXPECT_EQ(mine().large_bytes_now, 0u);
  EXPECT_EQ(mine().large_cached_bytes_now, 3 * kBytes);
  EXPECT_EQ(mine().large_cache_hits, 0u);
  void* const again = allocate(kBytes);
  EXPECT_EQ(mine().large_cache_hits, 1u);
  EXPECT_EQ(mine().large_blocks_allocated, 3u);
  EXPECT_EQ(mine().guarded_blocks_allocated, 0u);
  subject->release(heap, again);
  subject->trim(heap);
  EXPECT_EQ(mine().large_cached_bytes_now, 0u);
}

TEST_F(HeapStatistics, count_super_slabs_where_they_are) {
  std::vector<void*> held;
  std::uint64_t in_heap = 0;
  for (; in_heap < 9; ++in_heap) {
    held.push_back(allocate(G::kMediumMax));
    auto const now = mine();
    ASSERT_EQ(now.super_slabs_now, in_heap + 1 + now.super_slabs_cold_now);
    ASSERT_EQ(now.super_slabs_mapped, now.super_slabs_now);
    ASSERT_EQ(now.super_slabs_warm_now, 0u);
  }
  std::uint64_t const mapped = mine().super_slabs_now;
  for (void* block : held) subject->release(heap, block);
  heap->tidy();
  EXPECT_EQ(mine().super_slabs_warm_now, in_heap);
  EXPECT_EQ(mine().super_slabs_now, mapped);
  subject->trim(heap);
  EXPECT_EQ(mine().super_slabs_now, 0u);
  EXPECT_EQ(mine().super_slabs_warm_now + mine().super_slabs_cold_now, 0u);
  EXPECT_EQ(mine().super_slabs_released, mapped);
  EXPECT_EQ(mine().super_slabs_mapped, mapped);
}

TEST_F(HeapStatistics, count_heaps_and_batches_sent_to_them) {
  auto* const other = subject->attach();
  EXPECT_EQ(mine().heaps_now, 2u);
  EXPECT_EQ(mine().heaps_parked_now, 0u);
  subject->release(other, allocate(100));
  EXPECT_EQ(mine().remote_batches, 0u);
  subject->detach(other);
  EXPECT_EQ(mine().remote_batches, 1u);
  EXPECT_EQ(mine().heaps_now, 2u);
  EXPECT_EQ(mine().heaps_parked_now, 1u);
}

// The figures of calls are those of the address space, which has its own tests.
TEST_F(HeapStatistics, pass_on_what_the_address_space_counts) {
  Settings settings;
  settings.prefault = PrefaultPolicy::kPopulate;
  subject->configure(settings);
  FaultyLinux::set_plan(FaultPlan::nth(1, ENOMEM, only(OsCall::kPopulateWrite)));
  void* const small = allocate(100);
  for (int i = 0; i < 3; ++i) subject->release(heap, allocate((20 + i) * kMiB));
  subject->release(heap, allocate(4 * kMiB));
  subject->release(heap, subject->allocate_zeroed(heap, 4 * kMiB));
  subject->warm_up(2 * G::kSuperSlabBytes);
  FaultyLinux::set_plan({});
  void* const refused = allocate(80 * kMiB);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kUnmap)));
  subject->release(heap, refused);
  auto const now = mine();
  auto const books = subject->global().space.ledger();
  EXPECT_EQ(now.map_calls, books.map_calls);
  EXPECT_EQ(now.unmap_calls, books.unmap_calls);
  EXPECT_EQ(now.purge_calls, books.purge_calls);
  EXPECT_EQ(now.purged_bytes, books.purged_bytes);
  EXPECT_EQ(now.prefault_asked_bytes, books.prefault_asked);
  EXPECT_EQ(now.prefault_populated_bytes, books.prefault_populated);
  EXPECT_EQ(now.leftover_bytes_now, books.leftover_bytes);
  EXPECT_EQ(now.metadata_bytes_now, FaultyLinux::ledger().bytes() - books.held_bytes - books.leftover_bytes);
  for (std::uint64_t const figure : {now.map_calls, now.unmap_calls, now.purge_calls, now.purged_bytes,
                                     now.prefault_populated_bytes, now.leftover_bytes_now, now.metadata_bytes_now})
    EXPECT_GT(figure, 0u);
  EXPECT_LT(now.prefault_populated_bytes, now.prefault_asked_bytes);
  FaultyLinux::set_plan({});
  subject->release(heap, small);
}

}  // namespace
}  // namespace hakmem::testing
