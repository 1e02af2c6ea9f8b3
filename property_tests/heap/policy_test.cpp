// What the prefault and huge-page policies do to a heap as it grows, shrinks and idles (invariants
// M2, P1), and what happens when the process runs out of mappings.
#include <gtest/gtest.h>

#include <set>

#include "property_tests/kernel_view.h"
#include "property_tests/model/allocators.h"
#include "property_tests/model/shadow_heap.h"

namespace hakmem::testing {
namespace {

// The fast build alone: slabs and pages are counted exactly, and what the checked one adds to blocks takes some.
using B = Build<FastMode, DefaultGeometry>;
using G = DefaultGeometry;

constexpr std::uint32_t kDelayMs = 3'600'000;  // an hour: the real clock adds next to nothing

class HeapPolicy : public ::testing::Test {
 public:
  using Alloc = B::Alloc;

  void begin(PrefaultPolicy prefault, HugePolicy huge, std::uint32_t delay_ms = kDelayMs) {
    FaultyLinux::reset();
    FaultyLinux::advance_ms(10 * std::uint64_t{delay_ms});
    Settings settings;
    settings.prefault = prefault;
    settings.huge = huge;
    settings.purge_delay_ms = delay_ms;
    subject->configure(settings);
    heap = subject->attach();
  }

  // Blocks of 1 KiB, written, in `super_slabs` SuperSlabs and a little.
  void grow(std::size_t super_slabs) { fill(subject->statistics().super_slabs_now + super_slabs); }
  // Until there are some in so many of them.
  void fill(std::size_t super_slabs) {
    for (std::set<std::byte*> found = bases(); found.size() < super_slabs;)
      found.insert(base_of(shadow.allocate(heap, 1024)));
  }

  void shrink(std::size_t keep_every) {
    for (std::size_t i = shadow.blocks().size(); i-- > 0;)
      if (i % keep_every != 0) shadow.release(heap, i);
  }

  std::set<std::byte*> bases() const {
    std::set<std::byte*> found;
    for (auto const& block : shadow.blocks()) found.insert(base_of(block.start));
    return found;
  }
  static std::byte* base_of(void const* block) {
    return reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(block) & ~G::kSuperSlabMask);
  }

  std::size_t resident() const {
    std::size_t bytes = 0;
    for (std::byte* base : bases()) bytes += kernel_resident_bytes(base, G::kSuperSlabBytes);
    return bytes;
  }

  void pass(std::uint64_t ms) {
    FaultyLinux::advance_ms(ms);
    subject->global().tick();
  }

  void TearDown() override {
    shadow.expect_all_contents();
    EXPECT_TRUE(subject->validate(heap));
    shadow.release_all(heap);
    subject->detach(heap);
    EXPECT_TRUE(all_given_back(*subject));
  }

