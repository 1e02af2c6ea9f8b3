#include "fuzz/fibers.h"

#include <cstdlib>

#include "core/base/lock.h"
#include "property_tests/model/violation.h"

namespace hakmem::fuzz {
namespace {

constexpr std::size_t kStackBytes = 256 * 1024;
// A fiber that waits this often in a row waits for nothing that can come.
constexpr unsigned kPatience = 100'000;

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
  std::function<void()> body;
  bool done = false;
  std::uint32_t held_lock_ranks = 0;  // a thread-local of the library's, so a fiber's here
};

struct Scheduler {
  std::vector<Fiber> fibers;
  ucontext_t home{};
  unsigned current = 0;
  unsigned steps = 0;  // until the switch; 0: none
  unsigned target = 0;
  unsigned waits = 0;  // in a row, of all fibers
  std::exception_ptr failure;
};
Scheduler* scheduler = nullptr;

// The first fiber from `from` on that is not done; the number of fibers: there is none.
unsigned runnable(unsigned from) {
  auto const count = static_cast<unsigned>(scheduler->fibers.size());
  for (unsigned i = 0; i < count; ++i)
    if (!scheduler->fibers[(from + i) % count].done) return (from + i) % count;
  return count;
}

void switch_to(unsigned to) {
  unsigned const from = scheduler->current;
  if (to == from) return;
  scheduler->fibers[from].held_lock_ranks = held_lock_ranks;
  held_lock_ranks = scheduler->fibers[to].held_lock_ranks;
  scheduler->current = to;
  swapcontext(&scheduler->fibers[from].context, &scheduler->fibers[to].context);
}

void run_body() {
  Fiber& fiber = scheduler->fibers[scheduler->current];
  try {
    fiber.body();
  } catch (...) {
    if (!scheduler->failure) scheduler->failure = std::current_exception();
  }
  fiber.done = true;
  unsigned const next = runnable(scheduler->current + 1);
  bool const last = next == scheduler->fibers.size() || scheduler->failure;
  if (last) swapcontext(&fiber.context, &scheduler->home);
  switch_to(next);
}

}  // namespace

void Fibers::run(std::vector<std::function<void()>> bodies) {
  Scheduler all;
  all.fibers.resize(bodies.size());
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    Fiber& fiber = all.fibers[i];
    fiber.body = std::move(bodies[i]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    makecontext(&fiber.context, &run_body, 0);
  }
  scheduler = &all;
  swapcontext(&all.home, &all.fibers[0].context);
  scheduler = nullptr;
  held_lock_ranks = 0;
  if (all.failure) std::rethrow_exception(all.failure);
}

void Fibers::switch_after(unsigned steps, unsigned to) {
  scheduler->steps = steps;
  scheduler->target = to;
}

void Fibers::step() {
  if (!scheduler) return;
  scheduler->waits = 0;
  if (scheduler->steps == 0 || --scheduler->steps != 0) return;
  switch_to(runnable(scheduler->target));
}

void Fibers::wait() {
  if (!scheduler) return;
  // Inside the library, which does not let exceptions pass.
  if (++scheduler->waits > kPatience) std::abort();
  switch_to(runnable(scheduler->current + 1));
}

}  // namespace hakmem::fuzz
