// The purger (invariant P1): free memory goes back after the delay and not before, in bounded
// steps, and never with anything that is in use.
#include <vector>

#include "property_tests/global/global_fixture.h"
#include "property_tests/kernel_view.h"
#include "property_tests/model/shadow_heap.h"

namespace hakmem::testing {
namespace {

constexpr std::uint32_t kDelayMs = 3'600'000;  // an hour: the real clock adds next to nothing

template <class B>
class GlobalPurger : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using Heap = typename Alloc::Heap;
  using Geo = typename B::G;

  GlobalPurger() {
    FaultyLinux::reset();
    FaultyLinux::advance_ms(10 * kDelayMs);
    Settings settings = without_quarantine();
    settings.purge_delay_ms = kDelayMs;
    subject->configure(settings);
    heap = subject->attach();
  }

  void pass(std::uint64_t ms) {
    FaultyLinux::advance_ms(ms);
    subject->global().tick();
  }
  static std::size_t resident(std::byte* base) { return kernel_resident_bytes(base, Geo::kSuperSlabBytes); }

  // Fills most of a SuperSlab and frees all but what lies in every eighth slab. Returns its base.
  std::byte* make_holes() {
    for (int i = 0; i < 1400; ++i) shadow.allocate(heap, 1024);
    auto const first = reinterpret_cast<std::uintptr_t>(shadow.blocks()[0].start);
    for (std::size_t i = shadow.blocks().size(); i-- > 0;) {
      auto const slab = (reinterpret_cast<std::uintptr_t>(shadow.blocks()[i].start) / Geo::kSlabBytes);
      if (slab % 8 != 3) shadow.release(heap, i);
    }
    return reinterpret_cast<std::byte*>(first & ~Geo::kSuperSlabMask);
  }
  // Releases a block that does not rest: another does.
  void release(void* block) {
    subject->release(heap, block);
    if (kRests) subject->release(heap, subject->allocate(heap, 1));
  }
  static constexpr unsigned kRests = kResting<typename B::Mode>;
  // Kept slabs, the active one, that of a block that rests, windows.
  static constexpr std::size_t kAtMost = (5 + kRests) * Geo::kSlabBytes + 16 * kKiB;

