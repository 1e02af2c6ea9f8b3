// What it owns: the tests of handlers that a program installs after ours. Each runs in a child process.
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "core/os/fault.h"
#include "core/os/linux.h"
#include "property_tests/os/child.h"

namespace hakmem::testing {
namespace {

std::atomic<unsigned> looks{0}, plain_calls{0}, full_calls{0};
thread_local sigjmp_buf back;
thread_local sigset_t mask_inside;
thread_local void* stack_inside;

void look(Fault const&) { ++looks; }
void note() {
  char here;
  stack_inside = &here;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask_inside);
}
void plain(int) {
  ++plain_calls;
  note();
  ::siglongjmp(back, 1);
}
void full(int number, siginfo_t* info, void* context) {
  ++full_calls;
  note();
  require(number == SIGSEGV && info->si_addr && context, "what the kernel told");
  ::siglongjmp(back, 1);
}

char volatile* forbidden() {
  static void* const page = Linux::map(nullptr, Linux::page_bytes(), MapKind::kReserve).address;
  return static_cast<char volatile*>(page);
}
void fault() {
  if (sigsetjmp(back, 1) == 0) *forbidden() = 1;
}

struct sigaction action_of(void (*handler)(int), unsigned flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(flags);
  return action;
}
struct sigaction action_of(void (*handler)(int, siginfo_t*, void*), unsigned flags = 0) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = static_cast<int>(flags | SA_SIGINFO);
  return action;
}
struct sigaction exchange(struct sigaction const& wanted, int number = SIGSEGV) {
  struct sigaction old {};
  require(Faults::action(number, &wanted, &old) == 0, "an action");
  return old;
}
struct sigaction current(int number = SIGSEGV) {
  struct sigaction now {};
  require(Faults::action(number, nullptr, &now) == 0, "asking");
  return now;
}
constexpr unsigned kFlags = unsigned{SA_SIGINFO} | SA_ONSTACK | SA_RESTART | SA_NODEFER | unsigned{SA_RESETHAND};
unsigned flags_of(struct sigaction const& action) { return static_cast<unsigned>(action.sa_flags) & kFlags; }

void later_handlers() {
  Faults::install(&look);
  exchange(action_of(&plain));
  fault();
  require(looks == 1 && plain_calls == 1, "looked at, and passed on to a plain handler");
  exchange(action_of(&full));
  fault();
  require(looks == 2 && full_calls == 1, "looked at, and passed on with all that is known");
  Faults::bsd_signal(SIGSEGV, &plain);
  fault();
  require(looks == 3 && plain_calls == 2, "signal()");
  Faults::system_v_signal(SIGSEGV, &plain);
  fault();
  require(looks == 4 && plain_calls == 3, "System V's signal()");
  Faults::bsd_signal(SIGBUS, &plain);
  if (sigsetjmp(back, 1) == 0) ::raise(SIGBUS);
  require(looks == 4 && plain_calls == 4, "a signal that was sent is passed on alone");
}
TEST(OsFault, is_looked_at_before_handlers_that_come_later) { EXPECT_CHILD(later_handlers); }

