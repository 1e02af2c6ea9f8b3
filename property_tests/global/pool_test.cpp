// The pool of SuperSlabs: growth in batches, warm before cold, purge by age, release beyond a bound.
#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "property_tests/global/global_fixture.h"
#include "property_tests/kernel_view.h"

namespace hakmem::testing {
namespace {

template <class Os>
class SuperSlabPoolOn : public GlobalTest<Os> {
 public:
  using Base = GlobalTest<Os>;
  using C = typename Base::C;
  using Super = SuperSlab<C>;
  static constexpr std::size_t kBytes = DefaultGeometry::kSuperSlabBytes;

  Super* take() {
    Super* const super = this->pool().take_pooled(this->space());
    return super ? super : this->pool().map_new(this->space());
  }
  std::vector<Super*> take(unsigned count) {
    std::vector<Super*> supers(count);
    for (Super*& super : supers) super = take();
    return supers;
  }
  unsigned purge(std::uint64_t now_ms, std::uint64_t age_ms, unsigned keep_cold, unsigned limit) {
    return this->pool().purge(this->space(), now_ms, age_ms, keep_cold, limit);
  }
  Super* registered(Super* super) { return this->space().registry().find(super->base).super_slab(); }

  void TearDown() override {
    EXPECT_TRUE(this->pool().validate());
    EXPECT_TRUE(this->nothing_leaked());
  }
};
TYPED_TEST_SUITE(SuperSlabPoolOn, Systems, SystemName);

TYPED_TEST(SuperSlabPoolOn, grows_by_no_more_than_the_option_allows) {
  this->space().settings.batch_max = 3;
  for (std::uint64_t mapped = 0; mapped < 40; mapped = this->pool().counts().mapped_now) {
    ASSERT_NE(this->pool().map_new(this->space()), nullptr);
    ASSERT_LE(this->pool().counts().mapped_now - mapped, 3u);
  }
}

TYPED_TEST(SuperSlabPoolOn, grows_by_1_2_4_to_16_aligned_registered_and_free) {
  std::vector<std::uint64_t> batches;
  std::set<std::byte*> bases;
  while (batches.empty() || batches.back() != 16) {
    std::uint64_t const before = this->pool().counts().mapped_now;
    auto* const first = this->pool().map_new(this->space());
    ASSERT_NE(first, nullptr);
    batches.push_back(this->pool().counts().mapped_now - before);
    ASSERT_EQ(batches.back(), kernels::batch_size(before));
    ASSERT_EQ(this->pool().counts().cold, batches.back() - 1);
    bases.insert(first->base);
    while (auto* const super = this->pool().take_pooled(this->space())) {
      ASSERT_TRUE(kernels::is_aligned(reinterpret_cast<std::uintptr_t>(super->base), this->kBytes));
      ASSERT_EQ(this->registered(super), super);
      ASSERT_EQ(super->slabs.load(), (SlabSets{DefaultGeometry::kAllSlabs, 0}.word()));
      bases.insert(super->base);
    }
  }
  std::vector<std::uint64_t> steps = batches;
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  EXPECT_EQ(steps, (std::vector<std::uint64_t>{1, 2, 4, 8, 16}));
  EXPECT_EQ(bases.size(), this->pool().counts().mapped_now);
}

TYPED_TEST(SuperSlabPoolOn, gives_warm_ones_first_the_most_recently_freed_foremost) {
  auto const supers = this->take(4);
  while (this->pool().take_pooled(this->space())) {
  }
  for (unsigned i = 0; i < 4; ++i) this->pool().put_back(supers[i], i + 1);
  EXPECT_EQ(this->purge(100, 99, 99, 99), 1u) << "the oldest turned cold";
  EXPECT_EQ(this->pool().counts().cold, 1u);
  for (unsigned i : {3u, 2u, 1u, 0u}) EXPECT_EQ(this->pool().take_pooled(this->space()), supers[i]);
  EXPECT_EQ(this->pool().take_pooled(this->space()), nullptr);
}

TYPED_TEST(SuperSlabPoolOn, purges_by_age_within_the_limit) {
  auto const supers = this->take(5);
  std::uint64_t const cold = this->pool().counts().cold;
  for (unsigned i = 0; i < 5; ++i) this->pool().put_back(supers[i], 10 * i);
  EXPECT_EQ(this->purge(100, 101, 99, 99), 0u);
  EXPECT_EQ(this->purge(100, 70, 99, 3), 3u);
  EXPECT_EQ(this->pool().counts().warm, 2u);
  EXPECT_EQ(this->pool().counts().cold, cold + 3);
  EXPECT_EQ(this->purge(100, 70, 99, 3), 1u) << "the last one is not old enough";
  EXPECT_EQ(this->pool().take_pooled(this->space()), supers[4]);
}

TYPED_TEST(SuperSlabPoolOn, one_freed_after_the_clock_was_read_is_not_old) {
  this->pool().put_back(this->take(), 101);
  EXPECT_EQ(this->purge(100, 50, 99, 99), 0u);
}

TYPED_TEST(SuperSlabPoolOn, a_purged_one_is_known_to_be_zero_and_one_that_could_not_be_purged_is_not) {
  auto* const super = this->take();
  for (unsigned refused : {0u, 1u}) {
    bool zeroed = false;
    ASSERT_EQ(super->take_run(1, 1, true, zeroed), 1u);
    super->base[DefaultGeometry::kSlabBytes] = std::byte{1};
    super->return_run(2);
    this->pool().put_back(super, 0);
    TypeParam::set_plan(refused ? FaultPlan::always(EINVAL, only(OsCall::kPurge)) : FaultPlan{});
    EXPECT_EQ(this->purge(1, 1, 99, 99), 1u);
    ASSERT_EQ(this->take(), super);
    EXPECT_EQ(super->take_run(1, 1, true, zeroed), 1u);
    EXPECT_EQ(zeroed, refused == 0);
    EXPECT_EQ(super->base[DefaultGeometry::kSlabBytes], std::byte{static_cast<unsigned char>(refused)});
    super->return_run(2);
  }
}

TYPED_TEST(SuperSlabPoolOn, unmaps_cold_ones_beyond_the_bound_within_the_limit) {
  auto const supers = this->take(9);
  while (this->pool().take_pooled(this->space())) {
  }
  std::uint64_t const mapped = this->pool().counts().mapped_now;
  for (auto* super : supers) this->pool().put_back(super, 0);
  EXPECT_EQ(this->purge(1, 0, 4, 9), 9u + 5u);
  EXPECT_EQ(this->pool().counts().cold, 4u);
  EXPECT_EQ(this->pool().counts().mapped_now, mapped - 5);
  EXPECT_EQ(this->purge(1, 0, 1, 2), 2u);
  EXPECT_EQ(this->purge(1, 0, 1, 2), 1u);
  EXPECT_EQ(this->purge(1, 0, 1, 2), 0u);
  unsigned known = 0;
  for (auto* super : supers) known += this->registered(super) == super;
  EXPECT_EQ(known, 1u);
  EXPECT_EQ(this->space().ledger().held_bytes, (mapped - 8) * this->kBytes);
}

TYPED_TEST(SuperSlabPoolOn, keeps_one_whose_slabs_the_purger_holds) {
  auto* const super = this->take();
  std::uint64_t const free_word = super->slabs.load();
  this->pool().put_back(super, 0);
  super->slabs.store(free_word & ~std::uint64_t{4});
  EXPECT_EQ(this->purge(1, 0, 0, 9), 1u) << "it turns cold, and stays";
  EXPECT_EQ(this->registered(super), super);
  super->slabs.store(free_word);
  EXPECT_EQ(this->purge(1, 0, 0, 9), 1u);
  EXPECT_EQ(this->space().ledger().held_bytes, 0u);
}

TYPED_TEST(SuperSlabPoolOn, what_the_kernel_refuses_to_unmap_is_kept_and_unmapped_later) {
  auto const supers = this->take(3);
  while (this->pool().take_pooled(this->space())) {
  }
  for (auto* super : supers) this->pool().put_back(super, 0);
  TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kUnmap)));
  this->purge(1, 0, 0, 99);
  EXPECT_EQ(this->space().ledger().leftover_bytes, 3 * this->kBytes);
  EXPECT_TRUE(this->nothing_leaked());
  TypeParam::set_plan({});
  ASSERT_NE(this->pool().map_new(this->space()), nullptr);
  EXPECT_EQ(this->space().ledger().leftover_bytes, 0u);
}

