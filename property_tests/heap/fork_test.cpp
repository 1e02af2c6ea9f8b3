// Fork from a parent whose threads allocate (invariant F1): the child allocates, frees its own
// blocks and those of threads that it does not have, and its heap is valid.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <vector>

#include "property_tests/heap/traffic.h"
#include "property_tests/model/build_kind.h"

namespace hakmem::testing {
namespace {

// What went wrong in a child, as its exit code.
enum ChildResult : int { kFine = 0, kNoMemory, kBrokenBlock, kInvalidHeap, kWrongCounts };

template <class B>
class HeapFork : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using Heap = typename Alloc::Heap;

  HeapFork() {
    mine = subject->attach();
    for (unsigned i = 0; i < 4; ++i) threads.emplace_back([this, i] { work(i); });
    while (ready.load() != 4) std::this_thread::yield();
  }

  void TearDown() override {
    stop = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(subject->validate(mine));
    EXPECT_EQ(broken.load(), 0u);
  }

  // Churns for ever, after it has left some blocks for the children to free.
  void work(unsigned number) {
    Heap* heap = subject->attach();
    {
      Worker<Alloc> keeper(*subject, heap, exchange, number + 100);
      std::vector<void*> kept;
      for (int i = 0; i < 300; ++i) kept.push_back(keeper.allocate());
      std::scoped_lock const held(theirs_mutex);
      theirs.insert(theirs.end(), kept.begin(), kept.end());
    }
    ++ready;
    while (!stop.load()) {
      Worker<Alloc> worker(*subject, heap, exchange, number);
      worker.churn(2000, 50);
      worker.finish();
      broken += worker.broken;
      subject->detach(heap);  // so that forks meet parking, adoption and scavenging too
      heap = subject->attach();
    }
    subject->detach(heap);
  }

  int in_child(std::vector<void*> const& own) {
    ::alarm(60);
    subject->after_fork_in_child();
    if (!subject->validate(mine)) return kInvalidHeap;
    Exchange empty;
    Worker<Alloc> worker(*subject, mine, empty, 1);
    for (void* block : own) worker.release(block);
    for (void* block : theirs) worker.release(block);
    worker.churn(3000, 0);
    worker.finish();
    Heap* const second = subject->attach();
    if (!second) return kNoMemory;
    Worker<Alloc> other(*subject, second, empty, 2);
    other.churn(3000, 30);
    other.finish();
    subject->trim(mine);
    if (worker.broken + other.broken != 0) return kBrokenBlock;
    if (!subject->validate(mine) || !subject->validate(second)) return kInvalidHeap;
    Statistics const now = subject->statistics();
    return now.super_slabs_mapped - now.super_slabs_released == now.super_slabs_now ? kFine : kWrongCounts;
  }

  int fork_once(std::vector<void*> const& own) {
    subject->before_fork();
    pid_t const child = ::fork();
    if (child == 0) ::_exit(in_child(own));
    subject->after_fork_in_parent();
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  Heap* mine = nullptr;
  Exchange exchange;
  std::mutex theirs_mutex;
  std::vector<void*> theirs;
  std::vector<std::thread> threads;
  std::atomic<unsigned> ready{0}, broken{0};
  std::atomic<bool> stop{false};
};
using ForkedBuilds =
    ::testing::Types<Build<FastMode, DefaultGeometry, Linux>, Build<ThreadedMode, DefaultGeometry, Linux>>;
TYPED_TEST_SUITE(HeapFork, ForkedBuilds, BuildName);

TYPED_TEST(HeapFork, the_child_has_a_whole_heap_whatever_the_threads_of_the_parent_were_doing) {
  unsigned const forks = kSanitized ? 15 : 50;
  for (unsigned round = 0; round < forks; ++round) {
    Worker<typename TestFixture::Alloc> worker(*this->subject, this->mine, this->exchange, round);
    std::vector<void*> own;
    for (int i = 0; i < 200; ++i) own.push_back(worker.allocate());
    ASSERT_EQ(this->fork_once(own), kFine) << "fork " << round;
    for (void* block : own) worker.release(block);
    ASSERT_EQ(worker.broken, 0u) << "the parent keeps its blocks";
  }
}

// Whether another thread finds a lock held.
template <class Lock>
bool held(Lock& lock) {
  bool got = false;
  std::thread([&] {
    if ((got = lock.try_lock())) lock.unlock();
  }).join();
  return !got;
}

TEST(HeapForkLocks, are_all_held_across_a_fork_and_free_on_both_sides_of_it) {
  using Alloc = Build<FastMode, DefaultGeometry, Linux>::Alloc;
  auto const subject = std::make_unique<Alloc>();
  auto& global = subject->global();
  auto const locks_held = [&] {
    unsigned count = held(global.purger.gate()) + held(global.pool.lock()) + held(global.large.lock());
    global.for_each_inner_lock([&](auto& lock) { count += held(lock); });
    return count;
  };
  // The two that cannot be asked: of the heaps, and of what could not be unmapped.
  std::atomic<unsigned> passed{0};
  auto const pass = [&] {
    std::thread attaching([&] {
      subject->detach(subject->attach());
      ++passed;
    });
    std::thread unmapping([&] {
      if (global.space.leftovers().enter()) global.space.leftovers().leave();
      ++passed;
    });
    return std::array{std::move(attaching), std::move(unmapping)};
  };
  EXPECT_EQ(locks_held(), 0u);
  for (bool const in_child : {false, true}) {
    subject->before_fork();
    EXPECT_EQ(locks_held(), 8u);
    auto waiting = pass();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(passed, 0u);
    if (in_child) {
      // There are no other threads in a child: they must be gone before its locks are made free.
      subject->after_fork_in_parent();
      for (std::thread& thread : waiting) thread.join();
      subject->before_fork();
      subject->after_fork_in_child();
    } else {
      subject->after_fork_in_parent();
      for (std::thread& thread : waiting) thread.join();
    }
    EXPECT_EQ(locks_held(), 0u);
    for (std::thread& thread : pass()) thread.join();
    EXPECT_EQ(passed, 4u);
    passed = 0;
  }
}

}  // namespace
}  // namespace hakmem::testing
