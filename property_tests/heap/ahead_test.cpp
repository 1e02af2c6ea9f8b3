// What a heap makes resident ahead of use while it is not large: stretches of its slabs, and of their records
// (core/heap/heap_prefault.h).
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "property_tests/kernel_view.h"
#include "property_tests/model/allocators.h"
#include "property_tests/model/shadow_heap.h"

namespace hakmem::testing {
namespace {

template <class B>
class HeapAhead : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using G = typename B::G;
  static constexpr bool kRecords = !B::Mode::kMetadataInBand;
  static constexpr std::size_t kStretch = (kRecords ? 32 : 16) * kKiB;

  void SetUp() override {
    FaultyLinux::reset();
    settings.prefault = PrefaultPolicy::kAhead;
    begin();
  }
  // With the settings as they are, before anything is allocated.
  void begin() {
    if (heap) subject->detach(heap);
    subject->configure(settings);
    heap = subject->attach();
  }
  void TearDown() override {
    shadow.expect_all_contents();
    EXPECT_TRUE(subject->validate(heap));
    shadow.release_all(heap);
    subject->detach(heap);
    EXPECT_TRUE(all_given_back(*subject));
  }

  // Blocks of a class until they take so many bytes, as the heap counts them.
  void fill(std::size_t size, std::size_t bytes) {
    for (std::size_t held = 0; held < bytes; held += block_bytes(size)) shadow.allocate(heap, size);
  }
  static std::size_t block_bytes(std::size_t size) {
    return kernels::size_of_class<G>(kernels::class_of_size<G>(B::Mode::padded_bytes(size, kMinAlignment)));
  }
  static std::uint64_t calls() { return FaultyLinux::calls(OsCall::kPopulateWrite); }
  std::uint64_t asked() const { return subject->statistics().prefault_asked_bytes; }

  Settings settings = without_quarantine();
  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  typename Alloc::Heap* heap = nullptr;
  ShadowHeap<Alloc> shadow{*subject};
};
using Builds = ::testing::Types<Build<FastMode, DefaultGeometry>, Build<HardenedMode, DefaultGeometry>>;
TYPED_TEST_SUITE(HeapAhead, Builds, BuildName);

TYPED_TEST(HeapAhead, classes_that_use_less_than_a_stretch_are_left_alone) {
  for (std::size_t const size : {16, 40, 100, 300, 1000, 2000, 3000})
    this->fill(size, TestFixture::kStretch - 2 * TestFixture::G::kCarveBytes);
  EXPECT_EQ(this->calls(), 0u);
}

TYPED_TEST(HeapAhead, a_class_that_grows_is_populated_stretch_by_stretch_and_holds_one_at_most) {
  constexpr std::size_t kMost = TestFixture::kStretch;
  for (std::size_t const size : {40, 1000, 8000 - 17}) {
    std::uint64_t const asked = this->asked(), calls = this->calls();
    std::size_t const each = TestFixture::block_bytes(size), records = TestFixture::kRecords ? sizeof(BlockRecord) : 0;
    std::size_t held = 0;
    for (; held < 2 * kMiB; held += each) {
      std::uint64_t const before = this->asked();
      this->shadow.allocate(this->heap, size);
      ASSERT_LE(this->asked() - before, (records ? 2 : 1) * (kMost + 4 * kKiB)) << held;
      std::size_t const used = held + held / each * records;
      // The first stretch is not asked for; the records of a slab begin and end within a page.
      std::size_t const rounded = records ? (held / TestFixture::G::kSlabBytes + 1) * 8 * kKiB : 0;
      ASSERT_LE(this->asked() - asked, used + rounded + TestFixture::G::kCarveBytes) << held;
    }
    // All but the first stretch of the class, and of each slab's records a page or two.
    std::size_t const slabs = held / TestFixture::G::kSlabBytes + 1;
    EXPECT_GE(this->asked() - asked + kMost + slabs * 2 * 4 * kKiB, held + held / each * records) << size;
    EXPECT_LE(this->calls() - calls, held / kMost + slabs * (records ? 3 : 1)) << size;
  }
  auto const books = this->subject->statistics();
  EXPECT_EQ(books.prefault_populated_bytes, books.prefault_asked_bytes);
}

// The fast build alone: the other one has written to the block by then.
class HeapAheadFast : public HeapAhead<Build<FastMode, DefaultGeometry>> {};
TEST_F(HeapAheadFast, a_block_of_a_populated_stretch_is_resident_when_it_is_handed_out) {
  fill(1000, kStretch);
  std::vector<void*> blocks;
  for (std::size_t held = kStretch; held < kMiB; held += block_bytes(1000)) {
    auto* const block = static_cast<std::byte*>(subject->allocate(heap, 1000));
    auto* const page = reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(block) & ~std::uintptr_t{0xfff});
    EXPECT_EQ(kernel_resident_bytes(page, 4 * kKiB), 4 * kKiB) << held;
    std::memset(block, 1, 1000);
    blocks.push_back(block);
  }
  for (void* const block : blocks) subject->release(heap, block);
}