  static std::uint64_t calls(OsCall call) { return FaultyLinux::calls(call); }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  Alloc::Heap* heap = nullptr;
  ShadowHeap<Alloc> shadow{*subject};
};

TEST_F(HeapPolicy, off_populates_nothing) {
  begin(PrefaultPolicy::kOff, HugePolicy::kNever);
  grow(12);
  EXPECT_EQ(calls(OsCall::kPopulateWrite), 0u);
  EXPECT_FALSE(subject->claim_helper());
}

TEST_F(HeapPolicy, populate_makes_a_super_slab_resident_when_a_heap_takes_it) {
  begin(PrefaultPolicy::kPopulate, HugePolicy::kNever);
  shadow.allocate(heap, 64);
  EXPECT_EQ(resident(), G::kSuperSlabBytes);
  EXPECT_EQ(calls(OsCall::kPopulateWrite), 1u);
}

TEST_F(HeapPolicy, ahead_populates_a_large_heap_by_slabs_and_holds_one_call_of_them_at_most) {
  begin(PrefaultPolicy::kAhead, HugePolicy::kNever);
  fill(33);
  std::uint64_t const before = calls(OsCall::kPopulateWrite);
  fill(72);
  auto const books = subject->statistics();
  EXPECT_EQ(books.prefault_populated_bytes, books.prefault_asked_bytes);
  EXPECT_GT(books.prefault_populated_bytes, 70 * G::kSuperSlabBytes);
  // Two slabs a call up to 64 SuperSlabs, then four; in front of that, stretches of a slab.
  EXPECT_NEAR(static_cast<double>(calls(OsCall::kPopulateWrite) - before), (32 / 2 + 8 / 4) * G::kSlabsPerSuperSlab,
              2 * G::kSlabsPerSuperSlab);
  // Live blocks, metadata windows, the tail of each slab, and what one call populates.
  EXPECT_LT(resident(),
            shadow.live_bytes() * 21 / 20 + kernels::ahead_slabs(72) * G::kSlabBytes + G::kSuperSlabBytes / 8);
}

TEST_F(HeapPolicy, what_was_populated_ahead_is_zero_and_goes_back_when_nobody_takes_it) {
  begin(PrefaultPolicy::kAhead, HugePolicy::kNever);
  grow(33);
  std::size_t const before = resident();
  pass(1);
  pass(kDelayMs + 1);
  pass(kDelayMs + 1);
  EXPECT_LE(resident() + G::kSlabBytes, before) << "a slab populated and not used";
  for (int i = 0; i < 1000; ++i) shadow.allocate_zeroed(heap, 1024);  // checks that they are
}

TEST_F(HeapPolicy, a_refused_populate_fails_no_allocation) {
  begin(PrefaultPolicy::kAhead, HugePolicy::kNever);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kPopulateWrite)));
  grow(34);
  auto const books = subject->statistics();
  EXPECT_GT(books.prefault_asked_bytes, 0u);
  EXPECT_EQ(books.prefault_populated_bytes, 0u);
  FaultyLinux::set_plan({});
}

TEST_F(HeapPolicy, background_prepares_what_heaps_take_and_purges_what_they_leave) {
  constexpr std::uint32_t kShortMs = 40;  // a round ends in a sleep of a quarter of it
  begin(PrefaultPolicy::kBackground, HugePolicy::kNever, kShortMs);
  EXPECT_FALSE(subject->claim_helper()) << "before anything was mapped";
  grow(3);
  EXPECT_TRUE(subject->claim_helper());
  EXPECT_FALSE(subject->claim_helper()) << "one is enough";
  EXPECT_EQ(calls(OsCall::kPopulateWrite), 0u) << "not on the program's way";
  subject->help();
  EXPECT_EQ(subject->statistics().super_slabs_warm_now, 3u) << "as many as were taken";
  EXPECT_EQ(subject->statistics().prefault_populated_bytes, 3 * G::kSuperSlabBytes);
  grow(2);
  EXPECT_EQ(subject->statistics().prefault_populated_bytes, 3 * G::kSuperSlabBytes) << "taken from the warm ones";
  subject->help();
  FaultyLinux::advance_ms(2 * kShortMs);
  subject->help();
  EXPECT_EQ(subject->statistics().super_slabs_warm_now, 0u) << "nobody wanted them";
}

TEST_F(HeapPolicy, background_wants_a_helper_from_the_second_super_slab_on) {
  begin(PrefaultPolicy::kBackground, HugePolicy::kNever);
  shadow.allocate(heap, 64);
  ASSERT_EQ(subject->statistics().super_slabs_mapped, 1u);
  EXPECT_FALSE(subject->claim_helper());
  grow(1);
  ASSERT_EQ(subject->statistics().super_slabs_mapped, 2u);
  EXPECT_TRUE(subject->claim_helper());
}

TEST_F(HeapPolicy, background_wants_a_helper_from_the_first_large_block_on) {
  begin(PrefaultPolicy::kBackground, HugePolicy::kNever);
  shadow.allocate(heap, 4 * G::kSuperSlabBytes);
  ASSERT_EQ(subject->statistics().super_slabs_mapped, 0u);
  EXPECT_TRUE(subject->claim_helper());
}

