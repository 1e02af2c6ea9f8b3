// Which allocations a sampling mode guards, on and off the fast path, and what becomes of the others.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "property_tests/kernel_view.h"
#include "property_tests/model/allocators.h"
#include "property_tests/model/sample_mode.h"
#include "property_tests/model/shadow_heap.h"

namespace hakmem::testing {
namespace {

template <class B>
class HeapSample : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using Geo = typename B::G;

  void begin(std::uint32_t pass, bool affords = true, bool sampling = true) {
    if (heap) end();
    FaultyLinux::reset();
    SampleMode::sampling = sampling;
    SampleMode::pass = pass;
    SampleMode::random = 0;
    SampleMode::affords = affords;
    subject = std::make_unique<Alloc>();
    shadow = std::make_unique<ShadowHeap<Alloc>>(*subject);
    heap = subject->attach();
  }
  void end() {
    shadow->release_all(heap);
    for (void* block : blocks) subject->release(heap, block);
    blocks.clear();
    EXPECT_TRUE(subject->validate(heap));
    subject->detach(heap);
    heap = nullptr;
    EXPECT_TRUE(all_given_back(*subject));
  }
  void TearDown() override {
    if (heap) end();
  }

  std::uint64_t guarded() { return subject->statistics().guarded_blocks_allocated; }
  std::uint64_t forgone() { return subject->statistics().guarded_blocks_forgone; }

  // As the exported malloc: from the list, or off the fast path.
  void* allocate_fast(std::size_t bytes) {
    auto* const slab = Alloc::active_slab(heap, bytes);
    if (void* const block = Alloc::pop(slab)) return block;
    void* const block = heap->allocate_where_room(slab);
    return block ? block : subject->allocate_after_miss(heap, bytes, slab);
  }
  void* allocate(std::size_t bytes, bool fast) {
    blocks.push_back(fast ? allocate_fast(bytes) : subject->allocate(heap, bytes));
    return blocks.back();
  }
  bool is_guarded(void* block) { return subject->find(block).where == BlockPlace::Where::kLarge; }

