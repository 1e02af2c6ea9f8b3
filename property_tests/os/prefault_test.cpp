// What it owns: the tests of the prefault engine and of huge pages on simulated pages: each policy
// against each failure.
#include "core/os/prefault.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "core/base/geometry.h"
#include "core/os/huge.h"
#include "property_tests/os/systems.h"

namespace hakmem::testing {
namespace {

using Os = FaultySimulation;
constexpr std::size_t kBytes = 8 * kMiB;
constexpr PrefaultPolicy kPopulating[] = {PrefaultPolicy::kPopulate, PrefaultPolicy::kTouch, PrefaultPolicy::kAhead,
                                          PrefaultPolicy::kBackground};

struct Fixture : ::testing::Test {
  Fixture() { start(); }
  ~Fixture() override { EXPECT_EQ(Os::violation() + SimulatedOs::violation(), ""); }

  void start(Simulation simulation = {}, FaultPlan plan = {}) {
    start_simulation(simulation);
    range = {Os::map(nullptr, kBytes, MapKind::kNormal).address, kBytes};
    Os::set_plan(plan);
  }
  std::size_t resident() const {
    return SimulatedOs::pages(PageState::kPopulated, range.base, range.bytes) * Os::page_bytes();
  }

  PageRange range;
  Leftovers<Os> leftovers;
};

struct OsPrefault : Fixture {};
struct OsHuge : Fixture {};

TEST_F(OsPrefault, off_does_nothing) {
  PrefaultResult const result = prefault<Os>(range, PrefaultPolicy::kOff);
  EXPECT_EQ(result.method, PrefaultMethod::kNone);
  EXPECT_EQ(result.asked_bytes, 0u);
  EXPECT_EQ(resident(), 0u);
  EXPECT_EQ(Os::calls(OsCall::kPopulateWrite) + Os::touches(), 0u);
}

TEST_F(OsPrefault, an_empty_range_is_nothing_to_do) {
  EXPECT_EQ(prefault<Os>({range.base, 0}, PrefaultPolicy::kTouch).method, PrefaultMethod::kNone);
  EXPECT_EQ(Os::calls(OsCall::kPopulateWrite) + Os::touches(), 0u);
}

TEST_F(OsPrefault, every_other_policy_makes_the_whole_range_resident) {
  for (PrefaultPolicy const policy : kPopulating) {
    start();
    PrefaultResult const result = prefault<Os>(range, policy);
    EXPECT_TRUE(result.status.ok());
    EXPECT_EQ(result.asked_bytes, kBytes);
    EXPECT_EQ(result.populated_bytes, kBytes);
    EXPECT_EQ(resident(), kBytes);
    bool const touches = policy == PrefaultPolicy::kTouch;
    EXPECT_EQ(result.method, touches ? PrefaultMethod::kTouch : PrefaultMethod::kPopulate);
    EXPECT_EQ(Os::touches(), touches ? kBytes / Os::page_bytes() : 0);
  }
}

TEST_F(OsPrefault, nothing_outside_the_range_is_populated) {
  auto* const base = static_cast<std::byte*>(range.base);
  for (PrefaultPolicy const policy : {PrefaultPolicy::kPopulate, PrefaultPolicy::kTouch}) {
    start();
    prefault<Os>({base + 64 * kKiB, kBytes / 2}, policy);
    EXPECT_EQ(resident(), kBytes / 2);
  }
}

TEST_F(OsPrefault, a_kernel_that_cannot_populate_is_asked_once_and_touched_instead) {
  for (int const code : {EINVAL, ENOSYS, EOPNOTSUPP}) {
    start({}, FaultPlan::always(code, only(OsCall::kPopulateWrite)));
    for (PrefaultPolicy const policy : kPopulating) {
      Os::purge(range.base, range.bytes);
      PrefaultResult const result = prefault<Os>(range, policy);
      EXPECT_TRUE(result.status.ok());
      EXPECT_EQ(result.method, PrefaultMethod::kTouch);
      EXPECT_EQ(result.populated_bytes, kBytes);
      EXPECT_EQ(resident(), kBytes);
    }
    EXPECT_EQ(Os::calls(OsCall::kPopulateWrite), 1u) << strerror(code);
  }
}

TEST_F(OsPrefault, any_other_failure_stops_without_touching_and_is_not_remembered) {
  for (int const code : {ENOMEM, EFAULT, EHWPOISON, EPERM, EIO, EAGAIN})
    for (PrefaultPolicy const policy : kPopulating) {
      start({}, FaultPlan::always(code, only(OsCall::kPopulateWrite)));
      PrefaultResult const result = prefault<Os>(range, policy);
      EXPECT_EQ(result.status.code, code);
      EXPECT_EQ(result.method, PrefaultMethod::kPopulate);
      EXPECT_EQ(result.asked_bytes, kBytes);
      EXPECT_EQ(result.populated_bytes, 0u);
      EXPECT_EQ(Os::touches(), 0u);
      Os::set_plan(FaultPlan::none());
      EXPECT_EQ(prefault<Os>(range, PrefaultPolicy::kPopulate).method, PrefaultMethod::kPopulate);
    }
}

TEST_F(OsPrefault, interruptions_are_retried_up_to_a_bound) {
  for (int const code : {EINTR, EAGAIN}) {
    std::uint64_t const just_bearable = (std::uint64_t{1} << kPopulateRetries) - 1;
    start({}, {only(OsCall::kPopulateWrite), just_bearable, false, code});
    EXPECT_EQ(prefault<Os>(range, PrefaultPolicy::kPopulate).populated_bytes, kBytes);
    start({}, FaultPlan::always(code, only(OsCall::kPopulateWrite)));
    EXPECT_EQ(prefault<Os>(range, PrefaultPolicy::kPopulate).status.error, OsError::kInterrupted);
    EXPECT_EQ(Os::calls(OsCall::kPopulateWrite), kPopulateRetries + 1);
  }
}

TEST_F(OsPrefault, running_out_of_memory_claims_no_more_than_is_resident) {
  for (std::size_t const pages : {0ul, 1ul, 511ul, 512ul, 513ul, 1500ul, 2047ul, 2048ul}) {
    start({.populate_pages = pages});
    PrefaultResult const result = prefault<Os>(range, PrefaultPolicy::kTouch);
    EXPECT_EQ(resident(), pages * 4 * kKiB);
    EXPECT_LE(result.populated_bytes, resident());
    EXPECT_LT(resident() - result.populated_bytes, kPopulateStepBytes);
    EXPECT_EQ(result.status.error, pages == 2048 ? OsError::kNone : OsError::kOutOfMemory);
  }
}

TEST_F(OsPrefault, pages_are_touched_once_each_whatever_their_size) {
  for (std::size_t const page : {4 * kKiB, 16 * kKiB, 64 * kKiB}) {
    start({.page_bytes = page}, FaultPlan::always(EINVAL, only(OsCall::kPopulateWrite)));
    prefault<Os>(range, PrefaultPolicy::kPopulate);
    EXPECT_EQ(Os::touches(), kBytes / page);
    EXPECT_EQ(resident(), kBytes);
  }
}

AlignedMapping map_data_of(HugePolicy policy, Leftovers<Os>& leftovers) {
  return map_data<Os>(nullptr, 4 * kMiB, 2 * kMiB, policy, leftovers);
}

TEST_F(OsHuge, advice_is_given_to_what_is_kept_before_its_first_page) {
  for (std::size_t const skew : {0ul, 5ul}) {
    start();
    SimulatedOs::place_next(2 * kMiB, skew * 4 * kKiB);
    AlignedMapping const mapping = map_data_of(HugePolicy::kAdvise, leftovers);
    EXPECT_EQ(Os::log().back(), OsCall::kAdviseHuge);
    EXPECT_EQ(Os::calls(OsCall::kAdviseHuge), 1u);
    EXPECT_EQ(prefault<Os>({mapping.base, mapping.kept}, PrefaultPolicy::kPopulate).populated_bytes, mapping.kept);
    EXPECT_EQ(SimulatedOs::late_advices(), 0u);
    EXPECT_EQ(SimulatedOs::populations() * 4 * kKiB, mapping.kept);
  }
}

TEST_F(OsHuge, policies_without_advice_give_none) {
  HugetlbFallbacks<Os>::warned = true;
  for (HugePolicy const policy : {HugePolicy::kNever, HugePolicy::kCollapse, HugePolicy::kHugetlb})
    EXPECT_TRUE(map_data_of(policy, leftovers).ok());
  EXPECT_EQ(Os::calls(OsCall::kAdviseHuge) + Os::calls(OsCall::kCollapseHuge), 0u);
}

TEST_F(OsHuge, refused_advice_still_maps_and_a_kernel_without_is_asked_once) {
  for (int const code : {EINVAL, ENOMEM, EAGAIN}) {
    start({}, FaultPlan::always(code, only(OsCall::kAdviseHuge)));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(map_data_of(HugePolicy::kAdvise, leftovers).ok());
    EXPECT_EQ(Os::calls(OsCall::kAdviseHuge), code == EINVAL ? 1u : 3u);
  }
}

TEST_F(OsHuge, collapsing_is_retried_up_to_a_bound_and_its_failure_is_told) {
  prefault<Os>(range, PrefaultPolicy::kPopulate);
  EXPECT_TRUE(collapse_huge<Os>(range).ok());
  Os::set_plan({only(OsCall::kCollapseHuge), 0b111, false, EBUSY});
  EXPECT_TRUE(collapse_huge<Os>(range).ok());
  Os::set_plan(FaultPlan::always(EAGAIN, only(OsCall::kCollapseHuge)));
  std::uint64_t const before = Os::calls(OsCall::kCollapseHuge);
  EXPECT_EQ(collapse_huge<Os>(range).error, OsError::kInterrupted);
  EXPECT_EQ(Os::calls(OsCall::kCollapseHuge) - before, kPopulateRetries + 1);
  Os::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kCollapseHuge)));
  EXPECT_EQ(collapse_huge<Os>(range).error, OsError::kOutOfMemory);
}