  void TearDown() override {
    shadow.expect_all_contents();
    EXPECT_TRUE(subject->validate(heap));
    shadow.release_all(heap);
    subject->detach(heap);
    FaultyLinux::set_plan({});
    EXPECT_TRUE(all_given_back(*subject));
  }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  Heap* heap = nullptr;
  ShadowHeap<Alloc> shadow{*subject};
};
using PurgedBuilds = ::testing::Types<Build<FastMode, DefaultGeometry>, Build<HardenedMode, DefaultGeometry>>;
TYPED_TEST_SUITE(GlobalPurger, PurgedBuilds, BuildName);

TYPED_TEST(GlobalPurger, gives_idle_slabs_of_a_used_superslab_back_and_nothing_else) {
  std::byte* const base = this->make_holes();
  ASSERT_GT(this->resident(base), kMiB);
  for (int round = 0; round < 3; ++round) this->pass(kDelayMs + 1);
  EXPECT_LE(this->resident(base), this->kAtMost);
  this->shadow.expect_all_contents();
  ASSERT_TRUE(this->subject->validate(this->heap));
  for (int i = 0; i < 1400; ++i) this->shadow.allocate_zeroed(this->heap, 1024);
}

TYPED_TEST(GlobalPurger, gives_nothing_back_before_the_delay) {
  this->shadow.allocate(this->heap, 1);
  this->pass(kDelayMs * 9 / 10);  // a round is due soon, but for what was freed before
  this->make_holes();
  std::uint64_t const before = FaultyLinux::calls(OsCall::kPurge);
  for (int step = 0; step < 9; ++step) this->pass(kDelayMs / 10);
  EXPECT_EQ(FaultyLinux::calls(OsCall::kPurge), before);
}

TYPED_TEST(GlobalPurger, spares_a_slab_that_was_used_since_it_was_purged) {
  void* const medium = this->subject->allocate(this->heap, 300 * kKiB);
  this->shadow.allocate(this->heap, 100);
  this->release(medium);
  for (int round = 0; FaultyLinux::calls(OsCall::kPurge) == 0; ++round) {
    ASSERT_LT(round, 3);
    this->pass(kDelayMs + 1);
  }
  std::uint64_t const purges = FaultyLinux::calls(OsCall::kPurge);
  FaultyLinux::advance_ms(kDelayMs * 3 / 4);
  this->release(this->subject->allocate(this->heap, 300 * kKiB));
  this->pass(kDelayMs / 2);
  EXPECT_EQ(FaultyLinux::calls(OsCall::kPurge), purges) << "it was idle for half the delay";
  for (int round = 0; round < 2; ++round) this->pass(kDelayMs + 1);
  EXPECT_GT(FaultyLinux::calls(OsCall::kPurge), purges);
}

TYPED_TEST(GlobalPurger, does_bounded_work_in_one_visit) {
  constexpr unsigned kBound = Purger<typename TypeParam::C>::kPooledPerVisit;
  for (unsigned i = 0; i < 3 * kBound; ++i) this->shadow.allocate(this->heap, kMiB - 32);
  for (unsigned i = 0; i < 4; ++i) this->shadow.allocate(this->heap, 3 * kMiB);
  this->shadow.release_all(this->heap);
  this->heap->tidy();
  std::uint64_t warm = this->subject->statistics().super_slabs_warm_now;
  ASSERT_GE(warm, 2 * kBound);
  while (warm != 0) {
    std::uint64_t const unmaps = FaultyLinux::calls(OsCall::kUnmap);
    this->pass(kDelayMs + 1);
    std::uint64_t const now = this->subject->statistics().super_slabs_warm_now;
    ASSERT_TRUE(now < warm && warm - now <= kBound);
    ASSERT_LE(FaultyLinux::calls(OsCall::kUnmap) - unmaps, 2 * kBound);
    warm = now;
  }
  // Where the client is not trusted these are graves: they hold addresses, no memory, and stay.
  if constexpr (TypeParam::Mode::kTrustsClient) {
    EXPECT_EQ(this->subject->statistics().large_cached_bytes_now, 0u);
  }
}

TYPED_TEST(GlobalPurger, keeps_the_cold_superslabs_within_their_bound) {
  constexpr std::uint64_t kColdMax = SuperSlabPool<typename TypeParam::C>::kColdMax;
  for (std::uint64_t i = 0; i < kColdMax + 40; ++i) this->shadow.allocate(this->heap, kMiB - 32);
  this->shadow.release_all(this->heap);
  this->heap->tidy();
  for (int round = 0; round < 30; ++round) this->pass(kDelayMs + 1);
  Statistics const now = this->subject->statistics();
  EXPECT_LE(now.super_slabs_cold_now, kColdMax);
  EXPECT_EQ(now.super_slabs_warm_now, 0u);
  EXPECT_EQ(now.super_slabs_mapped - now.super_slabs_released, now.super_slabs_now);
}

TYPED_TEST(GlobalPurger, never_calls_memory_zero_that_the_kernel_refused_to_purge) {
  FaultyLinux::set_plan(FaultPlan::always(EINVAL, only(OsCall::kPurge)));
  this->make_holes();
  for (int round = 0; round < 3; ++round) this->pass(kDelayMs + 1);
  ASSERT_GT(FaultyLinux::failed(), 0u);
  for (int i = 0; i < 1400; ++i) this->shadow.allocate_zeroed(this->heap, 1024);
  for (int i = 0; i < 3; ++i) this->shadow.allocate_zeroed(this->heap, 500 * kKiB);
}

TYPED_TEST(GlobalPurger, does_nothing_while_another_thread_purges) {
  this->make_holes();
  for (int round = 0; round < 2; ++round) this->pass(kDelayMs + 1);
  std::uint64_t const purges = FaultyLinux::calls(OsCall::kPurge);
  this->subject->global().purger.gate().lock();
  this->pass(kDelayMs + 1);
  this->subject->global().purger.gate().unlock();
  EXPECT_EQ(FaultyLinux::calls(OsCall::kPurge), purges);
}

TYPED_TEST(GlobalPurger, trimming_gives_everything_back_at_once) {
  std::byte* const base = this->make_holes();
  void* const large = this->subject->allocate(this->heap, 4 * kMiB);
  this->subject->release(this->heap, large);
  EXPECT_TRUE(this->subject->trim(this->heap));
  EXPECT_LE(this->resident(base), this->kAtMost);
  EXPECT_EQ(this->subject->statistics().large_cached_bytes_now, 0u);
  EXPECT_FALSE(this->subject->trim(this->heap)) << "nothing is left to give";
}

// On a clock that stands still.
TEST(GlobalPurgerVisits, are_an_eighth_of_the_delay_apart) {
  SimulatedOs::reset();
  FaultySimulation::reset();
  using C = GlobalTest<FaultySimulation>::C;
  auto const global = std::make_unique<Global<C>>();
  for (std::uint32_t const delay : {0u, 7u, 8u, 800u}) {
    global->space.settings.purge_delay_ms = delay;
    FaultySimulation::advance_ms(10'000);
    global->tick();
    auto* const super = global->pool.map_new(global->space);
    ASSERT_TRUE(super);
    global->pool.put_back(super, 0);
    std::uint64_t const purges = FaultySimulation::calls(OsCall::kPurge);
    FaultySimulation::advance_ms(delay / 8);
    global->tick();
    EXPECT_EQ(FaultySimulation::calls(OsCall::kPurge), purges);
    FaultySimulation::advance_ms(1);
    global->tick();
    EXPECT_EQ(FaultySimulation::calls(OsCall::kPurge), purges + 1);
  }
}

// Pages as large as a slab: the metadata windows share a page with blocks of slab 0.
TEST(GlobalPurgerLargePages, leaves_in_band_metadata_alone) {
  for (std::size_t const page : {16 * kKiB, 64 * kKiB}) {
    SimulatedOs::reset({.page_bytes = page});
    FaultySimulation::reset();
    using Alloc = Build<FastMode, DefaultGeometry, FaultySimulation>::Alloc;
    auto const allocator = std::make_unique<Alloc>();
    auto* const heap = allocator->attach();
    ShadowHeap<Alloc> shadow(*allocator);
    for (int round = 0; round < 4; ++round) {
      for (std::size_t i = 0; i < 3000; ++i) shadow.allocate_zeroed(heap, 40 + i);
      for (std::size_t i = shadow.blocks().size(); i-- > 0;)
        if (i % 37 != 0) shadow.release(heap, i);
      allocator->trim(heap);
      ASSERT_TRUE(allocator->validate(heap));
      ASSERT_EQ(FaultySimulation::violation() + SimulatedOs::violation(), "");
    }
    shadow.expect_all_contents();
  }
}

}  // namespace
}  // namespace hakmem::testing