TEST_F(HeapPolicy, background_prepares_a_bounded_number_at_once) {
  begin(PrefaultPolicy::kBackground, HugePolicy::kNever, 40);
  grow(9);
  subject->help();
  EXPECT_EQ(subject->statistics().super_slabs_warm_now, 4u);
}

TEST_F(HeapPolicy, advice_for_huge_pages_comes_with_the_mapping) {
  begin(PrefaultPolicy::kOff, HugePolicy::kAdvise);
  grow(3);
  std::uint64_t batches = 0;
  for (std::uint64_t mapped = 0; mapped < subject->statistics().super_slabs_mapped; ++batches)
    mapped += kernels::batch_size(mapped);
  EXPECT_EQ(calls(OsCall::kAdviseHuge), batches) << "each batch of SuperSlabs, not the metadata";
}

TEST_F(HeapPolicy, part_of_a_huge_super_slab_is_purged_only_without_the_advice) {
  begin(PrefaultPolicy::kOff, HugePolicy::kAdvise);
  grow(4);
  shrink(200);  // no slab is empty of the rest, or every one is: blocks lie in order
  pass(1);
  pass(kDelayMs + 1);
  pass(kDelayMs + 1);
  ASSERT_GT(calls(OsCall::kPurge), 0u);
  std::uint64_t last_purge = 0, first_no_huge = ~std::uint64_t{0};
  auto const log = FaultyLinux::log();
  for (std::uint64_t i = 0; i < log.size(); ++i) {
    if (log[i] == OsCall::kAdviseNoHuge) first_no_huge = std::min(first_no_huge, i);
    if (log[i] == OsCall::kPurge) last_purge = i;
  }
  EXPECT_LT(first_no_huge, last_purge);
}

TEST_F(HeapPolicy, a_super_slab_gets_its_advice_back_when_all_of_it_was_purged) {
  begin(PrefaultPolicy::kOff, HugePolicy::kAdvise);
  grow(4);
  shrink(200);
  pass(1);
  pass(kDelayMs + 1);
  pass(kDelayMs + 1);
  ASSERT_GT(calls(OsCall::kAdviseNoHuge), 0u);
  std::uint64_t const before = calls(OsCall::kAdviseHuge);
  shadow.release_all(heap);
  pass(kDelayMs + 1);
  pass(kDelayMs + 1);
  EXPECT_GT(calls(OsCall::kAdviseHuge), before);
}

TEST_F(HeapPolicy, near_the_limit_of_mappings_huge_pages_stay_whole) {
  begin(PrefaultPolicy::kOff, HugePolicy::kAdvise);
  FaultyLinux::set_mappings(10, 4);
  grow(4);
  shrink(200);
  pass(1);
  pass(kDelayMs + 1);
  pass(kDelayMs + 1);
  EXPECT_EQ(calls(OsCall::kAdviseNoHuge), 0u);
}

TEST_F(HeapPolicy, collapse_makes_a_super_slab_huge_once_when_it_is_used_up) {
  begin(PrefaultPolicy::kOff, HugePolicy::kCollapse);
  grow(5);
  EXPECT_EQ(calls(OsCall::kCollapseHuge), 4u) << "all but the last";
}

TEST_F(HeapPolicy, collapse_comes_once_until_all_of_a_super_slab_was_purged) {
  begin(PrefaultPolicy::kOff, HugePolicy::kCollapse);
  auto const fill_one = [this] {
    std::set<std::byte*> found = bases();
    for (std::size_t const before = found.size(); found.size() <= before + 1;)
      found.insert(base_of(shadow.allocate(heap, 1024)));
  };
  fill_one();
  EXPECT_EQ(calls(OsCall::kCollapseHuge), 1u);
  std::byte* const collapsed = base_of(shadow.blocks()[0].start);
  for (std::size_t i = shadow.blocks().size(); i-- > 0;)
    if (base_of(shadow.blocks()[i].start) == collapsed && i % 2 == 0) shadow.release(heap, i);
  while (shadow.blocks().size() < 3 * G::kSuperSlabBytes / 2048) shadow.allocate(heap, 1024);
  EXPECT_LE(calls(OsCall::kCollapseHuge), 2u) << "the other one, perhaps";
  shadow.release_all(heap);
  heap->tidy();
  pass(kDelayMs + 1);
  std::uint64_t const before = calls(OsCall::kCollapseHuge);
  fill_one();
  EXPECT_EQ(calls(OsCall::kCollapseHuge), before + 1);
}

