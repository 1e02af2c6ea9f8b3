// validate() is what every other test relies on: here each field that it looks at is damaged in turn,
// and it must notice. In the tiny geometry, so that few blocks make slabs of every state.
#include <gtest/gtest.h>

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "property_tests/model/allocators.h"

namespace hakmem::testing {
namespace {

template <class Field>
auto content(Field const& field) {
  if constexpr (requires { field.load(); })
    return field.load();
  else
    return field;
}

template <class B>
class HeapDamage : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using Heap = typename Alloc::Heap;
  using Slab = typename Alloc::Slab;

  HeapDamage() {
    FaultyLinux::reset();
    heap = subject->attach();
  }
  void TearDown() override {
    for (void* const block : blocks) heap->release(registry(), block);
    subject->detach(heap);
    EXPECT_TRUE(all_given_back(*subject));
  }

  // The slab of a new block. The mode has no part in it: what it adds to a block is not looked at.
  Slab* allocate(std::size_t bytes) {
    bool zeroed = false;
    blocks.push_back(heap->allocate(bytes, zeroed));
    return Heap::slab_of(registry(), blocks.back())->head();
  }
  void release_first_of(Slab* slab) {
    auto const mine = std::find_if(blocks.begin(), blocks.end(),
                                   [&](void* block) { return Heap::slab_of(registry(), block)->head() == slab; });
    heap->release(registry(), *mine);
    blocks.erase(mine);
  }
  // A slab of the smallest class that has no room: malloc took all of its blocks and went on to the next.
  Slab* fill_slab() {
    Slab* const slab = allocate(B::G::kQuantum);
    while (allocate(B::G::kQuantum) == slab) {
    }
    return slab;
  }

  bool valid() { return subject->validate(heap); }

  template <class Field>
  void expect_noticed(char const* what, Field& field, std::type_identity_t<decltype(content(field))> damaged) {
    auto const before = content(field);
    ASSERT_NE(before, damaged) << what;
    field = damaged;
    EXPECT_FALSE(valid()) << what;
    field = before;
    EXPECT_TRUE(valid()) << what;
  }

