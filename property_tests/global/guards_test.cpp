// Guard pages: around metadata, between the blocks that share a unit, and where the kernel refuses them.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "hardened/hardened_mode.h"
#include "property_tests/global/global_fixture.h"
#include "property_tests/kernel_view.h"

namespace hakmem::testing {
namespace {

using Checked = Config<HardenedMode, Linux>;

void expect_guards(void* start, std::size_t bytes) {
  auto* const first = static_cast<char volatile*>(start);
  first[0] = 1;
  first[bytes - 1] = 1;
  EXPECT_DEATH(first[-1] = 1, "");
  EXPECT_DEATH(first[bytes] = 1, "");
  EXPECT_DEATH(static_cast<void>(first[-1]), "");
  EXPECT_DEATH(static_cast<void>(first[bytes]), "");
}

TEST(MetadataGuards, stop_who_comes_from_either_side) {
  auto const arena = std::make_unique<MetadataArena<Checked>>();
  std::size_t const page = Linux::page_bytes();
  expect_guards(arena->allocate_apart(3 * page), 3 * page);
  ASSERT_NE(arena->allocate(100, 16), nullptr);
  MetadataArena<Checked>::Chunk* const chunk = *arena->chunks();
  std::size_t const bytes = chunk->bytes;
  expect_guards(chunk, bytes);
}

TEST(MetadataGuards, lie_around_the_records_of_blocks) {
  auto const global = std::make_unique<Global<Checked>>();
  SuperSlab<Checked>* const super = global->pool.map_new(global->space);
  ASSERT_NE(super, nullptr);
  expect_guards(super->storage.records, SuperSlab<Checked>::Storage::kRecordBytes);
}

// --- between SuperSlabs -----------------------------------------------------------------------------

template <class Os>
class SuperSlabGuardsOn : public GlobalTest<Os, ProbeMode> {
 public:
  using Super = SuperSlab<typename GlobalTest<Os, ProbeMode>::C>;
  static constexpr std::size_t kSlab = DefaultGeometry::kSlabBytes;

  SuperSlabGuardsOn() { GuardRefusals<Os>::warned = true; }

  Super* take() {
    Super* const super = this->pool().take_pooled(this->space());
    return super ? super : this->pool().map_new(this->space());
  }
  // Whether the program may touch what lies behind the slabs that heaps use; it may touch all of those.
  static bool is_open(Super* super) {
    std::byte* const end = super->base + Super::kUsableBytes;
    super->base[0] = end[-1] = std::byte{1};
    if constexpr (std::is_same_v<Os, FaultySimulation>) {
      EXPECT_EQ(SimulatedOs::accessible(end), SimulatedOs::accessible(end + kSlab - 1));
      return SimulatedOs::accessible(end);
    } else {
      int pipe[2];
      EXPECT_EQ(::pipe(pipe), 0);
      ssize_t const first = ::write(pipe[1], end, 1), last = ::write(pipe[1], end + kSlab - 1, 1);
      EXPECT_EQ(first, last);
      ::close(pipe[0]);
      ::close(pipe[1]);
      return first == 1;
    }
  }
  void give_all_back(std::vector<Super*> const& supers) {
    for (Super* super : supers) this->pool().put_back(super, 0);
    this->pool().purge(this->space(), 1, 0, 0, ~0u);
    EXPECT_EQ(this->space().ledger().held_bytes, 0u);
  }
  void TearDown() override {
    TypeParam::set_plan({});
    EXPECT_TRUE(this->pool().validate());
    EXPECT_TRUE(this->nothing_leaked());
  }

