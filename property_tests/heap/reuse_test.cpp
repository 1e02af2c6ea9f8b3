// The short way of malloc from a slab that ran dry to the next one of its class that has room.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "property_tests/model/allocators.h"
#include "property_tests/model/build_kind.h"

namespace hakmem::testing {
namespace {

template <class B>
class HeapReuse : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using G = typename B::G;
  using Slab = typename Alloc::Slab;
  static constexpr std::size_t kBytes = G::kQuantum;

  HeapReuse() {
    FaultyLinux::reset();
    subject->configure({});
    heap = subject->attach();
  }
  void TearDown() override {
    for (auto const& [slab, blocks] : held)
      for (void* block : blocks) subject->release(heap, block);
    EXPECT_TRUE(subject->validate(heap));
    subject->detach(heap);
    EXPECT_TRUE(all_given_back(*subject));
  }

  Slab* active() { return Alloc::active_slab(heap, kBytes); }
  Slab* slab_of(void* block) { return Alloc::Heap::slab_of(subject->global().space.registry(), block); }
  void keep(void* block) { held[slab_of(block)].push_back(block); }

  // Fills so many slabs, and gives blocks of the first ones back, in this order: the slabs that have room. All blocks
  // but one, or as few as make a slab wait for its turn.
  enum class Room { kMost, kLeast };
  std::vector<Slab*> make_room(unsigned filled, unsigned with_room, Room room = Room::kMost) {
    std::vector<Slab*> slabs;
    while (held.size() < filled) {
      void* const block = subject->allocate(heap, kBytes);
      if (held.find(slab_of(block)) == held.end()) slabs.push_back(slab_of(block));
      keep(block);
    }
    slabs.resize(with_room);
    for (Slab* slab : slabs)
      for (std::size_t left = room == Room::kLeast ? slab->regain() : held[slab].size() - 1; left > 0; --left) {
        subject->release(heap, held[slab].back());
        held[slab].pop_back();
      }
    run_dry();
    return slabs;
  }
  void run_dry() {
    while (void* const block = Alloc::pop(active())) keep(block);
  }
  std::uint64_t blocks_held() {
    std::uint64_t count = 0;
    for (auto const& [slab, blocks] : held) count += blocks.size();
    return count;
  }
  void expect_exact() {
    EXPECT_TRUE(subject->validate(heap));
    EXPECT_EQ(subject->statistics(heap).small_blocks_now, blocks_held());
  }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  typename Alloc::Heap* heap = nullptr;
  std::map<Slab*, std::vector<void*>> held;
};
using FastBuilds = ::testing::Types<Build<FastMode, TinyGeometry>, Build<FastMode, DefaultGeometry>>;
TYPED_TEST_SUITE(HeapReuse, FastBuilds, BuildName);

TYPED_TEST(HeapReuse, takes_the_slab_that_waited_longest_and_then_no_other) {
  for (auto* const slab : this->make_room(4, 2)) {
    std::uint64_t const before = this->subject->statistics(this->heap).small_blocks_handed_out;
    auto* const dry = this->active();
    std::uint32_t const listed = slab->listed();
    void* const block = this->heap->allocate_where_room(dry);
    ASSERT_NE(block, nullptr);
    this->keep(block);
    EXPECT_EQ(this->slab_of(block), slab);
    EXPECT_EQ(this->active(), slab);
    EXPECT_EQ(dry->state, SlabState::kFull);
    EXPECT_EQ(this->subject->statistics(this->heap).small_blocks_handed_out - before, listed);
    this->expect_exact();
    this->run_dry();
    this->expect_exact();
  }
  auto* const last = this->active();
  EXPECT_EQ(this->heap->allocate_where_room(last), nullptr);
  EXPECT_EQ(this->active(), last);
  this->expect_exact();
}

TYPED_TEST(HeapReuse, takes_a_slab_with_no_more_room_than_it_must_have) {
  auto* const slab = this->make_room(3, 1, TestFixture::Room::kLeast)[0];
  EXPECT_EQ(slab->listed(), slab->regain());
  void* const block = this->heap->allocate_where_room(this->active());
  ASSERT_NE(block, nullptr);
  this->keep(block);
  this->expect_exact();
}

TYPED_TEST(HeapReuse, leaves_what_other_threads_gave_back_to_refill) {
  this->make_room(4, 2);
  auto* const other = this->subject->attach();
  auto& blocks = this->held.rbegin()->second;
  this->subject->release(other, blocks.back());
  blocks.pop_back();
  other->tidy();
  EXPECT_EQ(this->heap->allocate_where_room(this->active()), nullptr);
  this->heap->drain_inbox();
  this->run_dry();
  void* const block = this->heap->allocate_where_room(this->active());
  ASSERT_NE(block, nullptr);
  this->keep(block);
  this->expect_exact();
  this->subject->detach(other);
}

TYPED_TEST(HeapReuse, knows_nothing_of_a_class_that_was_never_used) {
  this->make_room(4, 2);
  auto* const none = TestFixture::Alloc::active_slab(this->heap, TestFixture::G::kDirectMax);
  EXPECT_EQ(this->heap->allocate_where_room(none), nullptr);
  EXPECT_EQ(TestFixture::Alloc::unattached()->allocate_where_room(none), nullptr);
  this->expect_exact();
}

}  // namespace
}  // namespace hakmem::testing
