// From any address to the block that covers it, or to none: for clients that are not trusted.
#include "core/heap/resolver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "property_tests/model/allocators.h"

namespace hakmem::testing {
namespace {

template <class B>
class HeapResolver : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;

  HeapResolver() {
    FaultyLinux::reset();
    heap = subject->attach();
  }
  void TearDown() override {
    EXPECT_TRUE(subject->validate(heap));
    subject->detach(heap);
    EXPECT_TRUE(all_given_back(*subject));
  }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  typename Alloc::Heap* heap = nullptr;
};
// Not the checked build, in which the block of a wrong address ends the process.
using ProbeBuilds = ::testing::Types<Build<ProbeMode, TinyGeometry>, Build<ProbeMode, DefaultGeometry>>;
TYPED_TEST_SUITE(HeapResolver, ProbeBuilds, BuildName);

TYPED_TEST(HeapResolver, an_address_that_no_block_covers_leads_to_none_and_takes_none_back) {
  using G = typename TypeParam::G;
  void* const block = this->subject->allocate(this->heap, 100);
  auto* const slab = this->heap->slab_of(this->subject->global().space.registry(), block)->head();
  std::byte* const base = slab->start() - slab->index * G::kSlabBytes;
  std::byte* const never_used = base + G::kSuperSlabBytes - G::kSlabBytes + 64;
  std::byte* const behind_the_last = slab->start() + slab->slabs * G::kSlabBytes - 16;
  for (std::byte* const address : {never_used, behind_the_last}) {
    EXPECT_EQ(this->subject->find(address).where, BlockPlace::Where::kBetween);
    std::uint64_t const refused = ProbeMode::refused, held = this->subject->statistics(this->heap).small_blocks_now;
    this->subject->release(this->heap, address);
    EXPECT_EQ(ProbeMode::refused, refused + 1);
    EXPECT_EQ(this->subject->statistics(this->heap).small_blocks_now, held);
  }
  this->subject->release(this->heap, block);
}

// Otherwise the long way would do the same, and only be slower.
TYPED_TEST(HeapResolver, the_short_way_takes_back_blocks_that_others_follow_and_nothing_else) {
  using G = typename TypeParam::G;
  using Short = Ordinary<typename TypeParam::C>;
  auto const& registry = this->subject->global().space.registry();
  void* const block = this->subject->allocate(this->heap, 100);
  void* const large = this->subject->allocate(this->heap, 2 * G::kSuperSlabBytes);
  std::size_t bytes = 0;
  EXPECT_TRUE(Short::find_bytes(registry, ClientPtr(block), bytes));
  EXPECT_EQ(bytes, 100u);
  EXPECT_FALSE(Short::find_bytes(registry, ClientPtr(large), bytes));
  EXPECT_FALSE(this->subject->release_ordinary(this->heap, large, {}));
  EXPECT_FALSE(this->subject->release_ordinary(this->heap, static_cast<std::byte*>(block) + 16, {}));
  EXPECT_FALSE(this->subject->release_ordinary(this->subject->unattached(), block, {})) << "there is no quarantine";
  EXPECT_TRUE(this->subject->release_ordinary(this->heap, block, {}));
  EXPECT_FALSE(this->subject->release_ordinary(this->heap, block, {}));
  EXPECT_EQ(this->subject->allocate_ordinary(this->heap, 100, AllocationKind::kMalloc), block);
  this->subject->release(this->heap, block);
  this->subject->release(this->heap, large);
}

// What lies in front of a SuperSlab and behind its slabs is a guard, or nobody's.
TEST(HeapOrdinary, reads_no_header_outside_of_the_slabs) {
  using B = Build<HardenedMode, DefaultGeometry>;
  FaultyLinux::reset();
  auto const subject = std::make_unique<B::Alloc>();
  subject->configure(without_quarantine());
  auto* const heap = subject->attach();
  void* const block = subject->allocate(heap, 100);
  auto const& space = subject->global().space;
  auto* const super = space.registry().find(block).super_slab();
  std::byte* const behind = super->base + SuperSlab<B::C>::kUsableBytes;
  std::size_t bytes = 0;
  for (std::byte* const outside : {super->base, super->base + 15, behind, behind + 16, behind + 17,
                                   super->base + B::G::kSuperSlabBytes - 1})
    EXPECT_FALSE(Ordinary<B::C>::find_bytes(space.registry(), ClientPtr(outside), bytes));
  EXPECT_FALSE(Ordinary<B::C>::find_bytes(space.registry(), ClientPtr(super->base + 24), bytes)) << "no start";
  EXPECT_FALSE(Ordinary<B::C>::find_bytes(space.registry(), ClientPtr(behind - 16), bytes)) << "nor there";
  EXPECT_TRUE(Ordinary<B::C>::find_bytes(space.registry(), ClientPtr(block), bytes));
  subject->release(heap, block);
  subject->detach(heap);
}

TYPED_TEST(HeapResolver, every_address_of_a_span_leads_to_the_block_that_covers_it) {
  using G = typename TypeParam::G;
  using Resolve = Resolver<typename TypeParam::C>;
  auto const& registry = this->subject->global().space.registry();
  std::vector<void*> blocks;
  for (unsigned index = 0; index < G::kClassCount; ++index) {
    std::size_t const size = kernels::size_of_class<G>(index);
    if (size <= sizeof(ProbeMode::Header)) continue;
    void* const one = this->subject->allocate(this->heap, size - sizeof(ProbeMode::Header));
    auto* const slab = this->heap->slab_of(registry, one)->head();
    blocks.push_back(one);
    while (slab->has_room()) blocks.push_back(this->subject->allocate(this->heap, size - sizeof(ProbeMode::Header)));
    std::byte* const begin = slab->start();
    std::byte* const end = begin + slab->slabs * G::kSlabBytes;
    std::byte* const first = begin + slab->first_offset();
    for (std::byte* at = begin; at < end; at += size < 256 ? 1 : size / 16 - 1) {
      BlockPlace const place = Resolve::find(registry, at);
      auto const number = static_cast<unsigned>((at - first) / static_cast<std::ptrdiff_t>(size));
      if (at < first || number >= slab->capacity) {
        ASSERT_EQ(place.where, BlockPlace::Where::kBetween) << "class " << index << ", " << at - begin;
        continue;
      }
      ASSERT_EQ(place.where, BlockPlace::Where::kSmall);
      ASSERT_EQ(place.start, first + number * size);
      ASSERT_EQ(place.bytes, size);
      ASSERT_EQ(place.first, number == 0);
      ASSERT_EQ(place.last, number + 1 == slab->capacity);
      ASSERT_EQ(place.tail, place.last && place.start + size + ProbeMode::kSpanTailBytes <= end);
      ASSERT_EQ(place.record, slab->record(number));
      ASSERT_EQ(place.descriptor, slab);
    }
  }
  for (void* block : blocks) this->subject->release(this->heap, block);
}

TYPED_TEST(HeapResolver, an_address_between_two_super_slabs_leads_to_the_nearest_block_that_was_handed_out) {
  using G = typename TypeParam::G;
  auto const& registry = this->subject->global().space.registry();
  std::map<std::byte*, std::pair<std::byte*, std::byte*>> slabs;  // the blocks of each that lie first and last
  auto const expect = [&](std::byte* from, std::byte* block) {
    for (std::size_t const offset : {std::size_t{0}, G::kSlabBytes / 4, G::kSlabBytes / 2 - 1}) {
      BlockPlace const place = this->subject->find(from + offset);
      ASSERT_EQ(place.start, block);
      ASSERT_EQ(place.where, block ? BlockPlace::Where::kSmall : BlockPlace::Where::kBetween);
    }
  };
  std::vector<void*> blocks;
  unsigned in_front = 0, behind = 0, none_behind = 0;
  while (in_front < 50 || behind < 5) {
    ASSERT_LT(this->subject->statistics().super_slabs_now, 20u);
    blocks.push_back(this->subject->allocate(this->heap, G::kSmallMax / 32));
    BlockPlace const place = this->subject->find(blocks.back());
    auto const bits = reinterpret_cast<std::uintptr_t>(place.start);
    std::byte* const base = place.start - (bits & G::kSuperSlabMask);
    std::byte* const slab = place.start - bits % G::kSlabBytes;
    auto& [first, last] = slabs.try_emplace(slab, place.start, place.start).first->second;
    first = std::min(first, place.start);
    last = std::max(last, place.start);
    std::byte* const guard = base + TypeParam::Alloc::SuperSlab::kUsableBytes;
    if (slab == guard - G::kSlabBytes) {
      ++in_front;
      expect(guard, last);
    }
    if (slab == base && !slabs.contains(guard - G::kSlabBytes)) expect(guard, nullptr);
    if (!registry.find(guard + G::kSlabBytes).super_slab()) {
      ++none_behind;
      expect(guard + G::kSlabBytes / 2, nullptr);
    }
    if (slab == base && registry.find(base - 1).super_slab()) {
      ++behind;
      expect(base - G::kSlabBytes / 2, first);
    }
  }
  EXPECT_GT(none_behind, 0u);
  for (void* block : blocks) this->subject->release(this->heap, block);
}

}  // namespace
}  // namespace hakmem::testing