TYPED_TEST(SuperSlabPoolOn, reuses_descriptors_of_released_ones) {
  std::size_t metadata = 0;
  for (unsigned round = 0; round < 200; ++round) {
    for (auto* super : this->take(16)) this->pool().put_back(super, 0);
    this->purge(1, 0, 0, 99);
    if (round == 0) metadata = this->space().arena().mapped_bytes();
  }
  EXPECT_EQ(this->space().arena().mapped_bytes(), metadata);
}

TYPED_TEST(SuperSlabPoolOn, survives_the_failure_of_each_call_of_a_growth) {
  for (int const code : {ENOMEM, EINVAL, EAGAIN, EPERM}) {
    for (unsigned k = 0; k < 24; ++k) {
      TypeParam::set_plan(FaultPlan::nth(k, code));
      std::vector<typename TestFixture::Super*> taken;
      for (unsigned i = 0; i < 8; ++i)
        if (auto* const super = this->take()) taken.push_back(super);
      ASSERT_GE(taken.size(), 7u);
      for (auto* super : taken) this->pool().put_back(super, 0);
      this->purge(1, 0, 0, 99);
      ASSERT_TRUE(this->pool().validate() && this->nothing_leaked()) << "call " << k << " fails with " << code;
    }
  }
  TypeParam::set_plan({});
}

