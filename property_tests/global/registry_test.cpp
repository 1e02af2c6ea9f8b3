// The registry (invariant R3) and the storage of descriptors.
#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "property_tests/global/global_fixture.h"
#include "property_tests/model/build_kind.h"

namespace hakmem::testing {
namespace {

using C = GlobalTest<FaultyLinux>::C;
using G = DefaultGeometry;
using Entry = RegistryEntry<C>;

class GlobalRegistry : public ::testing::Test {
 protected:
  GlobalRegistry() { FaultyLinux::reset(); }
  static void* unit(std::uintptr_t number) { return reinterpret_cast<void*>(number << G::kSuperSlabShift); }

  std::unique_ptr<AddressSpace<C>> space_ = std::make_unique<AddressSpace<C>>();
  SuperSlab<C> super_, other_;
  LargeBlock large_;
};

TEST_F(GlobalRegistry, finds_what_was_entered_in_every_byte_of_its_unit_and_nothing_beside_it) {
  ASSERT_TRUE(space_->enter(static_cast<std::byte*>(unit(100)), Entry(&super_)));
  auto* const base = static_cast<std::byte*>(unit(100));
  for (std::size_t offset : {std::size_t{0}, std::size_t{1}, G::kSuperSlabBytes - 1}) {
    EXPECT_EQ(space_->registry().find(base + offset).super_slab(), &super_);
    EXPECT_EQ(space_->registry().find(base + offset).large(), nullptr);
  }
  for (std::uintptr_t const beside : {std::uintptr_t{99}, std::uintptr_t{101}})
    EXPECT_EQ(space_->registry().find(unit(beside)).bits(), 0u);
  space_->registry().remove(base);
  EXPECT_EQ(space_->registry().find(base).bits(), 0u);
}

TEST_F(GlobalRegistry, tells_large_blocks_from_superslabs) {
  ASSERT_TRUE(space_->enter(static_cast<std::byte*>(unit(7)), Entry(&large_)));
  EXPECT_EQ(space_->registry().find(unit(7)).large(), &large_);
  EXPECT_EQ(space_->registry().find(unit(7)).super_slab(), nullptr);
}

TEST_F(GlobalRegistry, knows_nothing_of_any_address_that_was_never_entered) {
  ASSERT_TRUE(space_->enter(static_cast<std::byte*>(unit(1)), Entry(&super_)));
  int on_the_stack = 0;
  for (void* address : {static_cast<void*>(nullptr), static_cast<void*>(&on_the_stack), static_cast<void*>(this),
                        reinterpret_cast<void*>(~std::uintptr_t{0}), reinterpret_cast<void*>(std::uintptr_t{1} << 47),
                        reinterpret_cast<void*>((std::uintptr_t{1} << 47) - 1)})
    EXPECT_EQ(space_->registry().find(address).bits(), 0u) << address;
}

TEST_F(GlobalRegistry, covers_the_whole_of_user_space) {
  std::uintptr_t const last = (std::uintptr_t{1} << 47) / G::kSuperSlabBytes - 1;
  ASSERT_TRUE(space_->enter(static_cast<std::byte*>(unit(last)), Entry(&super_)));
  EXPECT_EQ(space_->registry().find(unit(last)).super_slab(), &super_);
}

TEST_F(GlobalRegistry, is_unchanged_when_there_is_no_memory_for_an_entry) {
  FaultyLinux::reset(FaultPlan::always(ENOMEM));
  EXPECT_FALSE(space_->enter(static_cast<std::byte*>(unit(100)), Entry(&super_)));
  EXPECT_EQ(space_->registry().find(unit(100)).bits(), 0u);
  FaultyLinux::set_plan({});
  EXPECT_TRUE(space_->enter(static_cast<std::byte*>(unit(100)), Entry(&super_)));
}

TEST_F(GlobalRegistry, gives_readers_the_old_or_the_new_entry) {
  std::byte* const base = static_cast<std::byte*>(unit(4242));
  std::atomic<bool> stop{false};
  std::atomic<unsigned> other_values{0}, reads{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      while (!stop.load()) {
        std::uintptr_t const bits = space_->registry().find(base + 5).bits();
        if (bits != 0 && bits != Entry(&super_).bits() && bits != Entry(&large_).bits()) ++other_values;
        ++reads;
      }
    });
  for (unsigned i = 0; i < scaled(100000) || reads.load() == 0; ++i) {
    space_->enter(base, Entry(&super_));
    space_->enter(base, Entry(&large_));
    space_->registry().remove(base);
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(other_values.load(), 0u);
}

TEST_F(GlobalRegistry, keeps_every_entry_when_threads_open_the_same_leaf) {
  constexpr unsigned kThreads = 2, kLeaf = 1u << Registry<C>::kLeafBits;
  for (unsigned leaf = 1; leaf <= scaled(200); ++leaf) {
    std::atomic<unsigned> ready{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kThreads; ++i)
      threads.emplace_back([&, i] {
        ++ready;
        while (ready.load() != kThreads) std::this_thread::yield();
        space_->enter(static_cast<std::byte*>(unit(std::uintptr_t{leaf} * kLeaf + i)), Entry(&super_));
      });
    for (std::thread& thread : threads) thread.join();
    for (unsigned i = 0; i < kThreads; ++i)
      ASSERT_EQ(space_->registry().find(unit(std::uintptr_t{leaf} * kLeaf + i)).super_slab(), &super_);
  }
}

TEST(GlobalMetadata, is_zero_aligned_disjoint_and_never_given_twice) {
  FaultyLinux::reset();
  auto const arena = std::make_unique<MetadataArena<C>>();
  Random random(5);
  std::uintptr_t const chunk = MetadataArena<C>::kChunkBytes;
  std::set<std::pair<std::uintptr_t, std::uintptr_t>> ranges;
  for (int i = 0; i < 2000; ++i) {
    std::size_t const alignment = std::size_t{8} << random.below(10);
    std::size_t const bytes = 1 + random.below(random.one_in(50) ? 2 * chunk : 2000);
    auto* const memory = static_cast<unsigned char*>(arena->allocate(bytes, alignment));
    ASSERT_NE(memory, nullptr);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignment, 0u);
    ASSERT_TRUE(FaultyLinux::ledger().contains(memory, bytes));
    for (std::size_t byte = 0; byte < bytes; byte += 7) ASSERT_EQ(memory[byte], 0);
    std::memset(memory, 0xee, bytes);
    ranges.emplace(reinterpret_cast<std::uintptr_t>(memory), reinterpret_cast<std::uintptr_t>(memory) + bytes);
  }
  std::uintptr_t end = 0;
  for (auto const& [start, stop] : ranges) {
    ASSERT_GE(start, end);
    end = stop;
  }
  EXPECT_EQ(arena->mapped_bytes(), FaultyLinux::ledger().bytes());
}

TEST(GlobalMetadata, recycles_objects_and_tells_fresh_ones_apart) {
  FaultyLinux::reset();
  auto const arena = std::make_unique<MetadataArena<C>>();
  ObjectPool<C, LargeBlock, LockRank::kLargeDescriptors> objects;
  bool fresh = false;
  LargeBlock* const first = objects.take(*arena, fresh);
  ASSERT_TRUE(first && fresh);
  LargeBlock* const second = objects.take(*arena, fresh);
  ASSERT_TRUE(second != first && fresh);
  objects.put_back(first);
  EXPECT_EQ(objects.take(*arena, fresh), first);
  EXPECT_FALSE(fresh);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM));
  while (LargeBlock* const more = objects.take(*arena, fresh)) ASSERT_TRUE(fresh) << more;
  objects.put_back(second);
  EXPECT_EQ(objects.take(*arena, fresh), second) << "recycling needs no memory";
}