TYPED_TEST(HeapAhead, long_blocks_are_left_to_the_program) {
  this->fill(8200, 2 * kMiB);
  this->fill(40'000, 2 * kMiB);
  EXPECT_EQ(this->asked(), 0u);
}

TYPED_TEST(HeapAhead, a_large_heap_is_populated_with_its_records) {
  this->fill(200, 66 * kMiB);
  std::uint64_t const before = this->asked();
  constexpr std::size_t kMore = 12 * kMiB, kAhead = 2 * TestFixture::G::kSlabBytes;
  this->fill(200, kMore);
  std::size_t const records = TestFixture::kRecords ? kMore / TestFixture::block_bytes(200) * sizeof(BlockRecord) : 0;
  EXPECT_GE(this->asked() - before + kAhead, kMore + records);
  EXPECT_LE(this->asked() - before, kMore + records * 5 / 4 + kAhead);
}

TYPED_TEST(HeapAhead, where_the_kernel_gives_huge_pages_a_stretch_is_populated_only_if_a_guard_forbids_them) {
  FaultyLinux::set_gives_huge_pages(true);
  this->fill(1000, 2 * kMiB);
  EXPECT_EQ(this->asked() > kMiB, TypeParam::Mode::kGuardsSuperSlabs);
  EXPECT_EQ(this->asked() == 0, !TypeParam::Mode::kGuardsSuperSlabs);
}

TYPED_TEST(HeapAhead, where_huge_pages_are_asked_for_records_alone_are_populated) {
  for (HugePolicy const policy : {HugePolicy::kAdvise, HugePolicy::kCollapse}) {
    this->settings.huge = policy;
    this->begin();
    std::uint64_t const before = this->asked();
    this->fill(100, 2 * kMiB);
    if (policy == HugePolicy::kCollapse)
      EXPECT_GT(this->asked() - before, kMiB) << "before they are collapsed, pages are small";
    else
      EXPECT_LT(this->asked() - before, TestFixture::kRecords ? kMiB : 1);
  }
}

TYPED_TEST(HeapAhead, slabs_that_hold_pages_are_left_alone) {
  this->fill(1000, 8 * kMiB);
  this->shadow.release_all(this->heap);
  this->heap->tidy();
  std::uint64_t const before = this->asked();
  ASSERT_GT(before, 4 * kMiB);
  this->fill(1000, 7 * kMiB);
  EXPECT_LT(this->asked() - before, 2 * kMiB) << "the rest of the last SuperSlab, which was not used before";
}

TYPED_TEST(HeapAhead, what_the_kernel_refuses_is_touched_by_the_program) {
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kPopulateWrite)));
  this->fill(100, kMiB);
  EXPECT_GT(this->asked(), 0u);
  EXPECT_EQ(this->subject->statistics().prefault_populated_bytes, 0u);
  FaultyLinux::set_plan({});
}

}  // namespace
}  // namespace hakmem::testing
