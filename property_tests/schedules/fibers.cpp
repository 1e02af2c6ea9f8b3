#include "property_tests/schedules/fibers.h"

#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <exception>
#include <memory>
#include <string>

#include "core/base/lock.h"
#include "property_tests/model/violation.h"

namespace hakmem::testing {
namespace {

constexpr std::size_t kStackBytes = 256 * 1024;
constexpr unsigned kMostFibers = 8;
// Fibers that wait this often in a row wait for nothing that can come.
constexpr unsigned kPatience = 100'000;

struct Fiber {
  ucontext_t context{};
  std::function<void()> body;
  std::uint32_t held_lock_ranks = 0;  // a thread-local of the library's, so a fiber's here
};

struct Run {
  Scheduler* scheduler = nullptr;
  std::vector<Fiber> fibers;
  ucontext_t home{};
  unsigned current = 0;
  Ready ready = 0;
  unsigned waits = 0;  // in a row, of all fibers
  std::exception_ptr failure;
};
Run* running = nullptr;

std::byte* stack_of(unsigned number) {
  static std::unique_ptr<std::byte[]> stacks[kMostFibers];
  if (!stacks[number]) stacks[number] = std::make_unique<std::byte[]>(kStackBytes);
  return stacks[number].get();
}

// Ends the run from inside the library, which does not let exceptions pass.
[[noreturn]] void give_up(std::string const& why) {
  running->failure = std::make_exception_ptr(Violation(why));
  setcontext(&running->home);
  std::abort();
}

void switch_to(unsigned to) {
  unsigned const from = running->current;
  if (to == from) return;
  running->fibers[from].held_lock_ranks = held_lock_ranks;
  held_lock_ranks = running->fibers[to].held_lock_ranks;
  running->current = to;
  swapcontext(&running->fibers[from].context, &running->fibers[to].context);
}

void run_body() {
  try {
    running->fibers[running->current].body();
  } catch (...) {
    running->failure = std::current_exception();
  }
  running->ready &= ~(Ready{1} << running->current);
  if (running->ready == 0 || running->failure) setcontext(&running->home);
  switch_to(running->scheduler->choose(Scheduler::Point::kEnd, running->current, running->ready));
}

void prepare(ucontext_t& context, std::byte* stack) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = kStackBytes;
  makecontext(&context, &run_body, 0);
}

// A program that is broken on purpose may end by any of these.
constexpr int kSignals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
constexpr unsigned kSeconds = 20;  // for what takes milliseconds

class SignalsCaught {
 public:
  SignalsCaught() {
    static std::byte stack[64 * 1024];
    stack_t const alternate{.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof stack};
    sigaltstack(&alternate, nullptr);
    struct sigaction action {};
    action.sa_handler = [](int number) {
      caught = number;
      setcontext(&outside);
    };
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    for (std::size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &before_[i]);
    alarm(kSeconds);
  }
  ~SignalsCaught() {
    alarm(0);
    for (std::size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }
  SignalsCaught(SignalsCaught const&) = delete;
  SignalsCaught& operator=(SignalsCaught const&) = delete;

  static inline ucontext_t outside;
  static inline int volatile caught = 0;

 private:
  struct sigaction before_[std::size(kSignals)]{};
};

}  // namespace

unsigned in_turn(Ready ready, unsigned from) {
  while ((ready >> from % kMostFibers & 1) == 0) ++from;
  return from % kMostFibers;
}

void Fibers::run(std::vector<std::function<void()>> bodies, Scheduler& scheduler) {
  require(!bodies.empty() && bodies.size() <= kMostFibers, "between one and eight fibers");
  Run all;
  all.scheduler = &scheduler;
  all.fibers.resize(bodies.size());
  all.ready = (Ready{1} << bodies.size()) - 1;
  for (unsigned i = 0; i < bodies.size(); ++i) {
    all.fibers[i].body = std::move(bodies[i]);
    prepare(all.fibers[i].context, stack_of(i));
  }
  running = &all;
  all.current = scheduler.choose(Scheduler::Point::kStart, 0, all.ready);
  swapcontext(&all.home, &all.fibers[all.current].context);
  running = nullptr;
  held_lock_ranks = 0;
  if (all.failure) std::rethrow_exception(all.failure);
}

void Fibers::guarded(std::function<void()> const& act) {
  SignalsCaught::caught = 0;
  SignalsCaught const signals;
  getcontext(&SignalsCaught::outside);
  if (SignalsCaught::caught == 0) return act();
  running = nullptr;
  throw Violation("signal " + std::to_string(SignalsCaught::caught));
}

void Fibers::forget() { running = nullptr; }

void Fibers::step() {
  if (!running) return;
  running->waits = 0;
  switch_to(running->scheduler->choose(Scheduler::Point::kStep, running->current, running->ready));
}

void Fibers::wait() {
  if (!running) return;
  if (++running->waits > kPatience) give_up("nobody can go on");
  Ready const others = running->ready & ~(Ready{1} << running->current);
  if (others != 0) switch_to(running->scheduler->choose(Scheduler::Point::kWait, running->current, others));
}

}  // namespace hakmem::testing