void actions_told() {
  Faults::install(&look);
  require(current().sa_handler == SIG_DFL && flags_of(current()) == 0, "no handler of the program's yet");
  for (unsigned flags :
       {0u, unsigned{SA_ONSTACK}, unsigned{SA_RESTART}, unsigned{SA_NODEFER}, unsigned{SA_RESETHAND}, kFlags}) {
    for (auto const handler : {SIG_DFL, SIG_IGN, sighandler_t{&plain}}) {
      struct sigaction wanted = action_of(handler, flags);
      ::sigaddset(&wanted.sa_mask, SIGUSR1);
      exchange(wanted);
      struct sigaction const told = exchange(action_of(SIG_DFL));
      require(told.sa_handler == handler && flags_of(told) == flags, "the action that was asked for");
      require(::sigismember(&told.sa_mask, SIGUSR1) && !::sigismember(&told.sa_mask, SIGUSR2), "its mask");
    }
  }
  require(Faults::bsd_signal(SIGSEGV, &plain) == SIG_DFL && Faults::bsd_signal(SIGSEGV, SIG_IGN) == &plain, "signal()");
  require(Faults::system_v_signal(SIGSEGV, &plain) == SIG_IGN, "System V's signal()");
  struct sigaction inner {};
  ::sigaction(SIGSEGV, nullptr, &inner);  // as siginterrupt() does inside libc
  inner.sa_flags |= SA_RESTART;
  ::sigaction(SIGSEGV, &inner, nullptr);
  require(current().sa_handler == &plain && (flags_of(current()) & SA_RESTART), "flags that libc changed");
  struct sigaction const impossible = action_of(&plain);
  require(Faults::action(SIGKILL, &impossible, nullptr) == -1 && errno == EINVAL, "refused");
  require(Faults::bsd_signal(1000, &plain) == SIG_ERR && Faults::system_v_signal(1000, &plain) == SIG_ERR, "no signal");
  Faults::bsd_signal(SIGUSR1, SIG_DFL);
  require(Faults::bsd_signal(SIGUSR1, &plain) == SIG_DFL && current(SIGUSR1).sa_handler == &plain, "other signals");
}
TEST(OsFault, is_handled_as_the_program_is_told) { EXPECT_CHILD(actions_told); }

void actions_before() {
  exchange(action_of(&plain));
  struct sigaction inner {};
  ::sigaction(SIGSEGV, nullptr, &inner);
  require(inner.sa_handler == &plain && current().sa_handler == &plain, "the program's own");
  fault();
  require(looks == 0 && plain_calls == 1, "and nobody else's");
}
TEST(OsFault, is_the_programs_alone_until_somebody_looks) { EXPECT_CHILD(actions_before); }

void actions_refused() {
  Faults::install(&look);
  exchange(action_of(&plain));
  filter_system_call(SYS_rt_sigaction, 0, SIGSEGV, EPERM);
  struct sigaction old = action_of(SIG_IGN);
  struct sigaction const wanted = action_of(&full);
  require(Faults::action(SIGSEGV, &wanted, &old) == -1 && errno == EPERM, "the kernel's answer");
  require(old.sa_handler == SIG_IGN, "nothing is told");
  require(Faults::bsd_signal(SIGSEGV, SIG_DFL) == SIG_ERR, "by signal() as well");
  fault();
  require(looks == 1 && plain_calls == 1 && full_calls == 0, "the handler before");
}
TEST(OsFault, is_handled_as_before_where_the_kernel_refuses_the_change) { EXPECT_CHILD(actions_refused); }

void masks_and_stacks() {
  Faults::install(&look);
  static char memory[64 * 1024];
  stack_t const stack{memory, 0, sizeof memory};
  ::sigaltstack(&stack, nullptr);
  auto const on_stack = [] { return stack_inside >= memory && stack_inside < memory + sizeof memory; };
  struct sigaction wanted = action_of(&full);
  ::sigaddset(&wanted.sa_mask, SIGUSR1);
  exchange(wanted);
  fault();
  require(!on_stack() && ::sigismember(&mask_inside, SIGUSR1) && !::sigismember(&mask_inside, SIGUSR2), "its mask");
  require(::sigismember(&mask_inside, SIGSEGV), "the signal itself waits");
  exchange(action_of(&plain, unsigned{SA_ONSTACK} | SA_NODEFER));
  fault();
  require(on_stack() && !::sigismember(&mask_inside, SIGSEGV), "its stack, and the signal may come again");
}
TEST(OsFault, is_handled_with_the_mask_and_on_the_stack_of_the_program) { EXPECT_CHILD(masks_and_stacks); }

