// The corners of an allocator's calls: sizes, alignments, limits, and memory that is not written.
#include <gtest/gtest.h>

#include <set>

#include "property_tests/hardened/reports.h"
#include "property_tests/kernel_view.h"
#include "property_tests/model/allocators.h"
#include "property_tests/model/build_kind.h"
#include "property_tests/model/shadow_heap.h"

namespace hakmem::testing {
namespace {

template <class B>
class HeapEdge : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using Heap = typename Alloc::Heap;

  HeapEdge() {
    FaultyLinux::reset();
    subject->configure(without_quarantine());
    heap = subject->attach();
  }
  void TearDown() override {
    shadow.release_all(heap);
    EXPECT_TRUE(subject->validate(heap));
    subject->detach(heap);
    EXPECT_TRUE(all_given_back(*subject));
  }

  static constexpr unsigned kRests = kResting<typename B::Mode>;

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  Heap* heap = nullptr;
  ShadowHeap<Alloc> shadow{*subject};
};
TYPED_TEST_SUITE(HeapEdge, AllBuilds, BuildName);

TYPED_TEST(HeapEdge, every_size_around_a_class_boundary_is_served) {
  using G = typename TypeParam::G;
  for (unsigned index = 0; index < G::kClassCount; ++index) {
    std::size_t const size = kernels::size_of_class<G>(index);
    for (std::size_t const bytes : {size - 15, size - 8, size - 1, size, size + 1})
      ASSERT_TRUE(this->shadow.allocate(this->heap, bytes));
  }
  for (std::size_t const limit : {G::kSmallMax, G::kClassMax, G::kMediumMax, G::kSuperSlabBytes})
    for (std::size_t bytes = limit - 18; bytes <= limit + 2; ++bytes)
      ASSERT_TRUE(this->shadow.allocate(this->heap, bytes));
  EXPECT_TRUE(this->subject->validate(this->heap));
}

TYPED_TEST(HeapEdge, release_of_null_changes_nothing) {
  this->shadow.allocate(this->heap, 100);
  auto const held = this->subject->statistics(this->heap).small_blocks_now;
  this->subject->release(this->heap, nullptr);
  this->subject->release(TestFixture::Alloc::unattached(), nullptr);
  EXPECT_EQ(this->subject->statistics(this->heap).small_blocks_now, held);
}

TYPED_TEST(HeapEdge, every_alignment_is_kept_for_sizes_from_nothing_up) {
  using G = typename TypeParam::G;
  for (std::size_t alignment = 1; alignment <= 16 * G::kSuperSlabBytes; alignment *= 2) {
    for (std::size_t const bytes : {std::size_t{0}, std::size_t{1}, std::size_t{100}, alignment - 1, alignment,
                                    alignment + 1, G::kSlabBytes, G::kMediumMax})
      ASSERT_TRUE(this->shadow.allocate_aligned(this->heap, bytes, alignment)) << bytes << " at " << alignment;
    ASSERT_TRUE(this->subject->validate(this->heap));
    if (alignment > G::kSuperSlabBytes) this->shadow.release_all(this->heap);
  }
}

TYPED_TEST(HeapEdge, blocks_of_no_bytes_are_distinct) {
  std::set<void*> blocks;
  for (int i = 0; i < 100; ++i) blocks.insert(this->shadow.allocate(this->heap, 0));
  EXPECT_EQ(blocks.size(), 100u);
  EXPECT_EQ(blocks.count(nullptr), 0u);
}

TYPED_TEST(HeapEdge, an_active_slab_is_never_counted_down) {
  constexpr std::size_t kBytes = 100;
  void* const kept = this->subject->allocate(this->heap, kBytes);
  void* const freed = this->subject->allocate(this->heap, kBytes);
  // Makes room for the block that rests.
  if (this->kRests) this->subject->release(this->heap, this->subject->allocate(this->heap, kBytes));
  auto* const slab = this->heap->slab_of(this->subject->global().space.registry(), freed)->head();
  slab->countdown = 1;  // as after as many frees as it can count
  this->subject->release(this->heap, freed);
  EXPECT_TRUE(this->subject->validate(this->heap));
  EXPECT_EQ(slab->state, SlabState::kActive);
  this->subject->release(this->heap, kept);
}

TYPED_TEST(HeapEdge, impossible_sizes_are_refused_and_change_nothing) {
  void* const block = this->shadow.allocate(this->heap, 100);
  ASSERT_TRUE(block);
  for (std::size_t const bytes : {~std::size_t{0}, ~std::size_t{0} - 4096, kernels::kMaxRequest + 1,
                                  kernels::kMaxRequest, kernels::kMaxRequest / 2 + 1}) {
    EXPECT_EQ(this->subject->allocate(this->heap, bytes), nullptr) << bytes;
    EXPECT_EQ(this->subject->allocate_zeroed(this->heap, bytes), nullptr);
    EXPECT_EQ(this->subject->allocate_aligned(this->heap, bytes, kMaxAlignment), nullptr);
    EXPECT_EQ(this->subject->reallocate(this->heap, block, bytes), nullptr);
  }
  void* const large = this->shadow.allocate(this->heap, 3 * TypeParam::G::kSuperSlabBytes);
  EXPECT_EQ(this->subject->reallocate(this->heap, large, kernels::kMaxRequest), nullptr);
  EXPECT_EQ(this->subject->reallocate(this->heap, large, ~std::size_t{0}), nullptr);
  this->shadow.expect_all_contents();
}

TYPED_TEST(HeapEdge, growing_and_shrinking_through_every_kind_of_block_keeps_the_contents) {
  using G = typename TypeParam::G;
  std::size_t const sizes[] = {1,
                               G::kQuantum,
                               G::kSmallMax,
                               G::kClassMax,
                               G::kClassMax + 1,
                               G::kMediumMax / 2,
                               G::kMediumMax,
                               G::kMediumMax + 1,
                               G::kSuperSlabBytes,
                               5 * G::kSuperSlabBytes};
  for (std::size_t const from : sizes) {
    for (std::size_t const to : sizes) {
      ASSERT_TRUE(this->shadow.allocate(this->heap, from));
      ASSERT_TRUE(this->shadow.reallocate(this->heap, this->shadow.blocks().size() - 1, to));
      ASSERT_TRUE(this->subject->validate(this->heap));
    }
  }
}

TYPED_TEST(HeapEdge, fresh_zeroed_memory_is_not_written) {
  using G = typename TypeParam::G;
  std::size_t const header_page = TypeParam::Mode::kTrustsClient ? 0 : Linux::page_bytes();
  for (std::size_t const bytes : {G::kMediumMax / 2, G::kMediumMax - 64, G::kSuperSlabBytes, 4 * G::kSuperSlabBytes}) {
    auto const block = reinterpret_cast<std::uintptr_t>(this->subject->allocate_zeroed(this->heap, bytes));
    auto const first_page = kernels::align_down(block, Linux::page_bytes());
    EXPECT_LE(
        kernel_resident_bytes(reinterpret_cast<void*>(first_page), kernels::align_down(bytes, Linux::page_bytes())),
        header_page);
    this->subject->release(this->heap, reinterpret_cast<void*>(block));
    this->subject->trim(this->heap);
  }
}

TYPED_TEST(HeapEdge, zeroed_memory_is_zero_after_any_use) {
  using G = typename TypeParam::G;
  std::size_t const sizes[] = {
      1, G::kQuantum - 16, G::kSmallMax, G::kClassMax, G::kMediumMax / 2, G::kMediumMax, 2 * G::kSuperSlabBytes};
  for (int round = 0; round < 6; ++round) {
    for (std::size_t const bytes : sizes)
      for (int i = 0; i < 6; ++i) this->shadow.allocate(this->heap, bytes);
    this->shadow.release_all(this->heap);
    if (round % 3 == 1) this->subject->trim(this->heap);
    if (round % 3 == 2) FaultyLinux::set_plan(FaultPlan::always(EINVAL, only(OsCall::kPurge)));
    for (std::size_t const bytes : sizes)
      for (int i = 0; i < 9; ++i) ASSERT_TRUE(this->shadow.allocate_zeroed(this->heap, bytes));
    this->shadow.release_all(this->heap);
    FaultyLinux::set_plan({});
  }
}

TYPED_TEST(HeapEdge, a_heap_uses_what_it_has_when_the_system_gives_no_more) {
  using G = typename TypeParam::G;
  // Two slabs stay free in each of many SuperSlabs, the last ones to be looked into.
  for (unsigned i = 0; i < 40 * G::kSlabsPerSuperSlab; ++i) this->shadow.allocate(this->heap, G::kSlabBytes - 64);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  while (this->shadow.allocate(this->heap, G::kSlabBytes - 64)) {
  }
  std::size_t const full = this->shadow.blocks().size();
  for (std::size_t i = 0; i < 60; ++i) this->shadow.release(this->heap, (full - 60) * i / 60);
  for (unsigned i = this->kRests; i < 60; ++i) ASSERT_TRUE(this->shadow.allocate(this->heap, G::kSlabBytes - 64)) << i;
  FaultyLinux::set_plan({});
}

TYPED_TEST(HeapEdge, a_run_of_slabs_far_down_the_list_is_found_when_the_system_gives_no_more) {
  using G = typename TypeParam::G;
  for (unsigned i = 0; i < 40 * G::kSlabsPerSuperSlab; ++i) this->shadow.allocate(this->heap, G::kSlabBytes - 64);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  while (this->shadow.allocate(this->heap, G::kSlabBytes - 64)) {
  }
  // Two neighbours become free in one SuperSlab, then every fourth slab of thirty others.
  std::map<std::uintptr_t, std::vector<std::uintptr_t>> super_slabs;
  for (auto const& block : this->shadow.blocks()) {
    auto const start = reinterpret_cast<std::uintptr_t>(block.start);
    super_slabs[start & ~std::uintptr_t{G::kSuperSlabMask}].push_back(start);
  }
  std::vector<std::uintptr_t> victims;
  for (auto& [base, starts] : super_slabs) {
    std::sort(starts.begin(), starts.end());
    if (victims.empty()) victims.push_back(starts[starts.size() - 2]);
    victims.push_back(starts.back());
    if (victims.size() > 31) break;
  }
  for (std::uintptr_t const victim : victims)
    for (std::size_t i = 0; i < this->shadow.blocks().size(); ++i)
      if (reinterpret_cast<std::uintptr_t>(this->shadow.blocks()[i].start) == victim)
        this->shadow.release(this->heap, i);
  EXPECT_TRUE(this->shadow.allocate(this->heap, 2 * G::kSlabBytes - 64));
  FaultyLinux::set_plan({});
}

TYPED_TEST(HeapEdge, cached_memory_is_given_up_before_a_request_is_refused) {
  using G = typename TypeParam::G;
  constexpr std::size_t kCached = 8 * G::kSuperSlabBytes, kWanted = 20 * G::kSuperSlabBytes;
  std::size_t const before = FaultyLinux::ledger().bytes();
  this->subject->release(this->heap, this->subject->allocate(this->heap, kCached));
  ASSERT_GE(FaultyLinux::ledger().bytes(), before + kCached) << "in the cache, or a grave";
  FaultyLinux::set_plan(FaultPlan::nth(0, ENOMEM, only(OsCall::kMap)));
  EXPECT_TRUE(this->shadow.allocate(this->heap, kWanted));
  EXPECT_LT(FaultyLinux::ledger().bytes(), before + kWanted + kCached);
}

TEST(ProbeSeam, every_block_is_armed_and_disarmed_and_a_second_release_is_refused) {
  FaultyLinux::reset();
  using Alloc = Build<ProbeMode, DefaultGeometry>::Alloc;
  auto const allocator = std::make_unique<Alloc>();
  auto* const heap = allocator->attach();
  auto const armed = ProbeMode::armed.load(), disarmed = ProbeMode::disarmed.load();
  for (std::size_t const bytes : {std::size_t{1}, 100 * kKiB, 5 * kMiB}) {
    void* const block = allocator->allocate(heap, bytes);
    EXPECT_EQ(allocator->usable_bytes(block), bytes);
    void* const moved = allocator->reallocate(heap, block, bytes + 1);
    EXPECT_NE(moved, block);
    EXPECT_EQ(allocator->usable_bytes(moved), bytes + 1);
    allocator->release(heap, moved);
  }
  EXPECT_EQ(ProbeMode::armed.load() - armed, 6u);
  EXPECT_EQ(ProbeMode::disarmed.load() - disarmed, 6u);
  EXPECT_EQ(ProbeMode::misfits.load(), 0u);
  void* const block = allocator->allocate(heap, 100);
  void* const other = allocator->allocate(heap, 100);
  allocator->release(heap, block);
  auto const refused = ProbeMode::refused.load();
  allocator->release(heap, block);
  EXPECT_EQ(ProbeMode::refused.load(), refused + 1);
  EXPECT_TRUE(allocator->validate(heap));
  allocator->release(heap, other);
}

// Of every size up to a page, then of some, and for the alignments that a span serves.
TEST(HeapSlack, the_byte_behind_a_block_of_any_size_is_looked_at_when_it_is_freed) {
  using Alloc = Build<HardenedMode, DefaultGeometry>::Alloc;
  FaultyLinux::reset();
  auto const subject = std::make_unique<Alloc>();
  subject->configure(without_quarantine());
  auto* const heap = subject->attach();
  hardened::Reports reports;
  for (std::size_t alignment = kMinAlignment; alignment <= 4 * kKiB; alignment *= 4) {
    for (std::size_t bytes = 0; bytes <= DefaultGeometry::kMediumMax / 2; bytes += 1 + bytes / 4096 * (bytes / 8)) {
      auto* const block = static_cast<unsigned char*>(subject->allocate_aligned(heap, bytes, alignment));
      ASSERT_NE(block, nullptr);
      block[bytes] ^= 0x55;
      subject->release(heap, block);
      auto const made = reports.taken();
      ASSERT_EQ(made.size(), 1u) << bytes << " bytes aligned to " << alignment;
      ASSERT_EQ(made[0].kind, "overflow") << bytes << " bytes aligned to " << alignment;
    }
  }
  subject->detach(heap);
}

}  // namespace
}  // namespace hakmem::testing