  Registry<typename B::C>& registry() { return subject->global().space.registry(); }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  Heap* heap = nullptr;
  std::vector<void*> blocks;
};
// The mode has no part in what is damaged, but that metadata may lie out of line, as they do for the probe.
using TinyBuilds = ::testing::Types<Build<FastMode, TinyGeometry>, Build<ProbeMode, TinyGeometry>>;
TYPED_TEST_SUITE(HeapDamage, TinyBuilds, BuildName);

TYPED_TEST(HeapDamage, of_a_slab_is_noticed) {
  auto* const slab = this->allocate(TypeParam::G::kQuantum);
  ASSERT_EQ(slab->state, SlabState::kActive);
  auto* const super = slab->super;
  this->expect_noticed("index", slab->index, std::uint8_t{1});
  this->expect_noticed("super", slab->super, nullptr);
  this->expect_noticed("owner", super->title(slab->index).owner, TypeParam::Alloc::unattached());
  this->expect_noticed("distance to the head", slab->head_distance, std::uint8_t{1});
  if constexpr (!TypeParam::Alloc::SuperSlab::kInBand) {
    this->expect_noticed("where its blocks are", slab->reach.start, slab->reach.start + 16);
    this->expect_noticed("where its records are", slab->reach.records, slab->reach.records + 1);
    this->expect_noticed("the reciprocal of its block size", slab->reach.reciprocal, slab->reach.reciprocal + 1);
  }
  this->expect_noticed("countdown", slab->countdown, 0u);
  this->expect_noticed("state", slab->state, SlabState::kFull);
  this->expect_noticed("class", slab->size_class, std::uint8_t{1});
  SlabSets const sets = SlabSets::from(super->slabs.load());
  this->expect_noticed("dirty bit", super->slabs, SlabSets{sets.free, sets.dirty & ~1u}.word());
  this->expect_noticed("slabs in use", super->used_slabs, super->used_slabs + 1);
  this->expect_noticed("list of the SuperSlab", super->listed_available, false);
  this->expect_noticed("link back to no SuperSlab", super->prev, super);
  auto* const first = slab->free;
  auto* const following = first->next();
  first->set_next(first);
  EXPECT_FALSE(this->valid()) << "a circle of blocks";
  first->set_next(following);
  EXPECT_TRUE(this->valid());
}

TYPED_TEST(HeapDamage, of_any_mention_of_an_active_slab_is_noticed) {
  using G = typename TypeParam::G;
  auto* const slab = this->allocate(G::kQuantum);
  auto* const other = this->allocate(2 * G::kQuantum);
  ASSERT_EQ(slab->state, SlabState::kActive);
  ASSERT_EQ(other->state, SlabState::kActive);
  using Pointer = typename TestFixture::Slab*;
  auto* const words = reinterpret_cast<Pointer*>(this->heap);
  unsigned mentions = 0;
  for (std::size_t i = 0; i < sizeof *this->heap / sizeof *words; ++i) {
    if (words[i] != slab) continue;
    ++mentions;
    this->expect_noticed("another slab", words[i], other);
  }
  EXPECT_GE(mentions, 3u) << "in the table of sizes, in the bin, and as the one that is carved";
}

TYPED_TEST(HeapDamage, of_a_slab_in_no_span_to_which_a_block_comes_back_ends_the_process) {
  auto* const slab = this->allocate(TypeParam::G::kQuantum);
  EXPECT_DEATH(
      {
        slab->state = SlabState::kNone;
        slab->countdown = 1;
        this->heap->release(this->registry(), this->blocks.back());
      },
      "a block came back to a slab that has none out");
}

TYPED_TEST(HeapDamage, of_the_links_between_super_slabs_is_noticed_where_one_is_left_out) {
  using G = typename TypeParam::G;
  std::vector<typename TestFixture::Alloc::SuperSlab*> supers;
  for (unsigned i = 0; i < 4 * G::kSlabsPerSuperSlab; ++i) supers.push_back(this->allocate(G::kSlabBytes)->super);
  auto const between = std::find_if(supers.begin(), supers.end(), [](auto* each) { return each->prev && each->next; });
  ASSERT_NE(between, supers.end());
  auto* const middle = *between;
  middle->prev->next = middle->next;
  middle->next->prev = middle->prev;
  EXPECT_FALSE(this->valid());
  middle->prev->next = middle;
  middle->next->prev = middle;
  EXPECT_TRUE(this->valid());
}

TYPED_TEST(HeapDamage, of_a_list_of_blocks_is_noticed) {
  using C = typename TypeParam::C;
  auto* const slab = this->fill_slab();
  this->release_first_of(slab);
  auto* const free = slab->free;
  ASSERT_NE(free, nullptr);
  auto* const bytes = reinterpret_cast<std::byte*>(free);
  this->expect_noticed("below the blocks", slab->free, reinterpret_cast<Block<C>*>(slab->start() - 64));
  this->expect_noticed("behind the blocks", slab->free, slab->block(slab->capacity));
  this->expect_noticed("between blocks", slab->free, reinterpret_cast<Block<C>*>(bytes + 64));
  this->expect_noticed("an empty list", slab->free, nullptr);
  if (slab->first_offset() != 0)
    this->expect_noticed("in front of the blocks", slab->free, reinterpret_cast<Block<C>*>(slab->start()));
  free->set_next(free);
  EXPECT_FALSE(this->valid()) << "a circle";
  free->set_next(nullptr);
  EXPECT_TRUE(this->valid());
}

TYPED_TEST(HeapDamage, of_a_span_is_noticed) {
  auto* const head = this->allocate(3 * TypeParam::G::kSlabBytes - 64);
  ASSERT_EQ(head->state, SlabState::kSingle);
  ASSERT_EQ(head->slabs, 3);
  auto* const super = head->super;
  auto* const last = super->slab(head->index + 2u);
  this->expect_noticed("distance to the head", last->head_distance, std::uint8_t{1});
  this->expect_noticed("second head", last->state, SlabState::kActive);
  this->expect_noticed("second owner", super->title(head->index + 2u).owner, this->heap);
  this->expect_noticed("blocks", head->countdown, 2u);
  SlabSets const sets = SlabSets::from(super->slabs.load());
  std::uint32_t const bit = 1u << (head->index + 2u);
  this->expect_noticed("free bit", super->slabs, SlabSets{sets.free | bit, sets.dirty}.word());
}

TYPED_TEST(HeapDamage, of_a_bin_is_noticed) {
  auto* const full = this->fill_slab();
  auto* const partial = this->fill_slab();
  this->release_first_of(partial);
  auto* const active = this->heap->active_slab(TypeParam::G::kQuantum);
  ASSERT_EQ(full->state, SlabState::kFull);
  ASSERT_EQ(partial->state, SlabState::kPartial);
  ASSERT_TRUE(active->has_room());
  this->expect_noticed("link in the queue", partial->prev, full);
  this->expect_noticed("class of a queued slab", partial->size_class, std::uint8_t{1});
  this->expect_noticed("class of the slab that is carved", active->size_class, std::uint8_t{1});
  this->expect_noticed("room of the slab that is carved", active->capacity, active->carved);
  this->expect_noticed("count of a full slab", full->countdown, full->countdown + 1);

  // A slab that agrees with itself and not with the lists.
  std::uint32_t const used = full->used(), counted = full->countdown;
  full->state = SlabState::kActive;
  EXPECT_FALSE(this->valid()) << "a second active slab";
  full->state = SlabState::kPartial;
  full->countdown = used;
  EXPECT_FALSE(this->valid()) << "a partial slab in no queue";
  full->state = SlabState::kFull;
  full->countdown = counted;
  EXPECT_TRUE(this->valid());

  // The same of one that is queued.
  std::uint32_t const held = partial->countdown;
  partial->state = SlabState::kFull;
  partial->countdown = held + partial->regain() - partial->carved;
  EXPECT_FALSE(this->valid()) << "a full slab in the queue";
  partial->state = SlabState::kPartial;
  auto* const free = std::exchange(partial->free, nullptr);
  partial->countdown = partial->carved;
  EXPECT_FALSE(this->valid()) << "a queued slab without a free block";
  partial->free = free;
  partial->countdown = held;
  EXPECT_TRUE(this->valid());
}

TYPED_TEST(HeapDamage, of_an_active_slab_that_is_carved_to_its_end_is_noticed) {
  using G = typename TypeParam::G;
  auto* slab = this->allocate(G::kQuantum);
  while (slab->has_room()) this->allocate(G::kQuantum);
  ASSERT_EQ(slab->state, SlabState::kActive);
  this->expect_noticed("class", slab->size_class, std::uint8_t{1});
  std::uint32_t const counted = slab->countdown;
  slab->countdown = slab->carved - slab->listed();
  this->expect_noticed("state", slab->state, SlabState::kPartial);
  slab->countdown = counted;
}

TYPED_TEST(HeapDamage, of_the_list_of_full_super_slabs_is_noticed) {
  using G = typename TypeParam::G;
  auto* const super = this->allocate(G::kQuantum)->super;
  while (!super->exhausted()) this->allocate(G::kSlabBytes);
  ASSERT_FALSE(super->listed_available);
  ASSERT_TRUE(this->valid());
  this->expect_noticed("which list", super->listed_available, true);
  this->expect_noticed("slabs in use", super->used_slabs, super->used_slabs - 1);
  this->expect_noticed("link back to no SuperSlab", super->prev, super);
  this->expect_noticed("a slab of it", super->slab(0)->head_distance, std::uint8_t{1});
}

TYPED_TEST(HeapDamage, of_the_pool_is_noticed) {
  using SuperSlab = typename TypeParam::Alloc::SuperSlab;
  auto& pool = this->subject->global().pool;
  std::size_t const two = 2 * TypeParam::G::kSuperSlabBytes;
  for (bool const warm : {false, true}) {
    if (warm) {
      ASSERT_GE(this->subject->warm_up(two), two);
    }
    std::vector<SuperSlab*> pooled;
    while (SuperSlab* const super = pool.take_pooled(this->subject->global().space)) pooled.push_back(super);
    if (pooled.empty()) pooled.push_back(pool.map_new(this->subject->global().space));
    ASSERT_NE(pooled.front(), nullptr);
    for (SuperSlab* super : pooled) pool.put_back(super, 0);
    if (!warm) pool.purge(this->subject->global().space, 1, 0, SuperSlabPool<typename TypeParam::C>::kColdMax, 64);
    SuperSlab* const super = pooled.back();
    SlabSets const sets = SlabSets::from(super->slabs.load());
    this->expect_noticed("slabs in use", super->used_slabs, 1u);
    this->expect_noticed("list of a heap", super->listed_available, true);
    this->expect_noticed("free bit", super->slabs, SlabSets{sets.free & ~1u, sets.dirty}.word());
    this->expect_noticed("link back", super->prev, super);
    while (pooled.size() < 3) {
      pooled.push_back(pool.map_new(this->subject->global().space));
      pool.put_back(pooled.back(), 0);
      if (!warm) pool.purge(this->subject->global().space, 1, 0, SuperSlabPool<typename TypeParam::C>::kColdMax, 64);
    }
    auto const between =
        std::find_if(pooled.begin(), pooled.end(), [](SuperSlab* each) { return each->prev && each->next; });
    ASSERT_NE(between, pooled.end());
    SuperSlab* const middle = *between;
    middle->prev->next = middle->next;
    middle->next->prev = middle->prev;
    EXPECT_FALSE(this->valid()) << "one is left out";
    middle->prev->next = middle;
    middle->next->prev = middle;
    EXPECT_TRUE(this->valid());
  }
}

// A block that touches no other of its kind.
template <class B>
LargeBlock* large_range(typename B::Alloc& subject, typename B::Alloc::Heap* heap) {
  constexpr std::size_t kBytes = 4 * B::G::kSuperSlabBytes;
  return subject.global().space.registry().find(subject.allocate_aligned(heap, kBytes, 4 * kBytes)).large();
}

TEST(HeapDamageOfLargeBlocks, of_the_cache_is_noticed) {
  using B = Build<FastMode, TinyGeometry>;
  FaultyLinux::reset();
  auto const subject = std::make_unique<B::Alloc>();
  B::Alloc::Heap* const heap = subject->attach();
  void* const address = subject->allocate(heap, 4 * B::G::kSuperSlabBytes);
  LargeBlock* const block = subject->global().space.registry().find(address).large();
  ASSERT_NE(block, nullptr);
  subject->release(heap, address);
  ASSERT_TRUE(subject->validate(heap));
  block->bytes += 1;
  EXPECT_FALSE(subject->validate(heap)) << "bytes";
  block->bytes -= 1;
  block->prev = block;
  EXPECT_FALSE(subject->validate(heap)) << "link back";
  block->prev = nullptr;
  EXPECT_TRUE(subject->validate(heap));
  subject->detach(heap);
  EXPECT_TRUE(all_given_back(*subject));
}

TEST(HeapDamageOfLargeBlocks, of_the_cache_is_noticed_where_one_is_left_out) {
  using B = Build<FastMode, TinyGeometry>;
  FaultyLinux::reset();
  auto const subject = std::make_unique<B::Alloc>();
  B::Alloc::Heap* const heap = subject->attach();
  LargeBlock* ranges[3];
  for (LargeBlock*& range : ranges) range = large_range<B>(*subject, heap);
  for (LargeBlock* range : ranges) subject->release(heap, range->base);
  LargeBlock* const middle = ranges[1];
  auto const leave_out = [&](bool out) {
    middle->prev->next = out ? middle->next : middle;
    middle->next->prev = out ? middle->prev : middle;
    middle->next->bytes = (out ? 2 : 1) * middle->bytes;
  };
  leave_out(true);
  EXPECT_FALSE(subject->validate(heap));
  leave_out(false);
  EXPECT_TRUE(subject->validate(heap));
}

TEST(HeapDamageOfLargeBlocks, of_the_cache_is_noticed_where_two_ranges_touch) {
  using B = Build<FastMode, TinyGeometry>;
  FaultyLinux::reset();
  auto const subject = std::make_unique<B::Alloc>();
  B::Alloc::Heap* const heap = subject->attach();
  LargeBlock* ranges[2];
  for (LargeBlock*& range : ranges) range = large_range<B>(*subject, heap);
  for (LargeBlock* range : ranges) subject->release(heap, range->base);
  EXPECT_TRUE(subject->validate(heap));
  std::byte* const base = ranges[0]->base;
  ranges[0]->base = ranges[1]->base - ranges[0]->bytes;
  EXPECT_FALSE(subject->validate(heap));
  ranges[0]->base = base;
  EXPECT_TRUE(subject->validate(heap));
}

TEST(HeapDamageOfLargeBlocks, of_those_between_guards_is_noticed_in_use_and_in_their_graves) {
  using B = Build<ProbeMode, TinyGeometry>;
  FaultyLinux::reset();
  auto const subject = std::make_unique<B::Alloc>();
  B::Alloc::Heap* const heap = subject->attach();
  void* const address = subject->allocate(heap, 4 * B::G::kSuperSlabBytes);
  auto* const block = static_cast<LargeBlock*>(subject->find(address).descriptor);
  auto const expect_noticed = [&](char const* where) {
    block->prev = block;
    EXPECT_FALSE(subject->validate(heap)) << where;
    block->prev = nullptr;
    EXPECT_TRUE(subject->validate(heap)) << where;
  };
  expect_noticed("in use");
  subject->release(heap, address);
  expect_noticed("a grave");
  subject->detach(heap);
  EXPECT_TRUE(all_given_back(*subject));
}

}  // namespace
}  // namespace hakmem::testing