TYPED_TEST(SuperSlabPoolOn, gives_none_when_the_system_has_none) {
  TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  EXPECT_EQ(this->take(), nullptr);
  EXPECT_EQ(this->pool().counts().mapped_now, 0u);
}

TYPED_TEST(SuperSlabPoolOn, warms_up_as_much_as_asked_and_reuses_what_is_warm) {
  std::size_t const bytes = 5 * this->kBytes;
  EXPECT_EQ(this->pool().warm_up(this->space(), bytes, 0), bytes);
  EXPECT_EQ(this->pool().counts().warm, 5u);
  std::uint64_t const mapped = this->pool().counts().mapped_now;
  EXPECT_EQ(this->pool().warm_up(this->space(), bytes, 0), bytes);
  EXPECT_EQ(this->pool().counts().mapped_now, mapped);
  auto* const super = this->take();
  bool zeroed = false;
  EXPECT_NE(super->take_run(1, 1, true, zeroed), kernels::kNoRun);
  EXPECT_TRUE(zeroed);
}

// No memory for descriptors: the arena is full, and each mapping call in turn is refused.
TEST(SuperSlabPool, returns_what_it_cannot_describe) {
  for (unsigned before : {0u, 2u, 6u}) {
    for (unsigned k = 0; k < 4; ++k) {
      reset_system<FaultySimulation>();
      auto const global = std::make_unique<Global<GlobalTest<FaultySimulation>::C>>();
      while (global->pool.counts().mapped_now < before) ASSERT_TRUE(global->pool.map_new(global->space));
      FaultySimulation::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
      while (global->space.arena().allocate(8, 8)) {
      }
      FaultySimulation::set_plan(FaultPlan::nth(k, ENOMEM, only(OsCall::kMap)));
      global->pool.map_new(global->space);
      auto const books = global->space.ledger();
      ASSERT_EQ(FaultySimulation::ledger().bytes(), books.held_bytes + global->space.arena().mapped_bytes());
      std::uint64_t const mapped = global->pool.counts().mapped_now;
      ASSERT_EQ(books.held_bytes, mapped * DefaultGeometry::kSuperSlabBytes);
      FaultySimulation::set_mappings(0, 2 * mapped + 2);
      ASSERT_TRUE(global->space.may_split()) << "more mappings are estimated than there are SuperSlabs";
      FaultySimulation::set_mappings(0, 2 * mapped);
      ASSERT_EQ(global->space.may_split(), mapped == 0) << "fewer are estimated";
      ASSERT_EQ(FaultySimulation::violation(), "");
    }
  }
}

TEST(SuperSlabPool, takes_a_single_one_where_a_batch_has_no_room) {
  using Os = FaultySimulation;
  reset_system<Os>();

  auto const global = std::make_unique<Global<GlobalTest<Os>::C>>();
  std::uint64_t taken = 0;
  while (global->pool.take_pooled(global->space) || global->pool.map_new(global->space)) ++taken;
  constexpr std::uint64_t kMost = SimulatedOs::kArenaBytes / DefaultGeometry::kSuperSlabBytes;
  EXPECT_GE(taken, kMost - 1) << "descriptors fill a part of one";
  EXPECT_EQ(Os::violation(), "");
}

TEST(SuperSlabPool, holds_pages_while_warm_and_none_when_cold) {
  reset_system<FaultyLinux>();
  using G = DefaultGeometry;
  auto const global = std::make_unique<Global<GlobalTest<FaultyLinux>::C>>();
  ASSERT_EQ(global->pool.warm_up(global->space, G::kSuperSlabBytes, 0), G::kSuperSlabBytes);
  auto* const super = global->pool.take_pooled(global->space);
  EXPECT_EQ(kernel_resident_bytes(super->base, G::kSuperSlabBytes), G::kSuperSlabBytes);
  super->slabs.store(SlabSets{~0u, ~0u}.word());
  global->pool.put_back(super, 0);
  EXPECT_EQ(kernel_resident_bytes(super->base, G::kSuperSlabBytes), G::kSuperSlabBytes);
  global->pool.purge(global->space, 1, 0, 99, 99);
  EXPECT_EQ(kernel_resident_bytes(super->base, G::kSuperSlabBytes), 0u);
}

TEST(SuperSlabPool, holds_no_records_of_blocks_when_cold) {
  reset_system<FaultyLinux>();
  using C = GlobalTest<FaultyLinux, ProbeMode>::C;
  auto const global = std::make_unique<Global<C>>();
  auto* const super = global->pool.map_new(global->space);
  std::size_t const bytes = kernels::align_up(super->storage.kRecordBytes, FaultyLinux::page_bytes());
  std::memset(static_cast<void*>(super->storage.records), 1, super->storage.kRecordBytes);
  EXPECT_EQ(kernel_resident_bytes(super->storage.records, bytes), bytes);
  global->pool.put_back(super, 0);
  global->pool.purge(global->space, 1, 0, 99, 99);
  EXPECT_EQ(kernel_resident_bytes(super->storage.records, bytes), 0u);
}

}  // namespace
}  // namespace hakmem::testing
