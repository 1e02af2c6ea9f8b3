// Hand-over of blocks and heaps, driven step by step on one thread: outbox, inbox, parking,
// adoption, scavenging (invariants R1 and R2).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "property_tests/model/allocators.h"

namespace hakmem::testing {
namespace {

template <class B>
class HeapHandover : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using Heap = typename Alloc::Heap;
  using Geo = typename B::G;

  HeapHandover() {
    FaultyLinux::reset();
    subject->configure(without_quarantine());
  }

  // Blocks of one slab each, `count` of them.
  std::vector<void*> slabs(Heap* heap, unsigned count) {
    std::vector<void*> blocks;
    for (unsigned i = 0; i < count; ++i) blocks.push_back(subject->allocate(heap, Geo::kSlabBytes - 64));
    return blocks;
  }
  void release(Heap* heap, std::vector<void*> const& blocks) {
    for (void* block : blocks) subject->release(heap, block);
  }
  Statistics statistics(Heap const* mine = Alloc::unattached()) { return subject->statistics(mine); }

  void TearDown() override {
    EXPECT_TRUE(subject->validate(Alloc::unattached()));
    EXPECT_TRUE(nothing_leaked(*subject));
  }

  static constexpr unsigned kRests = kResting<typename B::Mode>;

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
};
TYPED_TEST_SUITE(HeapHandover, AllBuilds, BuildName);

TYPED_TEST(HeapHandover, a_new_thread_adopts_the_heap_parked_last_with_its_blocks) {
  auto& allocator = *this->subject;
  auto* const first = allocator.attach();
  auto* const second = allocator.attach();
  EXPECT_NE(first, second);
  void* const block = allocator.allocate(second, 100);
  allocator.detach(first);
  allocator.detach(second);
  EXPECT_EQ(this->statistics().heaps_parked_now, 2u);
  EXPECT_EQ(allocator.attach(), second);
  EXPECT_EQ(allocator.attach(), first);
  EXPECT_EQ(this->statistics().heaps_parked_now, 0u);
  EXPECT_EQ(this->statistics().heaps_now, 2u);
  allocator.release(second, block);
  EXPECT_EQ(this->statistics(second).small_blocks_now, this->kRests);
}

TYPED_TEST(HeapHandover, remote_frees_reach_the_owner_in_batches_of_bounded_size) {
  auto& allocator = *this->subject;
  auto* const owner = allocator.attach();
  auto* const other = allocator.attach();
  using Out = Outbox<typename TypeParam::C>;
  constexpr std::size_t kBytes = 100;
  void* const first = allocator.allocate(owner, kBytes);
  std::size_t const block_bytes = this->statistics(owner).small_bytes_now;
  std::size_t const batch = std::min<std::size_t>(Out::kEntryBlocks, (Out::kEntryBytes - 1) / block_bytes + 1);
  std::size_t const count = 8 * batch + this->kRests;
  allocator.release(owner, first);
  for (std::size_t i = 0; i < count; ++i) allocator.release(other, allocator.allocate(owner, kBytes));
  std::uint64_t const batches = this->statistics().remote_batches;
  EXPECT_GE(batches, 8u);
  EXPECT_LE(batches, 16u) << "a thread that takes a slab sends its outbox early";
  owner->drain_inbox();
  EXPECT_LT(this->statistics(owner).small_blocks_now, batch + 2 * this->kRests);
  other->tidy();
  owner->drain_inbox();
  EXPECT_EQ(this->statistics(owner).small_blocks_now, 2 * this->kRests);
}

TYPED_TEST(HeapHandover, of_the_blocks_of_a_batch_one_is_written_to) {
  if (!TypeParam::Mode::kTrustsClient) return;
  auto& allocator = *this->subject;
  auto* const owner = allocator.attach();
  auto* const other = allocator.attach();
  constexpr std::size_t kBytes = 512;
  std::vector<void*> blocks(Outbox<typename TypeParam::C>::kEntryBlocks);
  for (void*& block : blocks) std::memset(block = allocator.allocate(owner, kBytes), 'x', kBytes);
  this->release(other, blocks);
  other->tidy();
  auto const batches = static_cast<std::ptrdiff_t>(this->statistics().remote_batches);
  auto const untouched = [](void const* block) {
    auto const* const bytes = static_cast<char const*>(block);
    return std::all_of(bytes, bytes + kBytes, [](char byte) { return byte == 'x'; });
  };
  EXPECT_EQ(std::count_if(blocks.begin(), blocks.end(), untouched),
            static_cast<std::ptrdiff_t>(blocks.size()) - batches);
  owner->drain_inbox();
  EXPECT_EQ(this->statistics(owner).small_blocks_now, 0u);
}

TYPED_TEST(HeapHandover, a_block_of_another_heap_is_sent_home_without_a_look_at_anything_else) {
  if constexpr (TypeParam::Mode::kMetadataInBand) {
    using Alloc = typename TypeParam::Alloc;
    auto& allocator = *this->subject;
    auto* const owner = allocator.attach();
    auto* const other = allocator.attach();
    std::vector<void*> blocks;
    for (std::size_t bytes = 1; bytes <= TypeParam::G::kClassMax; bytes += 1 + bytes / 8)
      blocks.push_back(allocator.allocate(owner, bytes));
    auto const sent = std::count_if(blocks.begin(), blocks.end(),
                                    [other](void* block) { return Alloc::Heap::try_send_home(other, block); });
    EXPECT_GT(sent, static_cast<std::ptrdiff_t>(blocks.size() / 2));
    other->tidy();
    owner->drain_inbox();
    EXPECT_EQ(this->statistics(owner).small_blocks_now, blocks.size() - static_cast<std::size_t>(sent));
  }
}

// Null, a large block, one behind the first slab of its span; and a thread without a heap.
TYPED_TEST(HeapHandover, what_is_not_known_at_a_glance_is_not_sent_home) {
  if constexpr (TypeParam::Mode::kMetadataInBand) {
    using Alloc = typename TypeParam::Alloc;
    auto& allocator = *this->subject;
    auto* const owner = allocator.attach();
    auto* const other = allocator.attach();
    void* const large = allocator.allocate(owner, TypeParam::G::kMediumMax + 1);
    bool const has_longer_spans = TypeParam::G::kSmallMax < TypeParam::G::kClassMax;
    void* behind = nullptr;
    auto const lies_behind = [&] {
      return behind && Alloc::Heap::slab_of(allocator.global().space.registry(), behind)->head_distance != 0;
    };
    for (unsigned i = 0; i < 8 && has_longer_spans && !lies_behind(); ++i)
      behind = allocator.allocate(owner, TypeParam::G::kClassMax);
    ASSERT_EQ(lies_behind(), has_longer_spans);
    void* const block = allocator.allocate(owner, 100);
    std::uint64_t const held = this->statistics(owner).small_blocks_now;
    EXPECT_FALSE(Alloc::Heap::try_send_home(other, nullptr));
    EXPECT_FALSE(Alloc::Heap::try_send_home(other, large));
    EXPECT_FALSE(Alloc::Heap::try_send_home(other, behind));
    EXPECT_FALSE(Alloc::Heap::try_send_home(Alloc::unattached(), block));
    other->tidy();
    owner->drain_inbox();
    EXPECT_EQ(this->statistics(owner).small_blocks_now, held);
  }
}

// One more owner than the outbox has places: two share one.
TYPED_TEST(HeapHandover, each_of_many_owners_gets_its_own_block) {
  auto& allocator = *this->subject;
  using Heap = typename TestFixture::Heap;
  auto* const other = allocator.attach();
  std::vector<Heap*> owners;
  for (unsigned i = 0; i <= Outbox<typename TypeParam::C>::kEntries; ++i) owners.push_back(allocator.attach());
  std::vector<void*> blocks;
  for (Heap* owner : owners) blocks.push_back(allocator.allocate(owner, 100));
  this->release(other, blocks);
  allocator.release(other, allocator.allocate(other, 100));  // so that the last one does not rest
  other->tidy();
  for (Heap* owner : owners) EXPECT_FALSE(owner->inbox().empty());
  owners.push_back(other);
  for (Heap* owner : owners) allocator.detach(owner);
  EXPECT_TRUE(all_given_back(allocator));
}

TYPED_TEST(HeapHandover, blocks_of_all_sizes_travel_together_and_all_arrive) {
  auto& allocator = *this->subject;
  auto* const owner = allocator.attach();
  auto* const other = allocator.attach();
  Random random(7);
  std::vector<void*> blocks;
  for (unsigned i = 0; i < 1000; ++i)
    blocks.push_back(allocator.allocate(owner, random.below(TypeParam::G::kClassMax)));
  this->release(other, blocks);
  other->tidy();
  owner->drain_inbox();
  EXPECT_TRUE(allocator.validate(owner));
  EXPECT_EQ(this->statistics(owner).small_blocks_now, this->kRests);
}

TYPED_TEST(HeapHandover, a_thread_without_a_heap_sends_each_block_at_once) {
  auto& allocator = *this->subject;
  auto* const owner = allocator.attach();
  void* const block = allocator.allocate(owner, 100);
  allocator.release(TestFixture::Alloc::unattached(), block);
  EXPECT_FALSE(owner->inbox().empty());
  owner->drain_inbox();
  EXPECT_EQ(this->statistics(owner).small_blocks_now, 0u);
}

TYPED_TEST(HeapHandover, parking_sends_out_what_waits_in_the_outbox) {
  auto& allocator = *this->subject;
  auto* const owner = allocator.attach();
  auto* const other = allocator.attach();
  for (unsigned i = 0; i < 1 + this->kRests; ++i) allocator.release(other, allocator.allocate(owner, 100));
  EXPECT_TRUE(owner->inbox().empty());
  allocator.detach(other);
  EXPECT_FALSE(owner->inbox().empty());
}

TYPED_TEST(HeapHandover, parking_gives_empty_superslabs_to_the_pool) {
  auto& allocator = *this->subject;
  auto* const heap = allocator.attach();
  this->release(heap, this->slabs(heap, 3 * TypeParam::G::kSlabsPerSuperSlab));
  allocator.detach(heap);
  Statistics const now = this->statistics();
  EXPECT_EQ(now.super_slabs_warm_now + now.super_slabs_cold_now, now.super_slabs_now - this->kRests);
}

TYPED_TEST(HeapHandover, scavenging_takes_the_superslabs_that_were_freed_to_a_parked_heap) {
  auto& allocator = *this->subject;
  auto* const dead = allocator.attach();
  auto* const alive = allocator.attach();
  auto const blocks = this->slabs(dead, 8 * TypeParam::G::kSlabsPerSuperSlab);
  allocator.detach(dead);
  this->release(alive, blocks);
  alive->tidy();
  while (allocator.global().pool.take_pooled(allocator.global().space)) {  // a pool that has nothing left
  }
  std::uint64_t const mapped = this->statistics().super_slabs_mapped;
  auto const again = this->slabs(alive, 7 * TypeParam::G::kSlabsPerSuperSlab);
  EXPECT_EQ(this->statistics().super_slabs_mapped, mapped);
  this->release(alive, again);
}

TYPED_TEST(HeapHandover, scavenging_is_enough_when_the_parked_heap_keeps_one_superslab) {
  using G = typename TypeParam::G;
  auto& allocator = *this->subject;
  auto* const dead = allocator.attach();
  auto* const alive = allocator.attach();
  auto const blocks = this->slabs(dead, 2 * G::kSlabsPerSuperSlab);
  allocator.detach(dead);
  // From the end, so that what rests lies beside the one that is kept.
  for (std::size_t i = blocks.size(); --i > 0;) allocator.release(alive, blocks[i]);
  alive->tidy();
  while (allocator.global().pool.take_pooled(allocator.global().space)) {
  }
  std::uint64_t const mapped = this->statistics().super_slabs_mapped;
  void* const one = allocator.allocate(alive, 100);
  EXPECT_EQ(this->statistics().super_slabs_mapped, mapped) << "the pool got one, but nobody looked";
  allocator.release(alive, one);
  allocator.release(alive, blocks[0]);
}

TYPED_TEST(HeapHandover, trimming_takes_in_the_mail_of_every_parked_heap) {
  auto& allocator = *this->subject;
  constexpr unsigned kHeaps = 3 * HeapDirectory<typename TypeParam::C>::kScavengedAtOnce;
  std::vector<typename TestFixture::Heap*> heaps;
  std::vector<void*> blocks;
  for (unsigned i = 0; i < kHeaps; ++i) {
    heaps.push_back(allocator.attach());
    blocks.push_back(allocator.allocate(heaps.back(), 100));
  }
  for (auto* heap : heaps) allocator.detach(heap);
  this->release(TestFixture::Alloc::unattached(), blocks);
  EXPECT_TRUE(all_given_back(allocator));
  EXPECT_EQ(this->statistics().heaps_parked_now, kHeaps);
}

TYPED_TEST(HeapHandover, a_thread_that_needs_a_superslab_takes_in_the_mail_of_a_bounded_number_of_parked_heaps) {
  auto& allocator = *this->subject;
  constexpr std::size_t kAtOnce = HeapDirectory<typename TypeParam::C>::kScavengedAtOnce;
  std::vector<typename TestFixture::Heap*> heaps;
  std::vector<void*> blocks;
  auto* const alive = allocator.attach();
  for (std::size_t i = 0; i < 2 * kAtOnce + 1; ++i) {
    heaps.push_back(allocator.attach());
    blocks.push_back(allocator.allocate(heaps.back(), 100));
  }
  for (auto* heap : heaps) allocator.detach(heap);
  this->release(TestFixture::Alloc::unattached(), blocks);
  auto const with_mail = [&] {
    return static_cast<std::size_t>(
        std::count_if(heaps.begin(), heaps.end(), [](auto* heap) { return !heap->inbox().empty(); }));
  };
  EXPECT_EQ(with_mail(), heaps.size());
  while (allocator.global().pool.take_pooled(allocator.global().space)) {
  }
  void* const block = allocator.allocate(alive, 100);
  EXPECT_EQ(with_mail(), heaps.size() - kAtOnce);
  EXPECT_EQ(this->statistics().heaps_parked_now, heaps.size());
  allocator.release(alive, block);
}

TYPED_TEST(HeapHandover, each_block_freed_elsewhere_is_allocated_again_once) {
  using G = typename TypeParam::G;
  auto& allocator = *this->subject;
  auto* const owner = allocator.attach();
  auto* const other = allocator.attach();
  constexpr unsigned kCount = 4 * G::kSlabBytes / G::kQuantum;
  std::vector<void*> blocks(kCount);
  for (unsigned round = 0; round < 20; ++round) {
    for (void*& block : blocks) block = allocator.allocate(owner, 1);
    ASSERT_TRUE(allocator.validate(owner));
    this->release(other, blocks);
    other->tidy();
  }
  EXPECT_LE(this->statistics().super_slabs_mapped, kTiny<TypeParam> ? 16u : 2u) << "freed blocks are used again";
}

// A system that lets a test look in whenever the time is asked for.
struct WatchedLinux : FaultyLinux {
  static inline void (*look)() = nullptr;
  static std::uint64_t now_ms() noexcept {
    if (look) look();
    return FaultyLinux::now_ms();
  }
};

TEST(HeapHandoverInTheAct, a_heap_is_parked_exactly_while_the_directory_counts_it) {
  using B = Build<FastMode, TinyGeometry, WatchedLinux>;
  using Alloc = B::Alloc;
  FaultyLinux::reset();
  static Alloc* subject;
  static Alloc::Heap *owner, *other;
  static unsigned parked, taken;
  auto const allocator = std::make_unique<Alloc>();
  subject = allocator.get();
  owner = subject->attach();
  other = subject->attach();
  std::vector<void*> blocks;
  for (unsigned i = 0; i < 4 * B::G::kSlabsPerSuperSlab; ++i)
    blocks.push_back(subject->allocate(owner, B::G::kSlabBytes - 64));
  subject->detach(owner);
  for (void* block : blocks) subject->release(other, block);
  other->tidy();
  WatchedLinux::look = [] {
    EXPECT_EQ(subject->statistics().heaps_parked_now, owner->parked + other->parked);
    ++(owner->parked ? parked : taken);
  };
  subject->trim(other);
  subject->detach(other);
  WatchedLinux::look = nullptr;
  EXPECT_GT(taken, 0u) << "while it is scavenged";
  EXPECT_TRUE(owner->parked);
  EXPECT_TRUE(all_given_back(*subject));
}

}  // namespace
}  // namespace hakmem::testing
