// What it owns: the tests of thread ends, fork handlers and thread numbers.
#include "core/os/thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace hakmem::testing {
namespace {

struct Ended {
  int count = 0;
  std::uint32_t thread = 0;
  int arm_again = 0;
};

std::vector<char> order;

void on_exit(void* argument) {
  auto* const ended = static_cast<Ended*>(argument);
  ++ended->count;
  ended->thread = current_thread_id();
  order.push_back('a');
  if (ended->arm_again-- > 0) ThreadExit::arm(on_exit, ended);
}

TEST(OsThread, the_function_is_called_once_by_the_thread_that_ends) {
  Ended ended;
  std::uint32_t inner = 0;
  std::thread([&] {
    inner = current_thread_id();
    EXPECT_TRUE(ThreadExit::arm(on_exit, &ended));
    EXPECT_EQ(ended.count, 0);
  }).join();
  EXPECT_EQ(ended.count, 1);
  EXPECT_EQ(ended.thread, inner);
  EXPECT_NE(inner, current_thread_id());
}

TEST(OsThread, a_thread_that_disarms_ends_in_silence) {
  Ended ended;
  std::thread([&] {
    ThreadExit::arm(on_exit, &ended);
    ThreadExit::disarm();
  }).join();
  EXPECT_EQ(ended.count, 0);
}

TEST(OsThread, arming_again_at_the_end_calls_again) {
  Ended ended{.arm_again = 2};
  std::thread([&] { ThreadExit::arm(on_exit, &ended); }).join();
  EXPECT_EQ(ended.count, 3);
}

TEST(OsThread, the_function_runs_before_destructors_of_later_keys) {
  Ended ended;
  order.clear();
  std::thread([&] {
    ThreadExit::arm(on_exit, &ended);
    pthread_key_t later;
    ::pthread_key_create(&later, [](void*) { order.push_back('b'); });
    ::pthread_setspecific(later, &later);
  }).join();
  EXPECT_EQ(order, (std::vector<char>{'a', 'b'}));
}

int prepared = 0, in_parent = 0, in_child = 0;

TEST(OsThread, fork_handlers_run_once_on_each_side) {
  auto const add = [] { return register_fork_handlers([] { ++prepared; }, [] { ++in_parent; }, [] { ++in_child; }); };
  EXPECT_TRUE(add());
  EXPECT_TRUE(add());
  std::uint32_t const parent = current_thread_id();
  pid_t const child = ::fork();
  if (child == 0) ::_exit(prepared == 1 && in_parent == 0 && in_child == 1 && current_thread_id() != parent ? 0 : 1);
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(prepared, 1);
  EXPECT_EQ(in_parent, 1);
  EXPECT_EQ(in_child, 0);
}

}  // namespace
}  // namespace hakmem::testing
