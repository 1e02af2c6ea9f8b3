// Where blocks lie and when they stay there: reallocation in place, spans of one block, blocks with
// guard pages.
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "property_tests/model/allocators.h"

namespace hakmem::testing {
namespace {

template <class B>
class HeapPlace : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using Heap = typename Alloc::Heap;
  using C = typename B::C;
  using Geo = typename B::G;

  HeapPlace() {
    FaultyLinux::reset();
    heap = subject->attach();
  }
  void TearDown() override {
    FaultyLinux::set_plan({});
    ProbeMode::guards = ProbeMode::resizes = false;
    EXPECT_TRUE(subject->validate(heap));
    subject->detach(heap);
    EXPECT_TRUE(all_given_back(*subject));
  }

  // Every size at which something changes, and its neighbours, up to the largest in a SuperSlab.
  static std::vector<std::size_t> sizes() {
    std::vector<std::size_t> found;
    for (std::size_t const edge : {Geo::kQuantum, 2 * Geo::kQuantum, 3 * Geo::kQuantum, Geo::kSmallMax, Geo::kClassMax,
                                   Geo::kClassMax + Geo::kSlabBytes, 2 * Geo::kClassMax, 3 * Geo::kClassMax,
                                   4 * Geo::kClassMax, Geo::kMediumMax / 2, Geo::kMediumMax})
      for (std::size_t const bytes : {edge - 16, edge - 1, edge, edge + 1})
        if (bytes <= Geo::kMediumMax) found.push_back(bytes);
    return found;
  }
  static std::size_t slabs_for(std::size_t bytes) { return kernels::align_up(bytes, Geo::kSlabBytes); }
  static bool more_than_half(std::size_t wanted, std::size_t have) {
    return wanted <= have && (wanted > have / 2 || have <= 2 * Geo::kQuantum);
  }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  Heap* heap = nullptr;
};

template <class B>
using HeapPlaceFast = HeapPlace<B>;
using FastBuilds = ::testing::Types<Build<FastMode, TinyGeometry>, Build<FastMode, DefaultGeometry>>;
TYPED_TEST_SUITE(HeapPlaceFast, FastBuilds, BuildName);
// Not the checked build: whether a block has guards and grows where it stands is what the test says.
template <class B>
using HeapPlaceProbe = HeapPlace<B>;
using ProbeBuilds = ::testing::Types<Build<ProbeMode, TinyGeometry>, Build<ProbeMode, DefaultGeometry>>;
TYPED_TEST_SUITE(HeapPlaceProbe, ProbeBuilds, BuildName);

TYPED_TEST(HeapPlaceFast, a_block_is_kept_exactly_while_it_uses_more_than_half_of_it_or_is_cut_to_whole_slabs) {
  using G = typename TypeParam::G;
  for (std::size_t const from : this->sizes()) {
    for (std::size_t const to : this->sizes()) {
      void* const block = this->subject->allocate(this->heap, from);
      std::size_t const have = this->subject->usable_bytes(block);
      bool const cut = have > G::kClassMax && to > G::kClassMax;
      void* const after = this->subject->reallocate(this->heap, block, to);
      if (!cut || to <= have) {
        EXPECT_EQ(after == block, cut || this->more_than_half(to, have)) << from << " to " << to;
      }
      if (cut) {
        EXPECT_EQ(this->subject->usable_bytes(after), this->slabs_for(to)) << from << " to " << to;
      } else if (after == block) {
        EXPECT_EQ(this->subject->usable_bytes(after), have);
      }
      this->subject->release(this->heap, after);
    }
  }
}

TYPED_TEST(HeapPlaceFast, a_block_is_as_large_as_its_class_or_as_whole_slabs_and_no_larger) {
  using G = typename TypeParam::G;
  for (std::size_t const bytes : this->sizes()) {
    void* const block = this->subject->allocate(this->heap, bytes);
    std::size_t const expected =
        bytes > G::kClassMax ? this->slabs_for(bytes) : kernels::size_of_class<G>(kernels::class_of_size<G>(bytes));
    EXPECT_EQ(this->subject->usable_bytes(block), expected) << bytes;
    this->subject->release(this->heap, block);
  }
}

// Three slabs each: in a row, or as far apart as the alignment demands.
TYPED_TEST(HeapPlaceFast, aligned_spans_of_one_block_lie_as_close_as_their_alignment_allows) {
  using G = typename TypeParam::G;
  for (std::size_t const slabs : {1u, 2u, 4u}) {
    if (kTiny<TypeParam> && slabs > 1) continue;  // two do not fit into a SuperSlab
    std::size_t const alignment = slabs * G::kSlabBytes;
    void* const one = this->subject->allocate_aligned(this->heap, 3 * G::kSlabBytes, alignment);
    void* const two = this->subject->allocate_aligned(this->heap, 3 * G::kSlabBytes, alignment);
    EXPECT_EQ(static_cast<std::size_t>(static_cast<std::byte*>(two) - static_cast<std::byte*>(one)),
              kernels::align_up(3 * G::kSlabBytes, alignment));
    this->subject->release(this->heap, two);
    this->subject->release(this->heap, one);
    this->subject->trim(this->heap);
  }
}

TYPED_TEST(HeapPlaceFast, a_block_of_another_heap_is_kept_while_it_uses_more_than_half_of_it) {
  auto* const other = this->subject->attach();
  for (std::size_t const from : this->sizes()) {
    for (std::size_t const to : this->sizes()) {
      void* const block = this->subject->allocate(this->heap, from);
      std::size_t const have = this->subject->usable_bytes(block);
      void* const after = this->subject->reallocate(other, block, to);
      EXPECT_EQ(after == block, this->more_than_half(to, have)) << from << " to " << to;
      this->subject->release(after == block ? this->heap : other, after);
    }
  }
  this->subject->detach(other);
}

TYPED_TEST(HeapPlaceFast, a_large_block_that_would_fit_into_a_super_slab_moves_there) {
  using G = typename TypeParam::G;
  for (std::size_t const to : {std::size_t{1}, G::kClassMax, G::kMediumMax, G::kMediumMax + 1, G::kSuperSlabBytes}) {
    void* const block = this->subject->allocate(this->heap, G::kSuperSlabBytes + 1);
    void* const after = this->subject->reallocate(this->heap, block, to);
    EXPECT_EQ(after == block, to > G::kMediumMax) << to;
    EXPECT_EQ(this->subject->statistics().large_blocks_now, to > G::kMediumMax ? 1u : 0u);
    this->subject->release(this->heap, after);
  }
}

// In a SuperSlab of its own, a span of one block grows over free neighbours up to its last slab.
TYPED_TEST(HeapPlaceFast, a_span_of_one_block_grows_where_it_stands_exactly_while_the_slabs_behind_it_are_free) {
  using G = typename TypeParam::G;
  constexpr std::size_t kFirst = G::kClassMax + 1, kMost = G::kMediumMax;
  constexpr std::size_t kSlabs = (kFirst + G::kSlabBytes - 1) / G::kSlabBytes;
  for (std::size_t apart = kSlabs; apart * G::kSlabBytes <= kMost - G::kSlabBytes; ++apart) {
    void* const block = this->subject->allocate(this->heap, apart * G::kSlabBytes);
    void* const behind = this->subject->allocate(this->heap, kFirst);
    ASSERT_EQ(static_cast<std::byte*>(behind) - static_cast<std::byte*>(block),
              static_cast<std::ptrdiff_t>(apart * G::kSlabBytes));
    if (apart > kSlabs) {
      ASSERT_EQ(this->subject->reallocate(this->heap, block, kFirst), block);
      EXPECT_EQ(this->subject->reallocate(this->heap, block, apart * G::kSlabBytes), block);
    }
    EXPECT_TRUE(this->subject->validate(this->heap));
    void* const moved = this->subject->reallocate(this->heap, block, apart * G::kSlabBytes + 1);
    EXPECT_NE(moved, block);
    this->subject->release(this->heap, moved);
    this->subject->release(this->heap, behind);
    EXPECT_TRUE(this->subject->validate(this->heap));
  }
}

TYPED_TEST(HeapPlaceFast, a_span_of_one_block_grows_to_the_end_of_its_super_slab_and_not_beyond) {
  using G = typename TypeParam::G;
  std::vector<void*> blocks{this->subject->allocate(this->heap, 1)};  // in the slab that no span of one block takes
  auto const last_slab = [](void* block) {
    return (reinterpret_cast<std::uintptr_t>(block) & G::kSuperSlabMask) / G::kSlabBytes;
  };
  constexpr std::size_t kBytes = G::kClassMax + 1;
  constexpr std::size_t kSlabs = (kBytes + G::kSlabBytes - 1) / G::kSlabBytes;
  // The slabs behind the last span that fits stay free, two of them or more.
  constexpr std::size_t kLast = (G::kSlabsPerSuperSlab - 1 - 2) / kSlabs * kSlabs + 1 - kSlabs;
  do blocks.push_back(this->subject->allocate(this->heap, kBytes));
  while (last_slab(blocks.back()) != kLast);
  std::size_t const room = (G::kSlabsPerSuperSlab - kLast) * G::kSlabBytes;
  void* const block = blocks.back();
  EXPECT_EQ(this->subject->reallocate(this->heap, block, room), block);
  EXPECT_TRUE(this->subject->validate(this->heap)) << "a SuperSlab that is used up now";
  void* const moved = this->subject->reallocate(this->heap, block, room + 1);
  EXPECT_NE(moved, block);
  blocks.back() = moved;
  for (void* each : blocks) this->subject->release(this->heap, each);
}

TYPED_TEST(HeapPlaceProbe, a_block_is_kept_exactly_while_what_the_mode_adds_uses_more_than_half_of_it) {
  using G = typename TypeParam::G;
  ProbeMode::resizes = true;
  for (std::size_t const from : this->sizes()) {
    for (std::size_t const to : this->sizes()) {
      std::size_t const padded = ProbeMode::padded_bytes(to, kMinAlignment);
      void* const block = this->subject->allocate(this->heap, from);
      BlockPlace const place = this->subject->find(block);
      bool const small = place.where == BlockPlace::Where::kSmall;
      void* const after = this->subject->reallocate(this->heap, block, to);
      EXPECT_EQ(after == block, small && this->more_than_half(padded, place.bytes)) << from << " to " << to;
      EXPECT_EQ(this->subject->usable_bytes(after), to);
      this->subject->release(this->heap, after);
    }
  }
  void* const large = this->subject->allocate(this->heap, G::kMediumMax + 1);
  void* const moved = this->subject->reallocate(this->heap, large, G::kMediumMax + 2);
  EXPECT_NE(moved, large) << "a block with guard pages";
  this->subject->release(this->heap, moved);
}

TYPED_TEST(HeapPlaceProbe, what_is_no_block_has_no_size_and_is_not_reallocated) {
  for (std::size_t const bytes : {std::size_t{100}, TypeParam::G::kMediumMax / 2}) {
    void* const block = this->subject->allocate(this->heap, bytes);
    EXPECT_EQ(this->subject->usable_bytes(block), bytes);
    this->subject->release(this->heap, block);
    EXPECT_EQ(this->subject->usable_bytes(block), 0u);
    EXPECT_EQ(this->subject->reallocate(this->heap, block, bytes), nullptr);
  }
}

TYPED_TEST(HeapPlaceProbe, all_free_memory_is_given_back_for_the_largest_request_and_none_for_a_larger_one) {
  void* const block = this->subject->allocate(this->heap, 100);
  this->subject->warm_up(TypeParam::Alloc::SuperSlab::kUsableBytes);
  auto const warm_after = [&](std::size_t bytes) {
    EXPECT_EQ(this->subject->reallocate(this->heap, block, bytes), nullptr);
    return this->subject->statistics().super_slabs_warm_now;
  };
  EXPECT_EQ(warm_after(kernels::kMaxRequest + 1), 1u);
  EXPECT_EQ(warm_after(kernels::kMaxRequest), 0u);
  EXPECT_EQ(this->subject->usable_bytes(block), 100u);
  this->subject->release(this->heap, block);
}

TYPED_TEST(HeapPlaceProbe, no_block_ever_lies_in_the_last_slab_of_a_super_slab) {
  using Super = typename TypeParam::Alloc::SuperSlab;
  using G = typename TypeParam::G;
  constexpr unsigned kLast = G::kSlabsPerSuperSlab - 1;
  Random random(5);
  std::vector<void*> blocks;
  auto const sizes = this->sizes();
  unsigned small = 0;
  for (int step = 0; step < 6000; ++step) {
    std::size_t const bytes = sizes[random.below(sizes.size())];
    std::size_t const alignment = std::size_t{1} << random.below(log2_exact(2 * G::kMediumMax));
    void* const block = random.one_in(3) ? this->subject->allocate_aligned(this->heap, bytes, alignment)
                                         : this->subject->allocate(this->heap, bytes);
    if (this->subject->global().space.registry().find(block).super_slab()) {
      ++small;
      ASSERT_LE((reinterpret_cast<std::uintptr_t>(block) & G::kSuperSlabMask) + bytes, kLast * G::kSlabBytes);
    }
    blocks.push_back(block);
    if (blocks.size() < 300) continue;
    std::swap(blocks.back(), blocks[random.below(blocks.size())]);
    this->subject->release(this->heap, blocks.back());
    blocks.pop_back();
    if (random.one_in(500)) this->subject->trim(this->heap);
  }
  EXPECT_GT(small, 1000u);
  EXPECT_TRUE(this->subject->validate(this->heap));
  for (Super* super = this->subject->global().pool.all(); super; super = super->all_next) {
    SlabSets const sets = SlabSets::from(super->slabs.load());
    EXPECT_EQ((sets.free | sets.dirty) >> kLast, 0u);
  }
  for (void* block : blocks) this->subject->release(this->heap, block);
}

TYPED_TEST(HeapPlaceProbe, every_address_of_a_large_block_leads_to_it) {
  using G = typename TypeParam::G;
  void* const block = this->subject->allocate(this->heap, 3 * G::kSuperSlabBytes);
  BlockPlace const place = this->subject->find(block);
  EXPECT_EQ(place.where, BlockPlace::Where::kLarge);
  EXPECT_TRUE(place.first && place.last);
  EXPECT_GE(place.bytes, 3 * G::kSuperSlabBytes);
  auto* const large = static_cast<LargeBlock*>(place.descriptor);
  EXPECT_EQ(place.start, large->start());
  EXPECT_EQ(place.record, &large->record);
  for (std::size_t offset = 0; offset < large->mapped(); offset += Linux::page_bytes())
    ASSERT_EQ(this->subject->find(large->base + offset).descriptor, large) << offset;
  EXPECT_EQ(this->subject->find(nullptr).where, BlockPlace::Where::kNowhere);
  this->subject->release(this->heap, block);
}

TYPED_TEST(HeapPlaceProbe, a_sweep_finds_the_one_block_that_is_damaged) {
  using G = typename TypeParam::G;
  std::vector<void*> blocks;
  for (std::size_t const bytes : {std::size_t{100}, G::kClassMax, G::kMediumMax / 2, G::kMediumMax + 1})
    for (int i = 0; i < 3; ++i) blocks.push_back(this->subject->allocate(this->heap, bytes));
  EXPECT_TRUE(this->subject->sweep());
  for (void* block : blocks) {
    ProbeMode::damaged = this->subject->find(block).record;
    EXPECT_FALSE(this->subject->sweep());
  }
  ProbeMode::damaged = nullptr;
  for (void* block : blocks) this->subject->release(this->heap, block);
}

TYPED_TEST(HeapPlaceProbe, a_block_chosen_for_guard_pages_gets_them_unless_memory_or_mappings_are_short) {
  auto const held = [this] {
    Statistics const now = this->subject->statistics(this->heap);
    return std::pair{now.small_blocks_now, now.large_blocks_now};
  };
  using Counts = std::pair<std::uint64_t, std::uint64_t>;
  void* const plain = this->subject->allocate(this->heap, 100);
  ProbeMode::guards = true;
  for (std::size_t const bytes : {std::size_t{100}, std::size_t{5000}}) {
    void* const guarded = this->subject->allocate(this->heap, bytes);
    EXPECT_EQ(held(), (Counts{1, 1})) << "one block serves one request";
    EXPECT_EQ(this->subject->find(guarded).where, BlockPlace::Where::kLarge);
    this->subject->release(this->heap, guarded);
  }
  this->subject->trim(this->heap);  // no unit is open that would have room
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  void* const without_memory = this->subject->allocate(this->heap, 100);
  FaultyLinux::set_plan({});
  FaultyLinux::set_mappings(0, 2);
  ::testing::internal::CaptureStderr();
  void* const without_mappings = this->subject->allocate(this->heap, 100);
  EXPECT_NE(::testing::internal::GetCapturedStderr(), "");
  FaultyLinux::set_mappings(0, 0);
  EXPECT_EQ(held(), (Counts{3, 0}));
  for (void* block : {plain, without_memory, without_mappings}) this->subject->release(this->heap, block);
}

}  // namespace
}  // namespace hakmem::testing
