// The books of the memory that we hold: every call and byte, the estimate of the mappings that it takes,
// and what is said when there are too many.
#include <set>

#include "property_tests/global/global_fixture.h"

namespace hakmem::testing {
namespace {

template <class OsT>
class AddressSpaceOn : public GlobalTest<OsT> {
 public:
  using Os = OsT;
  static constexpr std::size_t kBytes = DefaultGeometry::kSuperSlabBytes;

  // Mappings as the books estimate them: the program keeps half of those that the kernel allows it.
  std::size_t estimated() {
    std::size_t half = 1;
    for (; half < 1000; ++half) {
      Os::set_mappings(0, 2 * half);
      if (this->space().may_split()) break;
    }
    return half - 1;
  }
  std::byte* map(std::size_t bytes) { return this->space().map(bytes, kBytes, MapKind::kNormal, "hakmem test"); }
  std::string said(void (*act)(AddressSpaceOn&)) {
    ::testing::internal::CaptureStderr();
    act(*this);
    return ::testing::internal::GetCapturedStderr();
  }

  void TearDown() override { EXPECT_TRUE(this->nothing_leaked()); }
};
TYPED_TEST_SUITE(AddressSpaceOn, Systems, SystemName);

TYPED_TEST(AddressSpaceOn, estimates_one_mapping_for_a_range_and_two_for_what_splits_one) {
  std::size_t const page = TypeParam::page_bytes();
  EXPECT_EQ(this->estimated(), 0u);
  std::byte* const plain = this->map(this->kBytes);
  EXPECT_EQ(this->estimated(), 1u);
  std::byte* const guarded = this->space().map_guarded(8 * page, this->kBytes, 2 * page, page, "hakmem test");
  EXPECT_EQ(this->estimated(), 4u);
  EXPECT_TRUE(this->space().stop_huge(plain));
  EXPECT_EQ(this->estimated(), 6u);
  EXPECT_TRUE(this->space().resume_huge(plain));
  EXPECT_EQ(this->estimated(), 4u);
  this->space().release_guarded(guarded, 8 * page, 2 * page, page);
  EXPECT_EQ(this->estimated(), 1u);
  this->space().release(plain, this->kBytes);
  EXPECT_EQ(this->estimated(), 0u);
}

TYPED_TEST(AddressSpaceOn, estimates_no_mapping_for_what_the_kernel_refused) {
  std::byte* const base = this->map(this->kBytes);
  TypeParam::set_plan(FaultPlan::always(EINVAL));
  EXPECT_EQ(this->map(this->kBytes), nullptr);
  EXPECT_EQ(this->space().map_guarded(this->kBytes, this->kBytes, 0, TypeParam::page_bytes(), "hakmem test"), nullptr);
  EXPECT_FALSE(this->space().stop_huge(base));
  EXPECT_FALSE(this->space().resume_huge(base));
  EXPECT_EQ(this->estimated(), 1u);
  this->space().release(base, this->kBytes);
  EXPECT_EQ(this->estimated(), 0u) << "a leftover is not ours any more";
  TypeParam::set_plan({});
}

TYPED_TEST(AddressSpaceOn, splits_no_mapping_above_half_of_the_limit_and_says_once_that_blocks_go_unguarded) {
  std::byte* const base = this->map(this->kBytes);
  TypeParam::set_mappings(0, 3);
  std::uint64_t const advices = TypeParam::calls(OsCall::kAdviseNoHuge);
  EXPECT_FALSE(this->space().stop_huge(base));
  EXPECT_EQ(TypeParam::calls(OsCall::kAdviseNoHuge), advices);
  EXPECT_EQ(this->said([](auto& self) {
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(self.space().may_guard());
  }),
            "hakmem: blocks get no guard pages: half of the mappings that vm.max_map_count allows are in use\n");
  TypeParam::set_mappings(0, 4);
  EXPECT_TRUE(this->space().may_guard());
  TypeParam::set_mappings(0, 0);
  EXPECT_TRUE(this->space().may_guard()) << "a kernel that does not tell its limit";
  this->space().release(base, this->kBytes);
}

TYPED_TEST(AddressSpaceOn, estimates_a_mapping_for_each_superslab_of_a_batch) {
  std::byte* const base = this->space().map_super_slabs(4);
  ASSERT_NE(base, nullptr);
  for (unsigned left = 4; left > 0; --left) {
    EXPECT_EQ(this->estimated(), left);
    this->space().release(base + (left - 1) * this->kBytes, this->kBytes);
  }
  EXPECT_EQ(this->estimated(), 0u);
}

// The kernel makes one mapping of neighbours: where the estimate is too high, it is asked, once a second.
TYPED_TEST(AddressSpaceOn, asks_the_kernel_how_many_mappings_there_are_where_the_estimate_is_high) {
  auto const map_more = [this](unsigned count) {
    while (count-- > 0) this->map(this->kBytes);
  };
  map_more(9);
  TypeParam::set_mappings(15, 20);
  EXPECT_TRUE(this->space().may_split()) << "not asked yet";
  map_more(1);
  EXPECT_FALSE(this->space().may_split());
  TypeParam::set_mappings(7, 20);
  EXPECT_FALSE(this->space().may_split()) << "it was asked just now";
  TypeParam::advance_ms(1000);
  EXPECT_TRUE(this->space().may_split());
  map_more(2);
  EXPECT_TRUE(this->space().may_split());
  map_more(1);
  EXPECT_FALSE(this->space().may_split()) << "what has come since is counted in full";
  TypeParam::advance_ms(1000);
  TypeParam::set_mappings(0, 20);
  EXPECT_FALSE(this->space().may_split()) << "a kernel that cannot tell";
  TypeParam::set_mappings(0, 0);
}

TYPED_TEST(AddressSpaceOn, names_the_limit_of_mappings_when_it_is_why_one_was_refused) {
  auto const refused = [](auto& self) { EXPECT_EQ(self.map(self.kBytes), nullptr); };
  TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  TypeParam::set_mappings(97, 100);
  EXPECT_EQ(this->said(refused), "");
  TypeParam::set_mappings(100, 0);
  EXPECT_EQ(this->said(refused), "") << "a kernel that does not tell its limit";
  TypeParam::set_plan(FaultPlan::always(EPERM, only(OsCall::kMap)));
  TypeParam::set_mappings(98, 100);
  EXPECT_EQ(this->said(refused), "");
  TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  EXPECT_EQ(this->said(refused),
            "hakmem: out of memory: the process has as many mappings as vm.max_map_count allows\n");
  TypeParam::set_plan({});
}

TYPED_TEST(AddressSpaceOn, counts_every_call_and_every_byte) {
  auto const calls = [] { return TypeParam::calls(OsCall::kMap) + TypeParam::calls(OsCall::kUnmap); };
  std::byte* bases[4];
  std::uint64_t held = 0;
  for (unsigned i = 0; i < 4; ++i) {
    bases[i] = this->map((i + 1) * this->kBytes);
    held += (i + 1) * this->kBytes;
    auto const books = this->space().ledger();
    ASSERT_EQ(books.held_bytes, held);
    ASSERT_EQ(books.map_calls, calls()) << "with those that cut";
  }
  TypeParam::set_plan(FaultPlan::nth(1, EINVAL, only(OsCall::kPurge)));
  EXPECT_TRUE(this->space().purge(bases[3], 3 * TypeParam::page_bytes()));
  EXPECT_FALSE(this->space().purge(bases[3], TypeParam::page_bytes()));
  TypeParam::set_plan(FaultPlan::nth(1, ENOMEM, only(OsCall::kPopulateWrite)));
  EXPECT_EQ(this->space().prefault(bases[3], 2 * this->kBytes, PrefaultPolicy::kPopulate), this->kBytes);
  TypeParam::set_plan({});
  for (unsigned i = 0; i < 4; ++i) this->space().release(bases[i], (i + 1) * this->kBytes);
  auto const books = this->space().ledger();
  EXPECT_EQ(books.held_bytes, 0u);
  EXPECT_EQ(books.unmap_calls, 4u);
  EXPECT_EQ(books.map_calls + books.unmap_calls, calls());
  EXPECT_EQ(books.purge_calls, 2u);
  EXPECT_EQ(books.purged_bytes, 3 * TypeParam::page_bytes());
  EXPECT_EQ(books.prefault_asked, 2 * this->kBytes);
  EXPECT_EQ(books.prefault_populated, this->kBytes);
}

TYPED_TEST(AddressSpaceOn, asks_for_the_next_range_just_below_the_last_one) {
  std::byte* last = this->map(this->kBytes);
  for (std::size_t const bytes : {this->kBytes, 3 * this->kBytes, this->kBytes / 2}) {
    std::uint64_t const calls = this->space().ledger().map_calls;
    std::byte* const next = this->map(bytes);
    EXPECT_EQ(next, last - kernels::align_up(bytes, this->kBytes));
    EXPECT_EQ(this->space().ledger().map_calls, calls + 1) << "aligned as it comes";
    last = next;
  }
}

// Each 16 GiB of addresses that were ever used cost a leaf of the registry.
TYPED_TEST(AddressSpaceOn, comes_back_to_addresses_that_have_become_free) {
  std::set<std::uintptr_t> stretches;
  for (unsigned i = 0; i < 3000; ++i) {
    std::byte* const base = this->map(40 * kMiB);
    ASSERT_NE(base, nullptr);
    stretches.insert(reinterpret_cast<std::uintptr_t>(base) / (16 * kGiB));
    this->space().release(base, 40 * kMiB);
  }
  EXPECT_LE(stretches.size(), 3u);
}

TYPED_TEST(AddressSpaceOn, names_all_that_it_maps) {
  std::size_t const page = TypeParam::page_bytes();
  ASSERT_TRUE(this->map(3 * this->kBytes));
  ASSERT_TRUE(this->space().map_super_slabs(2));
  ASSERT_TRUE(this->space().map_guarded(8 * page, this->kBytes, 2 * page, page, "hakmem guarded"));
  ASSERT_TRUE(this->space().arena().allocate(8, 8));
  EXPECT_EQ(TypeParam::named("hakmem test"), 3 * this->kBytes);
  EXPECT_EQ(TypeParam::named("hakmem SuperSlab"), 2 * this->kBytes);
  EXPECT_EQ(TypeParam::named("hakmem guarded"), 8 * page);
  EXPECT_EQ(TypeParam::named("hakmem metadata"), this->space().arena().mapped_bytes());
}

// The record of what could not be unmapped lies in the lead, inside if that can be opened, or elsewhere.
TYPED_TEST(AddressSpaceOn, keeps_a_guarded_range_that_the_kernel_will_not_unmap) {
  std::size_t const page = TypeParam::page_bytes();
  for (std::size_t const lead : {2 * page, std::size_t{0}}) {
    for (OsCallSet const refused : {only(OsCall::kUnmap), only(OsCall::kUnmap) | only(OsCall::kProtectReadWrite)}) {
      std::byte* const base = this->space().map_guarded(8 * page, this->kBytes, lead, page, "hakmem test");
      ASSERT_TRUE(base);
      ASSERT_TRUE(TypeParam::protect_none(base + lead + page, 6 * page - lead).ok());
      TypeParam::set_plan(FaultPlan::always(ENOMEM, refused));
      this->space().release_guarded(base, 8 * page, lead, page);
      EXPECT_EQ(this->space().ledger().leftover_bytes, 8 * page);
      EXPECT_EQ(this->space().ledger().held_bytes, 0u);
      EXPECT_TRUE(this->nothing_leaked());
      TypeParam::set_plan({});
      EXPECT_EQ(this->space().leftovers().retry(), 8 * page);
    }
  }
}

template <class OsT>
class BackgroundOn : public GlobalTest<OsT> {
 public:
  void configure(PrefaultPolicy policy, std::uint32_t delay_ms) {
    this->space().settings.prefault = policy;
    this->space().settings.purge_delay_ms = delay_ms;
  }
  void note_taken(unsigned times) {
    for (unsigned i = 0; i < times; ++i) this->global().background.note_taken(this->space());
  }
};
TYPED_TEST_SUITE(BackgroundOn, Systems, SystemName);

TYPED_TEST(BackgroundOn, rests_a_quarter_of_the_purge_delay_and_ten_milliseconds_at_least) {
  for (std::uint32_t const delay : {0u, 36u, 40u, 44u, 200u}) {
    this->configure(PrefaultPolicy::kBackground, delay);
    std::uint64_t const begin = Linux::now_ms();
    this->global().background_round();
    std::uint64_t const rest = std::max<std::uint64_t>(delay / 4, 10);
    EXPECT_EQ(TypeParam::last_limit_ms(), rest);
    EXPECT_GE(Linux::now_ms() - begin + 10, rest) << "the clock is coarse";
  }
}

TYPED_TEST(BackgroundOn, does_not_rest_while_there_is_demand) {
  this->configure(PrefaultPolicy::kBackground, 40'000);
  this->note_taken(1);
  std::uint64_t const begin = Linux::now_ms();
  this->global().background.rest(this->space());
  EXPECT_LT(Linux::now_ms() - begin, 5'000u);
}

TYPED_TEST(BackgroundOn, is_woken_by_the_first_demand_alone) {
  this->configure(PrefaultPolicy::kAhead, 40);
  this->note_taken(2);
  EXPECT_EQ(TypeParam::wakes(), 0u) << "no helper is wanted";
  this->configure(PrefaultPolicy::kBackground, 40);
  this->note_taken(3);
  EXPECT_EQ(TypeParam::wakes(), 1u);
  this->global().background.prepare(this->space(), this->pool());
  EXPECT_EQ(this->pool().counts().warm, 3u);
  this->note_taken(1);
  EXPECT_EQ(TypeParam::wakes(), 2u);
}

TYPED_TEST(BackgroundOn, gives_up_for_this_round_when_memory_is_short) {
  this->configure(PrefaultPolicy::kBackground, 40);
  this->note_taken(3);
  TypeParam::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kMap)));
  this->global().background.prepare(this->space(), this->pool());
  EXPECT_EQ(TypeParam::calls(OsCall::kMap), 1u);
  TypeParam::set_plan({});
  this->global().background.prepare(this->space(), this->pool());
  EXPECT_EQ(this->pool().counts().warm, 0u) << "the demand of that round is forgotten";
}

}  // namespace
}  // namespace hakmem::testing
