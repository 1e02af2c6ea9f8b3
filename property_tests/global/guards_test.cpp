// Guard pages: around metadata, between the blocks that share a unit, and where the kernel refuses them.
#include <sys/mman.h>

#include <map>
#include <utility>

#include "hardened/hardened_mode.h"
#include "property_tests/global/global_fixture.h"

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
    if (!fresh) EXPECT_GE(i - std::exchange(place->second, i), kGraves);
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
