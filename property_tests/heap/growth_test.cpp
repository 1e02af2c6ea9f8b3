// How a heap grows and gives back: how far it looks before it takes a SuperSlab, what it takes in on the
// way, and that every slow path visits the purger.
#include <gtest/gtest.h>

#include <map>

#include "property_tests/model/allocators.h"

namespace hakmem::testing {
namespace {

// The fast build alone: slabs and pages are counted exactly, and what the checked one adds to blocks takes some.
using B = Build<FastMode, DefaultGeometry>;
using G = DefaultGeometry;

class HeapGrowth : public ::testing::Test {
 public:
  using Alloc = B::Alloc;
  static constexpr std::size_t slabs(unsigned count) { return count * G::kSlabBytes; }

  HeapGrowth() {
    FaultyLinux::reset();
    heap = subject->attach();
  }
  void TearDown() override {
    EXPECT_TRUE(subject->validate(heap));
    for (void* block : blocks) subject->release(heap, block);
    subject->detach(heap);
    EXPECT_TRUE(all_given_back(*subject));
  }

  void* allocate(std::size_t bytes) {
    blocks.push_back(subject->allocate(heap, bytes));
    return blocks.back();
  }
  void release(void* block) {
    std::erase(blocks, block);
    subject->release(heap, block);
  }
  static std::uintptr_t base_of(void* block) { return reinterpret_cast<std::uintptr_t>(block) & ~G::kSuperSlabMask; }
  static std::uintptr_t slab_of(void* block) { return reinterpret_cast<std::uintptr_t>(block) / G::kSlabBytes; }

  // Fills so many SuperSlabs to their last slab with small blocks; the blocks of each slab, by SuperSlab.
  using Filled = std::map<std::uintptr_t, std::map<std::uintptr_t, std::vector<void*>>>;
  Filled fill(unsigned count) {
    Filled filled;
    std::size_t slabs_used = 0;
    auto const full = [&] { return filled.size() == count && slabs_used == count * G::kSlabsPerSuperSlab; };
    do {
      void* const block = allocate(G::kSmallMax);
      auto& slab = filled[base_of(block)][slab_of(block)];
      slabs_used += slab.empty();
      slab.push_back(block);
    } while (!full());
    return filled;
  }
  void release_slab(Filled::mapped_type const& super, unsigned number) {
    auto const slab = std::next(super.begin(), number);
    for (void* block : slab->second) release(block);
  }
  std::uint64_t mapped() { return subject->statistics().super_slabs_mapped; }
  std::uint64_t in_pool() {
    auto const now = subject->statistics();
    return now.super_slabs_warm_now + now.super_slabs_cold_now;
  }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  Alloc::Heap* heap = nullptr;
  std::vector<void*> blocks;
};

// The SuperSlab that got a slab back last is looked into first.
TEST_F(HeapGrowth, a_heap_looks_into_sixteen_super_slabs_before_it_takes_another) {
  for (unsigned const before : {0u, 15u, 16u}) {
    Filled const filled = fill(before + 1);
    auto super = filled.begin();
    std::uintptr_t const last = super->first;
    release_slab(super->second, 3);
    release_slab(super->second, 4);
    while (++super != filled.end()) release_slab(super->second, 3);
    void* const found = allocate(slabs(2));
    EXPECT_EQ(base_of(found) == last, before < 16) << before << " SuperSlabs have no two free neighbours";
    while (!blocks.empty()) release(blocks.back());
    subject->trim(heap);
  }
}

TEST_F(HeapGrowth, a_span_comes_from_the_lowest_slabs_that_fit) {
  Filled const filled = fill(1);
  auto const& super = filled.begin()->second;
  std::uintptr_t const first = super.begin()->first;
  for (unsigned const number : {4u, 7u, 8u, 11u, 12u, 13u}) release_slab(super, number);
  EXPECT_EQ(slab_of(allocate(slabs(3))), first + 11);
  EXPECT_EQ(slab_of(allocate(slabs(2))), first + 7);
}

TEST_F(HeapGrowth, a_thread_that_takes_spans_of_one_block_takes_in_what_others_freed) {
  auto* const other = subject->attach();
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 8; ++i) allocate(slabs(10));
    for (void* block : blocks) subject->release(other, block);
    blocks.clear();
    other->tidy();
  }
  EXPECT_LE(mapped() - in_pool(), 4u);
  subject->detach(other);
}

TEST_F(HeapGrowth, a_thread_that_takes_a_span_sends_out_what_it_freed) {
  auto* const other = subject->attach();
  void* const theirs = subject->allocate(other, 100);
  subject->release(heap, theirs);
  EXPECT_TRUE(other->inbox().empty());
  allocate(slabs(2));
  EXPECT_FALSE(other->inbox().empty());
  subject->detach(other);
}

// Pages of a SuperSlab that lies in the pool go back on each slow path, once they are old enough.
TEST_F(HeapGrowth, every_slow_path_visits_the_purger) {
  auto const visits = [this](auto act) {
    subject->warm_up(G::kSuperSlabBytes);
    FaultyLinux::advance_ms(100'000);
    std::uint64_t const purges = FaultyLinux::calls(OsCall::kPurge);
    act();
    return FaultyLinux::calls(OsCall::kPurge) > purges;
  };
  void* const medium = allocate(slabs(2));
  EXPECT_TRUE(visits([&] { allocate(G::kMediumMax + 1); })) << "a large block";
  EXPECT_TRUE(visits([&] { release(medium); })) << "a span that is given back";
  EXPECT_TRUE(visits([&] {
    for (int i = 0; i < 3; ++i) allocate(G::kMediumMax);
  })) << "a SuperSlab that is taken";
}

TEST_F(HeapGrowth, a_large_block_that_was_used_is_zeroed_by_the_kernel_and_a_new_one_not_at_all) {
  subject->release(heap, subject->allocate_zeroed(heap, 3 * kMiB));
  EXPECT_EQ(FaultyLinux::calls(OsCall::kPurge), 0u);
  blocks.push_back(subject->allocate_zeroed(heap, 3 * kMiB));
  EXPECT_EQ(FaultyLinux::calls(OsCall::kPurge), 1u);
  subject->release(heap, allocate(100'000));
  blocks.pop_back();
  blocks.push_back(subject->allocate_zeroed(heap, 100'000));
  EXPECT_EQ(FaultyLinux::calls(OsCall::kPurge), 1u) << "written, as it is no larger than that";
}

TEST_F(HeapGrowth, a_block_that_is_to_shrink_stays_when_there_is_no_memory_for_a_smaller_one) {
  void* const block = allocate(3 * kMiB);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  EXPECT_EQ(subject->reallocate(heap, block, 100), block);
  EXPECT_EQ(subject->allocate(heap, 100), nullptr);
  FaultyLinux::set_plan({});
}

TEST_F(HeapGrowth, the_last_empty_super_slab_stays_and_others_go_to_the_pool) {
  std::uint64_t const pooled = in_pool();
  void* const first = allocate(G::kMediumMax);
  std::uint64_t const before = in_pool();
  release(first);
  EXPECT_EQ(in_pool(), before) << "the last one";
  void* const one = allocate(G::kMediumMax);
  void* const two = allocate(G::kMediumMax);
  ASSERT_NE(base_of(one), base_of(two));
  std::uint64_t const both = in_pool();
  release(one);
  EXPECT_EQ(in_pool(), both + 1);
  release(two);
  EXPECT_EQ(in_pool(), both + 1);
  EXPECT_GE(both + 1, pooled);
}

}  // namespace
}  // namespace hakmem::testing