TEST_F(HeapPolicy, advice_collapses_nothing) {
  begin(PrefaultPolicy::kOff, HugePolicy::kAdvise);
  grow(3);
  EXPECT_EQ(calls(OsCall::kCollapseHuge), 0u);
}

TEST_F(HeapPolicy, without_huge_pages_nothing_is_advised_or_collapsed) {
  begin(PrefaultPolicy::kOff, HugePolicy::kNever);
  grow(3);
  EXPECT_EQ(calls(OsCall::kCollapseHuge) + calls(OsCall::kAdviseHuge), 0u);
}

// What one allocation populates: the new span, and clean slabs behind it up to the stretch.
TEST_F(HeapPolicy, ahead_populates_a_span_and_no_more_than_the_stretch_behind_it) {
  begin(PrefaultPolicy::kAhead, HugePolicy::kNever);
  auto const asked = [this] { return subject->statistics().prefault_asked_bytes; };
  std::uint64_t before = 0, behind = 0;
  for (unsigned held = 0; held < 34; held = static_cast<unsigned>(bases().size())) {
    for (int i = 0; i < 500; ++i) {
      std::uint64_t const mapped = bases().size();
      shadow.allocate(heap, 9000);
      std::uint64_t const now = asked() - before;
      before += now;
      if (now == 0) continue;
      behind += now > G::kSlabBytes;
      ASSERT_GE(now, G::kSlabBytes);
      ASSERT_LE(now, std::max(1u, kernels::ahead_slabs(mapped + 1)) * G::kSlabBytes);
    }
  }
  EXPECT_GT(behind, 0u);
  // Spans longer than the stretch: they alone. The first one of a class is not part of a growth.
  unsigned const index = kernels::class_of_size<G>(40'000);
  std::size_t const size = kernels::size_of_class<G>(index), span = kernels::slabs_of_class<G>(index) * G::kSlabBytes;
  before = asked();
  for (unsigned i = 0; i < span / size; ++i) shadow.allocate(heap, size);
  EXPECT_EQ(asked(), before) << "the first span";
  shadow.allocate(heap, size);
  EXPECT_EQ(asked(), before + span);
}

TEST_F(HeapPolicy, ahead_leaves_slabs_alone_that_hold_pages) {
  begin(PrefaultPolicy::kAhead, HugePolicy::kNever);
  grow(36);
  std::size_t const blocks = shadow.blocks().size();
  shadow.release_all(heap);
  heap->tidy();
  std::uint64_t const before = subject->statistics().prefault_asked_bytes;
  ASSERT_GT(before, 0u);
  while (shadow.blocks().size() < blocks - G::kSuperSlabBytes / 1024) shadow.allocate(heap, 1024);
  EXPECT_LT(subject->statistics().prefault_asked_bytes - before, G::kSuperSlabBytes);
}

TEST_F(HeapPolicy, a_mapping_refused_at_the_limit_names_it_once) {
  begin(PrefaultPolicy::kOff, HugePolicy::kNever);
  FaultyLinux::set_mappings(65530, 65530);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(subject->allocate(heap, 64), nullptr);
  EXPECT_EQ(subject->allocate(heap, 64 * kMiB), nullptr);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "hakmem: out of memory: the process has as many mappings as vm.max_map_count allows\n");
  FaultyLinux::set_plan({});
}

TEST_F(HeapPolicy, a_mapping_refused_for_want_of_memory_says_nothing_of_mappings) {
  begin(PrefaultPolicy::kOff, HugePolicy::kNever);
  FaultyLinux::set_mappings(40, 65530);
  FaultyLinux::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(subject->allocate(heap, 64), nullptr);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  FaultyLinux::set_plan({});
}

}  // namespace
}  // namespace hakmem::testing
