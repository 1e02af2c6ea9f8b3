// What it owns: the tests of thread ends, fork handlers and thread numbers.
#include "core/os/thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "property_tests/model/build_kind.h"

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

// What a helper thread saw of itself.
struct Helper {
  static inline std::atomic<bool> done{false};
  static inline int unblocked = 0, detached = 0;
  static inline std::size_t stack_bytes = 0;

  static void look() {
    sigset_t mine;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mine);
    for (int number = 1; number <= SIGRTMAX; ++number) {
      bool const blockable = number != SIGKILL && number != SIGSTOP && (number < 32 || number >= SIGRTMIN);
      if (blockable && sigismember(&mine, number) == 0) ++unblocked;
    }
    pthread_attr_t attributes;
    ::pthread_getattr_np(::pthread_self(), &attributes);
    ::pthread_attr_getdetachstate(&attributes, &detached);
    ::pthread_attr_getstacksize(&attributes, &stack_bytes);
    ::pthread_attr_destroy(&attributes);
    done = true;
  }
};

TEST(OsThread, a_helper_hears_no_signal_and_has_a_small_stack_and_its_maker_keeps_its_mask) {
  sigset_t before, after;
  ::sigemptyset(&before);
  ::sigaddset(&before, SIGUSR2);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(start_helper_thread(&Helper::look));
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  while (!Helper::done) std::this_thread::yield();
  for (int number = 1; number < SIGRTMAX; ++number)
    EXPECT_EQ(sigismember(&after, number), sigismember(&before, number)) << number;
  EXPECT_EQ(Helper::unblocked, 0);
  EXPECT_EQ(Helper::detached, PTHREAD_CREATE_DETACHED);
  EXPECT_GE(Helper::stack_bytes, 64u << 10);
  if (!kSanitized)  // whose runtime makes stacks larger
    EXPECT_LE(Helper::stack_bytes, static_cast<std::size_t>(::sysconf(_SC_THREAD_STACK_MIN)) + (80u << 10));
  ::sigemptyset(&before);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
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