 private:
  using TypeParam = Os;
};
TYPED_TEST_SUITE(SuperSlabGuardsOn, Systems, SystemName);

TYPED_TEST(SuperSlabGuardsOn, lie_behind_each_of_a_batch_and_stay_when_it_is_purged_and_used_again) {
  std::vector<typename TestFixture::Super*> supers(7);
  for (auto*& super : supers) super = this->take();
  for (auto* super : supers) EXPECT_FALSE(this->is_open(super));
  for (auto* super : supers) this->pool().put_back(super, 0);
  this->pool().purge(this->space(), 1, 0, 99, 99);
  for (auto*& super : supers) EXPECT_FALSE(this->is_open(super = this->take()));
  this->give_all_back(supers);
}

TYPED_TEST(SuperSlabGuardsOn, leave_the_other_slabs_and_no_more_to_be_taken) {
  auto* const super = this->take();
  bool zeroed = false;
  std::set<unsigned> taken;
  while (!super->exhausted()) taken.insert(super->take_run(1, 1, false, zeroed));
  EXPECT_EQ(taken.size(), DefaultGeometry::kSlabsPerSuperSlab - 1);
  EXPECT_EQ(*taken.rbegin(), DefaultGeometry::kSlabsPerSuperSlab - 2);
  EXPECT_EQ(super->take_run(1, 1, false, zeroed), kernels::kNoRun);
  super->return_run(super->kUsable);
  this->give_all_back({super});
}

TYPED_TEST(SuperSlabGuardsOn, are_not_populated) {
  std::size_t const bytes = 3 * TestFixture::Super::kUsableBytes;
  EXPECT_EQ(this->pool().warm_up(this->space(), bytes, 0), bytes);
  EXPECT_EQ(this->pool().counts().warm, 3u);
  EXPECT_TRUE(this->pool().prepare_one(this->space(), 0));
  this->space().settings.prefault = PrefaultPolicy::kPopulate;
  std::vector<typename TestFixture::Super*> supers(9);
  for (auto*& super : supers) {
    super = this->take();
    EXPECT_EQ(super->populated, super->kUsable);
  }
  auto const books = this->space().ledger();
  EXPECT_EQ(books.prefault_asked, supers.size() * TestFixture::Super::kUsableBytes);
  EXPECT_EQ(books.prefault_populated, books.prefault_asked);
  this->give_all_back(supers);
}

TYPED_TEST(SuperSlabGuardsOn, that_are_refused_are_counted_and_leave_the_slab_unused) {
  std::uint64_t const before = GuardRefusals<TypeParam>::count;
  for (int const code : {ENOMEM, EINVAL, EPERM}) {
    // The first ones take descriptors and records, whose guards would be refused as well.
    this->give_all_back({this->take(), this->take()});
    std::uint64_t const told = GuardRefusals<TypeParam>::count;
    TypeParam::set_plan(FaultPlan::always(code, only(OsCall::kProtectNone)));
    auto* const super = this->take();
    ASSERT_NE(super, nullptr);
    TypeParam::set_plan({});
    EXPECT_EQ(GuardRefusals<TypeParam>::count - told, 1u) << code;
    EXPECT_TRUE(this->is_open(super));
    EXPECT_EQ(SlabSets::from(super->slabs.load()).free, super->kUsable);
    EXPECT_EQ(super->splits, 0);
    this->give_all_back({super});
  }
  EXPECT_EQ(GuardRefusals<TypeParam>::count - before, 3u);
}

TYPED_TEST(SuperSlabGuardsOn, are_not_made_where_they_would_split_huge_pages) {
  for (HugePolicy const policy : {HugePolicy::kAdvise, HugePolicy::kCollapse, HugePolicy::kHugetlb}) {
    this->space().settings.huge = policy;
    auto* const super = this->take();
    ASSERT_NE(super, nullptr);
    EXPECT_TRUE(this->is_open(super));
    EXPECT_EQ(SlabSets::from(super->slabs.load()).free, super->kUsable);
    this->give_all_back({super});
  }
}

// Where rights make the guard, each makes two mappings, and one more is the SuperSlab's own.
TEST(SuperSlabGuards, take_no_more_mappings_than_they_may_and_give_them_back) {
  using Os = FaultySimulation;
  reset_system<Os>();
  auto const global = std::make_unique<Global<GlobalTest<Os, ProbeMode>::C>>();
  global->space.settings.batch_max = 1;
  Os::set_mappings(0, 20);
  std::vector<bool> guarded;
  ::testing::internal::CaptureStderr();
  while (guarded.size() < 6) {
    auto* const super = global->pool.map_new(global->space);
    guarded.push_back(!SimulatedOs::accessible(super->base + super->kUsableBytes));
    EXPECT_EQ(super->splits, guarded.back() ? 2 : 0);
    global->pool.put_back(super, 0);
  }
  EXPECT_EQ(guarded, (std::vector<bool>{true, true, true, false, false, false})) << "3 n - 2 is less than a half of 20";
  EXPECT_NE(::testing::internal::GetCapturedStderr(), "");
  global->pool.purge(global->space, 1, 0, 0, ~0u);
  Os::set_mappings(0, 2);
  EXPECT_TRUE(global->space.may_split()) << "none is counted any more";
  EXPECT_EQ(Os::violation(), "");
}

// --- graves -----------------------------------------------------------------------------------------

TEST(Graves, hold_no_memory) {
  reset_system<FaultyLinux>();
  auto const global = std::make_unique<Global<GlobalTest<FaultyLinux, ProbeMode>::C>>();
  constexpr std::size_t kBytes = 3 * kMiB;
  LargeBlock* const block = global->large.allocate_guarded(global->space, kBytes);
  ASSERT_NE(block, nullptr);
  std::byte* const start = block->start();
  std::memset(start, 1, kBytes);
  EXPECT_EQ(kernel_resident_bytes(start, kBytes), kBytes);
  global->large.release(global->space, block, 0);
  EXPECT_EQ(kernel_mapped_bytes(start, kBytes), kBytes);
  EXPECT_EQ(kernel_resident_bytes(start, kBytes), 0u);
  global->large.purge(global->space, 0, 0, ~0u);
}

// --- units ------------------------------------------------------------------------------------------

template <class Os>
class GuardedUnitsOn : public GlobalTest<Os> {
 public:
  LargeBlock* allocate(std::size_t bytes) { return this->large().allocate_guarded(this->space(), bytes); }
  LargeBlock* find(std::byte const* address) { return large_at(this->space().registry(), address); }
  std::byte* unit_of(LargeBlock* block) { return this->space().registry().find(block->start()).large()->base; }
  void release(LargeBlock* block) { this->large().release(this->space(), block, 0); }
  void purge() { this->large().purge(this->space(), 0, 0, ~0u); }
  void TearDown() override {
    purge();
    EXPECT_EQ(this->space().ledger().held_bytes, 0u);
    EXPECT_TRUE(this->large().validate());
    EXPECT_TRUE(this->nothing_leaked());
  }
};
TYPED_TEST_SUITE(GuardedUnitsOn, Systems, SystemName);

TYPED_TEST(GuardedUnitsOn, hold_many_blocks_in_one_mapping) {
  constexpr unsigned kBlocks = 200;
  LargeBlock* blocks[kBlocks];
  for (LargeBlock*& block : blocks) ASSERT_NE(block = this->allocate(100), nullptr);
  EXPECT_EQ(this->space().ledger().held_bytes, 2 * kMiB);
  std::size_t const page = TypeParam::page_bytes();
  for (unsigned i = 0; i < kBlocks; ++i) {
    std::byte* const start = blocks[i]->start();
    start[0] = start[page - 1] = std::byte{1};
    EXPECT_EQ(this->find(start), blocks[i]);
    EXPECT_EQ(this->find(start + page - 1), blocks[i]);
    EXPECT_EQ(this->find(start + page), blocks[i]) << "just behind it";
    EXPECT_EQ(this->find(start - 1), blocks[i]) << "just before it";
  }
  std::byte* const unit = this->unit_of(blocks[0]);
  EXPECT_EQ(this->find(unit), nullptr);
  EXPECT_EQ(this->find(unit + 2 * kMiB - 1), nullptr);
  for (LargeBlock* block : blocks) this->release(block);
}

// A unit goes back when the last of its graves does; the system may then give the same addresses again.
TYPED_TEST(GuardedUnitsOn, use_no_place_twice_while_it_has_a_grave) {
  constexpr unsigned kGraves = 256;
  std::map<std::byte*, unsigned> released;
  for (unsigned i = 0; i < 600; ++i) {
    LargeBlock* const block = this->allocate(100 + i * 40);
    ASSERT_NE(block, nullptr);
    auto const [place, fresh] = released.try_emplace(block->start(), i);
    if (!fresh) {
      EXPECT_GE(i - std::exchange(place->second, i), kGraves);
    }
    this->release(block);
  }
}

TYPED_TEST(GuardedUnitsOn, go_back_when_they_are_full_and_their_last_block_is_gone) {
  LargeBlock* const kept = this->allocate(100);
  std::byte* const start = kept->start();
  LargeBlock* const gone = this->allocate(100);
  std::byte* const gone_start = gone->start();
  this->release(gone);
  EXPECT_EQ(this->find(gone_start), gone) << "explained while it is a grave";
  for (unsigned i = 0; i < 500; ++i) this->release(this->allocate(100));
  this->purge();
  EXPECT_EQ(this->space().ledger().held_bytes, 2 * kMiB) << "of the block that is left";
  EXPECT_EQ(this->find(gone_start), nullptr) << "nobody's";
  EXPECT_EQ(this->find(start), kept);
  start[0] = std::byte{1};
  this->release(kept);
  this->purge();
  EXPECT_EQ(this->space().ledger().held_bytes, 0u);
  EXPECT_EQ(this->find(start), nullptr);
}

TYPED_TEST(GuardedUnitsOn, do_without_guards_that_are_refused_and_say_so_once) {
  GuardRefusals<TypeParam>::warned = false;
  std::uint64_t const before = GuardRefusals<TypeParam>::count;
  TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kProtectNone)));
  TypeParam::set_mappings(1000, 1000);
  ::testing::internal::CaptureStderr();
  for (unsigned i = 0; i < 3; ++i) {
    LargeBlock* const block = this->allocate(100);
    ASSERT_NE(block, nullptr);
    block->start()[0] = std::byte{1};
    this->release(block);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "hakmem: a guard page was refused: the process has as many mappings as vm.max_map_count allows; going on "
            "without it\n");
  EXPECT_EQ(GuardRefusals<TypeParam>::count - before, 7u)
      << "one for the unit; one for each block, and one as it is freed";
  TypeParam::set_plan(FaultPlan::none());
}

// --- what never changes ---------------------------------------------------------------------------

void what_is_fixed_is_for_good() {
  HardenedMode::configure(Settings{});
  HardenedMode::seal();
  auto* const page = static_cast<void*>(&hardened::fixed);
  std::size_t const bytes = sizeof hardened::fixed;
  void* const probe = Linux::map(nullptr, bytes, MapKind::kNormal).address;
  bool const seals = Linux::seal(probe, bytes).ok();
  if (seals == Linux::protect_read_write(page, bytes).ok()) std::_Exit(1);
  if (seals && ::munmap(page, bytes) == 0) std::_Exit(2);
  std::_Exit(0);
}
TEST(HardenedFixed, cannot_be_made_writable_again_where_the_kernel_seals) {
  EXPECT_EXIT(what_is_fixed_is_for_good(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace hakmem::testing
