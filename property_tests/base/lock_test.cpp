// The lock: exclusion, waking, trying, and the order of ranks.
#include "core/base/lock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "core/base/atomic.h"
#include "core/os/linux.h"
#include "property_tests/model/build_kind.h"

namespace hakmem {
namespace {

using PoolLock = Lock<StdSync, Linux, LockRank::kPool>;
using LargeLock = Lock<StdSync, Linux, LockRank::kLarge>;

TEST(BaseLock, excludes_every_other_thread) {
  PoolLock lock;
  std::uint64_t counter = 0;  // not atomic: the lock is what is tested
  unsigned const rounds = testing::scaled(200000);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (unsigned round = 0; round < rounds; ++round) {
        Locked const held(lock);
        counter = counter + 1;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, std::uint64_t{4} * rounds);
}

TEST(BaseLock, wakes_a_thread_that_sleeps_on_it) {
  PoolLock lock;
  std::atomic<int> entered{0};
  lock.lock();
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 3; ++i)
    sleepers.emplace_back([&] {
      Locked const held(lock);
      ++entered;
    });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // long enough for all to have stopped spinning
  EXPECT_EQ(entered.load(), 0);
  lock.unlock();
  for (std::thread& sleeper : sleepers) sleeper.join();
  EXPECT_EQ(entered.load(), 3);
}

TEST(BaseLock, trying_fails_while_it_is_held_and_succeeds_after) {
  PoolLock lock;
  lock.lock();
  bool taken = true;
  std::thread([&] { taken = lock.try_lock(); }).join();
  EXPECT_FALSE(taken);
  lock.unlock();
  ASSERT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(BaseLock, is_free_after_a_reset_in_a_child) {
  PoolLock lock;
  lock.lock();
  lock.reset_in_child();
  ASSERT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(BaseLock, ranks_may_only_rise) {
  PoolLock pool;
  LargeLock large;
  pool.lock();
  large.lock();
  large.unlock();
  pool.unlock();
  EXPECT_EQ(held_lock_ranks, 0u);
}

TEST(BaseLockDeathTest, taking_a_lower_or_equal_rank_stops_the_program) {
  if constexpr (!kChecks) GTEST_SKIP() << "ranks are kept where checks are on";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  PoolLock pool, other_pool;
  LargeLock large;
  EXPECT_DEATH((large.lock(), pool.lock()), "invariant: held_lock_ranks");
  EXPECT_DEATH((large.lock(), pool.try_lock()), "invariant: held_lock_ranks");
  EXPECT_DEATH((pool.lock(), other_pool.lock()), "invariant: held_lock_ranks");
  EXPECT_DEATH(pool.unlock(), "invariant: .held_lock_ranks");
}

}  // namespace
}  // namespace hakmem