  std::unique_ptr<Alloc> subject;
  std::unique_ptr<ShadowHeap<Alloc>> shadow;
  typename Alloc::Heap* heap = nullptr;
  std::vector<void*> blocks;
};
using SampledBuilds = ::testing::Types<Build<SampleMode, TinyGeometry>, Build<SampleMode, DefaultGeometry>>;
TYPED_TEST_SUITE(HeapSample, SampledBuilds, BuildName);

TYPED_TEST(HeapSample, is_every_allocation_behind_those_that_pass) {
  using G = typename TypeParam::G;
  for (std::uint32_t const pass : {0u, 1u, 2u, 3u, 7u, 50u, 333u}) {
    for (bool const fast : {true, false}) {
      for (std::size_t const bytes : {G::kQuantum, G::kSmallMax, G::kClassMax + 1}) {
        if (fast && bytes > G::kDirectMax) continue;
        this->begin(pass);
        for (unsigned number = 0; number < 400; ++number) {
          void* const block = this->allocate(bytes, fast);
          ASSERT_EQ(this->is_guarded(block), number % (pass + 1) == pass) << number << " of " << bytes;
        }
        EXPECT_EQ(this->guarded(), 400u / (pass + 1));
        EXPECT_EQ(this->forgone(), 0u);
        EXPECT_TRUE(this->subject->validate(this->heap));
      }
    }
  }
}

TYPED_TEST(HeapSample, that_cannot_be_guarded_is_served_as_any_other_and_counted) {
  using G = typename TypeParam::G;
  for (bool const affords : {false, true}) {
    for (std::size_t const bytes : {G::kQuantum, G::kClassMax + 1}) {
      this->begin(6, affords);
      std::set<void*> distinct;
      ::testing::internal::CaptureStderr();
      if (affords) FaultyLinux::set_mappings(0, 2);
      for (unsigned number = 0; number < 400; ++number) {
        void* const block = this->allocate(bytes, bytes <= G::kDirectMax);
        ASSERT_TRUE(distinct.insert(block).second);
        ASSERT_FALSE(this->is_guarded(block));
      }
      FaultyLinux::set_mappings(0, 0);
      ::testing::internal::GetCapturedStderr();
      EXPECT_EQ(this->guarded(), 0u);
      // A choice that is not afforded is made when its block is carved.
      EXPECT_GE(this->forgone(), 400u / 7);
      EXPECT_LE(this->forgone(), affords ? 400u / 7 : (400 + G::kCarveBytes / G::kQuantum) / 7);
      EXPECT_TRUE(this->subject->validate(this->heap));
    }
  }
}

TYPED_TEST(HeapSample, is_as_large_where_each_block_is_freed_before_the_next) {
  for (std::uint32_t const pass : {0u, 1u, 6u, 100u}) {
    for (bool const fast : {true, false}) {
      this->begin(pass);
      SampleMode::random = 42;  // where a choice is forgotten, only chance chooses as many
      constexpr unsigned kBlocks = 7000;
      for (unsigned number = 0; number < kBlocks; ++number) {
        this->subject->release(this->heap, this->allocate(100, fast));
        this->blocks.pop_back();
      }
      double const expected = kBlocks / (pass + 1.0);
      EXPECT_NEAR(static_cast<double>(this->guarded()), expected, 4 * std::sqrt(expected)) << pass;
      EXPECT_TRUE(this->subject->validate(this->heap));
    }
  }
}

TYPED_TEST(HeapSample, keeps_all_blocks_apart_and_intact_in_any_order_of_calls) {
  using G = typename TypeParam::G;
  for (std::uint32_t const pass : {0u, 1u, 5u, 40u}) {
    this->begin(pass);
    Random random(pass + 1);
    for (unsigned step = 0; step < 3000 && !::testing::Test::HasFailure(); ++step) {
      std::size_t const bytes = random.below(random.one_in(8) ? 2 * G::kMediumMax : 3 * G::kSmallMax);
      std::size_t const live = this->shadow->blocks().size();
      std::size_t const any = live == 0 ? 0 : random.below(live);
      SampleMode::affords = !random.one_in(5);
      switch (random.below(live > 200 ? 10 : 6)) {
        case 0:
          this->shadow->allocate_zeroed(this->heap, bytes);
          break;
        case 1:
          this->shadow->allocate_aligned(this->heap, bytes, std::size_t{1} << random.below(17));
          break;
        case 2:
        case 3:
          this->shadow->allocate(this->heap, bytes);
          break;
        case 4:
          if (live != 0) this->shadow->reallocate(this->heap, any, bytes + 1);
          break;
        default:
          if (live != 0) this->shadow->release(this->heap, any);
      }
      ASSERT_TRUE(this->subject->validate(this->heap)) << step;
      if (random.one_in(300)) this->subject->trim(this->heap);
    }
    EXPECT_GT(this->guarded(), 0u);
    this->shadow->expect_all_contents();
  }
}

TYPED_TEST(HeapSample, has_guard_pages_and_is_not_written_when_it_is_to_be_zero) {
  using G = typename TypeParam::G;
  this->begin(0);
  for (std::size_t const bytes : {std::size_t{0}, std::size_t{1}, std::size_t{10'000}, G::kMediumMax}) {
    void* const block = this->subject->allocate_zeroed(this->heap, bytes);
    this->blocks.push_back(block);
    BlockPlace const place = this->subject->find(block);
    ASSERT_EQ(place.where, BlockPlace::Where::kLarge);
    EXPECT_EQ(place.bytes, kernels::align_up(std::max<std::size_t>(bytes, 1), Linux::page_bytes()));
    EXPECT_EQ(kernel_resident_bytes(place.start, place.bytes), 0u);
    EXPECT_DEATH(static_cast<void>(*static_cast<char volatile*>(static_cast<void*>(place.start - 1))), "");
    EXPECT_DEATH(static_cast<void>(*static_cast<char volatile*>(static_cast<void*>(place.start + place.bytes))), "");
  }
}

TYPED_TEST(HeapSample, takes_blocks_of_any_alignment_up_to_a_slab) {
  using G = typename TypeParam::G;
  this->begin(0);
  std::size_t const page = Linux::page_bytes();
  for (std::size_t alignment = 1; alignment <= 4 * G::kSlabBytes; alignment *= 2) {
    for (std::size_t const bytes : {0u, 100u}) {
      void* const block = this->subject->allocate_aligned(this->heap, bytes, alignment);
      this->blocks.push_back(block);
      bool const possible = alignment <= G::kSlabBytes;
      ASSERT_EQ(this->is_guarded(block), possible) << alignment;
      if (possible) {
        std::size_t const gap = alignment > page ? alignment : 0;
        EXPECT_EQ(this->subject->find(block).bytes, kernels::align_up(std::max<std::size_t>(bytes + gap, 1), page));
        EXPECT_GE(this->subject->usable_bytes(block), bytes);
      }
    }
  }
}

TYPED_TEST(HeapSample, large_blocks_are_never_part_of) {
  using G = typename TypeParam::G;
  this->begin(0);
  void* const block = this->allocate(G::kMediumMax + 1, false);
  EXPECT_FALSE(this->is_guarded(block));
  EXPECT_EQ(this->guarded() + this->forgone(), 0u);
  void* const moved = this->subject->reallocate(this->heap, block, 3 * G::kSuperSlabBytes);
  EXPECT_GE(this->subject->usable_bytes(moved), 3 * G::kSuperSlabBytes);
  this->blocks.back() = moved;
}

TYPED_TEST(HeapSample, is_empty_where_the_mode_has_none) {
  this->begin(0, true, false);
  for (unsigned number = 0; number < 1000; ++number) this->allocate(100, number % 2 == 0);
  auto* const slab = TestFixture::Alloc::active_slab(this->heap, 100);
  slab->countdown = 1;  // as after two thousand million releases
  this->subject->release(this->heap, this->allocate(100, true));
  this->blocks.pop_back();
  EXPECT_EQ(slab->countdown, slab->kUncounted);
  EXPECT_EQ(this->guarded() + this->forgone(), 0u);
}

TYPED_TEST(HeapSample, closes_the_short_way_to_slabs_with_room) {
  for (bool const samples : {false, true}) {
    this->begin(1'000'000, true, samples);
    while (this->blocks.size() < 3 * TestFixture::Geo::kSlabBytes / 100) this->allocate(100, false);
    for (std::size_t i = 0; i < this->blocks.size() / 3; ++i) {  // every other one, so that no slab is empty
      this->subject->release(this->heap, this->blocks[i]);
      this->blocks.erase(this->blocks.begin() + static_cast<std::ptrdiff_t>(i));
    }
    auto* const dry = TestFixture::Alloc::active_slab(this->heap, 100);
    while (void* const block = TestFixture::Alloc::pop(dry)) this->blocks.push_back(block);
    void* const block = this->heap->allocate_where_room(dry);
    EXPECT_EQ(block == nullptr, samples);
    if (block) this->blocks.push_back(block);
    this->end();
  }
}

TYPED_TEST(HeapSample, takes_part_in_what_another_thread_freed_last) {
  for (std::uint32_t const pass : {0u, 1u, 2u, 5u}) {
    this->begin(pass);
    auto* const other = this->subject->attach();
    this->allocate(100, false);
    constexpr unsigned kBlocks = 400;
    for (unsigned number = 0; number < kBlocks; ++number) {
      while (TestFixture::Alloc::active_slab(this->heap, 100)->free) this->allocate(100, true);
      this->subject->release(other, this->blocks.back());
      this->blocks.pop_back();
      other->tidy();
      ASSERT_NE(this->allocate(100, number % 2 == 0), nullptr);
      ASSERT_TRUE(this->subject->validate(this->heap));
    }
    EXPECT_GE(this->guarded(), kBlocks / (pass + 1) / 2);
    this->subject->detach(other);
  }
}

TYPED_TEST(HeapSample, asks_for_no_more_memory_than_there_is) {
  using G = typename TypeParam::G;
  for (std::uint32_t const pass : {0u, 1u}) {
    this->begin(pass);
    FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
    for (std::size_t const bytes : {std::size_t{100}, G::kClassMax + 1, G::kMediumMax + 1})
      EXPECT_EQ(this->subject->allocate(this->heap, bytes), nullptr) << bytes;
    FaultyLinux::set_plan({});
    EXPECT_EQ(this->guarded(), 0u);
  }
  this->begin(1);
  this->allocate(100, false);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  EXPECT_FALSE(this->is_guarded(this->allocate(100, false))) << "it is chosen, and there is an ordinary block";
  FaultyLinux::set_plan({});
  EXPECT_EQ(this->forgone(), 1u);
}

TYPED_TEST(HeapSample, keeps_a_block_whose_release_the_mode_refuses) {
  this->begin(0);
  void* const block = this->allocate(100, false);
  ASSERT_TRUE(this->is_guarded(block));
  SampleMode::admits = false;
  this->subject->release(this->heap, block);
  SampleMode::admits = true;
  EXPECT_TRUE(this->is_guarded(block));
  std::memset(block, 1, 100);
}

TYPED_TEST(HeapSample, is_not_where_an_address_in_an_unguarded_block_leads) {
  using G = typename TypeParam::G;
  this->begin(0);
  auto* const block = static_cast<std::byte*>(this->subject->allocate_zeroed(this->heap, 2 * G::kSuperSlabBytes));
  this->blocks.push_back(block);
  EXPECT_DEATH(this->subject->release(this->heap, block + 64), "the address belongs to no block");
}

TYPED_TEST(HeapSample, has_damage_to_the_blocks_that_wait_noticed) {
  this->begin(0);
  this->allocate(100, false);
  auto* const slab = TestFixture::Alloc::active_slab(this->heap, 100);
  auto const first = reinterpret_cast<std::uintptr_t>(slab->start());
  auto* const words = reinterpret_cast<std::uintptr_t*>(this->heap);
  std::uintptr_t* waiting = nullptr;
  for (std::size_t i = 0; i < sizeof *this->heap / sizeof *words; ++i)
    if (words[i] >= first && words[i] < first + slab->slabs * TypeParam::G::kSlabBytes) waiting = &words[i];
  ASSERT_NE(waiting, nullptr);
  std::uintptr_t const had = std::exchange(*waiting, 0);
  EXPECT_FALSE(this->subject->validate(this->heap)) << "lost";
  *waiting = had;
  auto* const listed = std::exchange(slab->free, reinterpret_cast<Block<typename TypeParam::C>*>(had));
  EXPECT_FALSE(this->subject->validate(this->heap)) << "listed as well";
  slab->free = listed;
  EXPECT_TRUE(this->subject->validate(this->heap));
}

}  // namespace
}  // namespace hakmem::testing
