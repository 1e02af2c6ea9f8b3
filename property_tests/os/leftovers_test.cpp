// What it owns: the tests of ranges that could not be unmapped.
#include "core/os/leftovers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/geometry.h"
#include "core/os/aligned_map.h"
#include "property_tests/kernel_view.h"
#include "property_tests/model/build_kind.h"
#include "property_tests/os/systems.h"

namespace hakmem::testing {
namespace {

constexpr std::size_t kRange = 64 * kKiB;

template <class Os>
struct Fixture : ::testing::Test {
  void refuse_unmaps() { Os::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kUnmap))); }
  void allow_all() { Os::set_plan(FaultPlan::none()); }

  void* map(MapKind kind = MapKind::kNormal) { return Os::map(nullptr, kRange, kind).address; }

  Leftovers<Os> leftovers;
};

struct OsLeftovers : Fixture<FaultySimulation> {
  using Os = FaultySimulation;
  OsLeftovers() { start_simulation(); }
  ~OsLeftovers() override { EXPECT_EQ(Os::violation() + SimulatedOs::violation(), ""); }
};

struct OsLeftoversKernel : Fixture<FaultyLinux> {
  using Os = FaultyLinux;
  OsLeftoversKernel() { Os::reset(); }
};

TEST_F(OsLeftovers, a_refused_range_is_held_until_a_retry_succeeds) {
  void* const range = map();
  refuse_unmaps();
  EXPECT_EQ(release<Os>(range, kRange, leftovers).disposal, Disposal::kLeftover);
  EXPECT_EQ(leftovers.ranges(), 1u);
  EXPECT_EQ(leftovers.bytes(), kRange);
  EXPECT_EQ(leftovers.retry(), 0u);
  EXPECT_EQ(leftovers.bytes(), kRange);
  allow_all();
  EXPECT_EQ(leftovers.retry(), kRange);
  EXPECT_EQ(leftovers.ranges(), 0u);
  EXPECT_EQ(leftovers.bytes(), 0u);
  EXPECT_EQ(SimulatedOs::mapped_bytes(), 0u);
}

TEST_F(OsLeftovers, one_retry_tries_a_bounded_number_of_ranges_and_each_gets_its_turn) {
  refuse_unmaps();
  for (unsigned i = 0; i < 2 * Leftovers<Os>::kRetryBound; ++i) release<Os>(map(), kRange, leftovers);
  std::uint64_t const before = Os::calls(OsCall::kUnmap);
  EXPECT_EQ(leftovers.retry(), 0u);
  EXPECT_EQ(Os::calls(OsCall::kUnmap) - before, Leftovers<Os>::kRetryBound);
  // The first half has failed again and queues behind the second: call 0 of the plan is range 8.
  Os::set_plan(FaultPlan::nth(0, ENOMEM, only(OsCall::kUnmap)));
  EXPECT_EQ(leftovers.retry(), (Leftovers<Os>::kRetryBound - 1) * kRange);
  EXPECT_EQ(leftovers.retry(Leftovers<Os>::kRetryBound + 1), (Leftovers<Os>::kRetryBound + 1) * kRange);
  EXPECT_EQ(SimulatedOs::mapped_bytes(), 0u);
}

TEST_F(OsLeftovers, a_failing_retry_tries_no_range_twice) {
  refuse_unmaps();
  for (int i = 0; i < 3; ++i) release<Os>(map(), kRange, leftovers);
  std::uint64_t const before = Os::calls(OsCall::kUnmap);
  leftovers.retry();
  EXPECT_EQ(Os::calls(OsCall::kUnmap) - before, 3u);
}

TEST_F(OsLeftovers, the_record_may_lie_anywhere_in_the_range) {
  auto* const range = static_cast<std::byte*>(map());
  ASSERT_TRUE(Os::protect_none(range, 4 * kKiB).ok());
  refuse_unmaps();
  EXPECT_EQ(release<Os>(range, kRange, leftovers, range + 4 * kKiB).disposal, Disposal::kLeftover);
  allow_all();
  EXPECT_EQ(leftovers.retry(), kRange);
}

TEST_F(OsLeftovers, ranges_without_access_are_held_by_spare_records) {
  refuse_unmaps();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10; ++i)
      EXPECT_EQ(release<Os>(map(MapKind::kReserve), kRange, leftovers, nullptr).disposal, Disposal::kLeftover);
    EXPECT_EQ(leftovers.bytes(), 10 * kRange);
    allow_all();
    while (leftovers.ranges() != 0) EXPECT_NE(leftovers.retry(), 0u);
    refuse_unmaps();
  }
  EXPECT_EQ(SimulatedOs::mapped_bytes(), 0u);
}

