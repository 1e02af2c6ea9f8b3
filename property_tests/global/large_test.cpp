// Large blocks: found while they live, graves of guarded ones, growth, and what survives refusals.
#include <cstring>
#include <functional>
#include <set>
#include <vector>

#include "property_tests/global/large_fixture.h"

namespace hakmem::testing {
namespace {

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

// A system that tells when pages are about to move, and maps where it is told.
struct WatchedOs : FaultyLinux {
  static OsMapping map(void* hint, std::size_t bytes, MapKind kind) noexcept {
    return FaultyLinux::map(place ? place : hint, bytes, kind);
  }
  static OsStatus move(void* address, std::size_t old_bytes, std::size_t new_bytes, void* to) noexcept {
    before_move(to);
    return FaultyLinux::move(address, old_bytes, new_bytes, to);
  }
  inline static std::function<void(void*)> before_move = [](void*) {};
  inline static void* place = nullptr;
};

// From the moment that the pages have moved, their old place may be another thread's.
TEST(LargeBlocks, leave_the_registry_before_their_pages_move_and_come_back_if_they_do_not) {
  FaultyLinux::reset();
  using C = GlobalTest<WatchedOs>::C;
  auto const global = std::make_unique<Global<C>>();
  bool zeroed = false;
  void* const block = global->large.allocate(global->space, 2 * kMiB, 16, zeroed);
  auto const& registry = global->space.registry();
  LargeBlock* const descriptor = registry.find(block).large();
  void* target = nullptr;
  WatchedOs::before_move = [&](void* to) {
    target = to;
    EXPECT_EQ(registry.find(block).large(), nullptr);
  };
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kResize) | only(OsCall::kMove)));
  EXPECT_EQ(global->large.resize(global->space, descriptor, 30 * kMiB, 0), nullptr);
  EXPECT_EQ(registry.find(block).large(), descriptor);
  EXPECT_EQ(registry.find(target).large(), nullptr);
  EXPECT_EQ(descriptor->base, block);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kResize)));
  void* const moved = global->large.resize(global->space, descriptor, 30 * kMiB, 0);
  EXPECT_NE(moved, nullptr);
  EXPECT_EQ(registry.find(block).large(), nullptr);
  EXPECT_EQ(registry.find(moved).large(), descriptor);
  EXPECT_EQ(moved, target);
  FaultyLinux::set_plan({});
  global->large.release(global->space, descriptor, 0);
  WatchedOs::before_move = [](void*) {};
}

TEST(LargeBlocks, stay_where_they_are_when_the_registry_has_no_memory_for_the_new_place) {
  FaultyLinux::reset();
  using C = GlobalTest<WatchedOs>::C;
  auto const global = std::make_unique<Global<C>>();
  bool zeroed = false;
  auto* const block = static_cast<std::byte*>(global->large.allocate(global->space, 2 * kMiB, 16, zeroed));
  block[0] = std::byte{42};
  LargeBlock* const descriptor = global->space.registry().find(block).large();
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  while (global->space.arena().allocate(8, 8)) {
  }
  WatchedOs::place = block - 64 * kGiB;  // its entry is in another part of the table
  std::uint64_t const unmapped = global->space.ledger().unmap_calls;
  // Of these calls the first is to grow in place, the second maps the new place.
  FaultyLinux::set_plan({only(OsCall::kResize) | only(OsCall::kMap), ~CallBits{2}, true, ENOMEM});
  EXPECT_EQ(global->large.resize(global->space, descriptor, 30 * kMiB, 0), nullptr);
  EXPECT_EQ(global->space.ledger().unmap_calls, unmapped + 1) << "the new place is given back";
  EXPECT_EQ(descriptor->base, block);
  EXPECT_EQ(block[0], std::byte{42});
  WatchedOs::place = nullptr;
  FaultyLinux::set_plan({});
  global->large.release(global->space, descriptor, 0);
}

}  // namespace
}  // namespace hakmem::testing