TEST(OsFault, is_handled_once_where_the_program_says_so) {
  auto const twice = [] {
    Faults::install([](Fault const&) { Linux::write(STDERR_FILENO, "looked ", 7); });
    exchange(action_of(&plain, unsigned{SA_RESETHAND}));
    fault();
    require(plain_calls == 1 && current().sa_handler == SIG_DFL, "the action was for once");
    forbidden()[1] = 1;
  };
  EXPECT_EXIT(twice(), ::testing::KilledBySignal(SIGSEGV), "^looked looked $");
}

TEST(OsFault, is_told_once_where_the_handler_gives_up) {
  auto const gives_up = [] {
    Faults::install([](Fault const&) { Linux::write(STDERR_FILENO, "looked ", 7); });
    Faults::bsd_signal(SIGSEGV, [](int) { Faults::bsd_signal(SIGSEGV, SIG_DFL); });
    *forbidden() = 1;
  };
  EXPECT_EXIT(gives_up(), ::testing::KilledBySignal(SIGSEGV), "^looked $");
}

void ignored_signals() {
  Faults::install(&look);
  Faults::bsd_signal(SIGSEGV, SIG_IGN);
  ::raise(SIGSEGV);
  Faults::bsd_signal(SIGBUS, SIG_IGN);
  ::kill(::getpid(), SIGBUS);
  require(looks == 0 && current().sa_handler == SIG_IGN, "still ignored");
}
TEST(OsFault, is_not_what_somebody_sends_to_a_program_that_ignores_it) {
  EXPECT_CHILD(ignored_signals);
  auto const faults = [] {
    Faults::install([](Fault const&) { Linux::write(STDERR_FILENO, "looked", 6); });
    Faults::bsd_signal(SIGSEGV, SIG_IGN);
    *forbidden() = 1;
  };
  EXPECT_EXIT(faults(), ::testing::KilledBySignal(SIGSEGV), "^looked$");
}

// A child that shares its parent's memory has actions of its own.
void children() {
  Faults::install(&look);
  exchange(action_of(&plain));
  pid_t const shares = ::vfork();
  if (shares == 0) {
    struct sigaction old {};
    struct sigaction const none = action_of(SIG_DFL);
    Faults::action(SIGSEGV, &none, &old);
    ::_exit(old.sa_handler == &plain ? 0 : 1);
  }
  int status = 0;
  ::waitpid(shares, &status, 0);
  require(status == 0 && current().sa_handler == &plain, "the parent's action stays");
  fault();
  require(looks == 1 && plain_calls == 1, "and is ours to hear of");

  pid_t const forked = ::fork();
  if (forked == 0) {
    Faults::forked();
    exchange(action_of(&full));
    fault();
    ::_exit(looks == 2 && full_calls == 1 ? 0 : 1);
  }
  ::waitpid(forked, &status, 0);
  require(status == 0, "a forked child's later handlers are looked at");
}
TEST(OsFault, is_heard_of_in_children) { EXPECT_CHILD(children); }

void many_threads() {
  Faults::install(&look);
  exchange(action_of(&plain));
  constexpr unsigned kThreads = 3, kFaults = 2000;
  std::atomic<unsigned> running{kThreads};
  std::thread threads[kThreads];
  for (std::thread& thread : threads)
    thread = std::thread([&running] {
      for (unsigned i = 0; i < kFaults; ++i) fault();
      --running;
    });
  for (bool other = false; running != 0; other = !other) {
    struct sigaction const old = exchange(other ? action_of(&plain) : action_of(&full));
    require(old.sa_handler == &plain || old.sa_sigaction == &full, "one of the program's");
  }
  for (std::thread& thread : threads) thread.join();
  require(looks == kThreads * kFaults && plain_calls + full_calls == looks, "each fault, by one handler");
}
TEST(OsFault, is_handled_once_each_while_threads_change_the_action) { EXPECT_CHILD(many_threads); }

}  // namespace
}  // namespace hakmem::testing