TEST_F(OsLeftovers, when_spare_records_run_out_nothing_is_lost) {
  refuse_unmaps();
  std::size_t released = 0;
  void* range = map(MapKind::kReserve);
  while (release<Os>(range, kRange, leftovers, nullptr).disposal == Disposal::kLeftover) {
    ASSERT_LE(++released, Leftovers<Os>::kSpares);
    range = map(MapKind::kReserve);
  }
  EXPECT_GE(released, Leftovers<Os>::kSpares - Leftovers<Os>::kSparesPerRequest);
  EXPECT_TRUE(Os::ledger().contains(range, kRange));
  EXPECT_EQ(Os::ledger().bytes(), leftovers.bytes() + kRange);
  // A reservation that could not be cut safely is not begun.
  std::uint64_t const maps = Os::calls(OsCall::kMap);
  AlignedMapping const mapping = map_aligned<Os>(nullptr, kRange, 2 * kMiB, MapKind::kReserve, leftovers);
  EXPECT_EQ(mapping.status.error, OsError::kOutOfMemory);
  EXPECT_EQ(Os::calls(OsCall::kMap), maps);
  allow_all();
  EXPECT_EQ(release<Os>(range, kRange, leftovers, nullptr).disposal, Disposal::kUnmapped);
  while (leftovers.ranges() != 0) EXPECT_NE(leftovers.retry(), 0u);
  EXPECT_TRUE(map_aligned<Os>(nullptr, kRange, 2 * kMiB, MapKind::kReserve, leftovers).ok());
}

TEST_F(OsLeftovers, after_fork_the_child_and_the_parent_go_on) {
  refuse_unmaps();
  release<Os>(map(), kRange, leftovers);
  leftovers.lock_for_fork();
  leftovers.unlock_after_fork();
  release<Os>(map(), kRange, leftovers);
  leftovers.lock_for_fork();
  leftovers.reset_in_child();
  allow_all();
  EXPECT_EQ(leftovers.retry(), 2 * kRange);
}

TEST_F(OsLeftovers, requests_of_the_parents_other_threads_are_forgotten_in_the_child) {
  constexpr unsigned kRequests = Leftovers<Os>::kSpares / Leftovers<Os>::kSparesPerRequest;
  for (int child = 0; child < 2; ++child) {
    for (unsigned i = 0; i < kRequests; ++i) EXPECT_TRUE(leftovers.enter()) << i;
    EXPECT_FALSE(leftovers.enter());
    leftovers.lock_for_fork();
    leftovers.reset_in_child();
  }
}

// A system in whose unmap something else may happen.
struct InterruptedOs : FaultySimulation {
  static inline std::function<void()> in_unmap;
  static inline std::atomic<unsigned> relaxed{0};
  static OsStatus unmap(void* address, std::size_t bytes) noexcept {
    if (auto const act = std::exchange(in_unmap, nullptr)) act();
    return FaultySimulation::unmap(address, bytes);
  }
  static void relax() noexcept {
    ++relaxed;
    Linux::relax();
  }
};

TEST_F(OsLeftovers, a_fork_waits_for_the_end_of_a_retry) {
  Leftovers<InterruptedOs> interrupted;
  void* const range = map();
  refuse_unmaps();
  release<InterruptedOs>(range, kRange, interrupted);
  allow_all();
  std::atomic<bool> locked{false};
  std::thread forking;
  InterruptedOs::in_unmap = [&] {
    forking = std::thread([&] {
      interrupted.lock_for_fork();
      locked = true;
      interrupted.unlock_after_fork();
    });
    while (InterruptedOs::relaxed < 3 && !locked) std::this_thread::yield();
    EXPECT_FALSE(locked) << "the range is in nobody's list";
  };
  EXPECT_EQ(interrupted.retry(), kRange);
  forking.join();
  EXPECT_TRUE(locked);
}

TEST_F(OsLeftoversKernel, a_leftover_keeps_one_page_resident) {
  auto* const range = static_cast<char*>(map());
  for (std::size_t i = 0; i < kRange; i += Linux::page_bytes()) range[i] = 1;
  ASSERT_EQ(kernel_resident_bytes(range, kRange), kRange);
  refuse_unmaps();
  release<Os>(range, kRange, leftovers);
  EXPECT_EQ(kernel_resident_bytes(range, kRange), Linux::page_bytes());
  allow_all();
  EXPECT_EQ(leftovers.retry(), kRange);
  EXPECT_EQ(Os::ledger().bytes(), 0u);
  // A sanitizer maps memory for itself at any time, there as well.
  if (!kSanitized) EXPECT_EQ(kernel_mapped_bytes(range, kRange), 0u);
}

TEST_F(OsLeftoversKernel, threads_that_release_retry_and_fork_lose_nothing) {
  // Half of the unmaps fail.
  Os::set_plan({only(OsCall::kUnmap), 0xaaaa'5555'cccc'3333, false, ENOMEM});
  constexpr int kRounds = 500;
  std::atomic<int> running{3};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        release<Os>(map(round % 2 ? MapKind::kNormal : MapKind::kReserve), kRange, leftovers, nullptr);
        leftovers.retry(2);
        if (round % 50 == 0) Os::set_plan({only(OsCall::kUnmap), 0xaaaa'5555'cccc'3333, false, ENOMEM});
      }
      --running;
    });
  while (running != 0) {
    leftovers.lock_for_fork();
    leftovers.unlock_after_fork();
  }
  for (std::thread& thread : threads) thread.join();
  allow_all();
  while (leftovers.ranges() != 0) ASSERT_NE(leftovers.retry(), 0u);
  EXPECT_EQ(leftovers.bytes(), 0u);
  EXPECT_EQ(Os::ledger().bytes(), 0u);
  EXPECT_EQ(Os::violation(), "");
}

}  // namespace
}  // namespace hakmem::testing