// The arena has little room left, so that what a request needs besides its own memory is a mapping, too.
TEST(GlobalMetadata, that_is_refused_refuses_the_request_and_nothing_is_lost) {
  using Request = bool (*)(Global<C>&);
  Request const requests[] = {
      [](Global<C>& global) {
        bool zeroed = false;
        return global.large.allocate(global.space, 3 * kMiB, kMinAlignment, zeroed) != nullptr;
      },
      [](Global<C>& global) { return global.large.allocate_guarded(global.space, 3 * kMiB) != nullptr; },
      [](Global<C>& global) { return global.large.allocate_guarded(global.space, 100) != nullptr; },
      [](Global<C>& global) { return global.pool.map_new(global.space) != nullptr; }};
  for (std::size_t const room : {32 * kKiB, kKiB}) {
    for (Request const& request : requests) {
      unsigned refused = 0;
      for (unsigned call = 0; call < 5; ++call) {
        FaultyLinux::reset();
        auto const global = std::make_unique<Global<C>>();
        auto& arena = global->space.arena();
        ASSERT_NE(arena.allocate(MetadataArena<C>::kChunkBytes - room, 16), nullptr);
        FaultyLinux::set_plan(FaultPlan::nth(call, ENOMEM, only(OsCall::kMap)));
        bool const served = request(*global);
        FaultyLinux::set_plan({});
        refused += !served;
        std::uint64_t const held = global->space.ledger().held_bytes;
        if (!served) EXPECT_EQ(held, 0u) << "call " << call;
        EXPECT_EQ(FaultyLinux::ledger().bytes(), held + arena.mapped_bytes()) << "call " << call;
        EXPECT_TRUE(global->large.validate() && global->pool.validate());
        FaultyLinux::unmap_all();
      }
      EXPECT_GT(refused, 0u) << "request " << &request - requests;
    }
  }
}

}  // namespace
}  // namespace hakmem::testing