TEST_F(OsHuge, the_huge_page_pool_serves_when_it_can) {
  start({.hugetlb = true});
  AlignedMapping const mapping = map_data_of(HugePolicy::kHugetlb, leftovers);
  EXPECT_TRUE(mapping.ok());
  EXPECT_EQ(HugetlbFallbacks<Os>::count.load(), 0u);
}

TEST_F(OsHuge, an_empty_huge_page_pool_is_counted_each_time_and_warned_of_once) {
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) {
    AlignedMapping const mapping = map_data_of(HugePolicy::kHugetlb, leftovers);
    ASSERT_TRUE(mapping.ok());
    *static_cast<char*>(mapping.base) = 1;
  }
  std::string const written = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(HugetlbFallbacks<Os>::count.load(), 3u);
  EXPECT_EQ(written.rfind("hakmem: HAKMEM_HUGE=hugetlb: ", 0), 0u) << written;
  EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 1);
}

TEST_F(OsHuge, what_huge_pages_do_not_divide_is_mapped_normally) {
  for (std::size_t const huge_page_bytes : {std::size_t{0}, 32 * kMiB}) {
    start({.huge_page_bytes = huge_page_bytes, .hugetlb = true});
    ::testing::internal::CaptureStderr();
    EXPECT_TRUE(map_data_of(HugePolicy::kHugetlb, leftovers).ok());
    ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(HugetlbFallbacks<Os>::count.load(), 1u);
  }
  start({.hugetlb = true});
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(map_data<Os>(nullptr, 4 * kMiB, 4 * kKiB, HugePolicy::kHugetlb, leftovers).ok());
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(HugetlbFallbacks<Os>::count.load(), 1u) << "its start may lie anywhere in a huge page";
}

}  // namespace
}  // namespace hakmem::testing
