// What it owns: the tests of hearing of memory faults. Each runs in a child process, for handlers stay.
#include "core/os/fault.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstring>

#include "core/os/linux.h"
#include "property_tests/os/child.h"

namespace hakmem::testing {
namespace {

Fault seen;
unsigned looks = 0, passed_on = 0;
sigjmp_buf back;

void look(Fault const& fault) {
  seen = fault;
  ++looks;
}
void leave_with_all(int, siginfo_t*, void*) {
  ++passed_on;
  ::siglongjmp(back, 1);
}
void leave(int) { leave_with_all(0, nullptr, nullptr); }

// True as well where the processor does not tell.
bool said(char const* access) {
  return std::strcmp(seen.access, access) == 0 || std::strcmp(seen.access, "access") == 0;
}

// A page that nobody may touch.
char* forbidden() { return static_cast<char*>(Linux::map(nullptr, Linux::page_bytes(), MapKind::kReserve).address); }

// Does it where a handler can leave it by a jump.
template <class Act>
void fault_in(Act act) {
  if (sigsetjmp(back, 1) == 0) act();
}

void handlers_with_all_that_is_known() {
  struct sigaction mine {};
  mine.sa_sigaction = &leave_with_all;
  mine.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &mine, nullptr);
  Faults::install(&look);
  char volatile* const page = forbidden();
  fault_in([&] { page[5] = 1; });
  require(looks == 1 && passed_on == 1, "looked at and passed on");
  require(seen.address == page + 5 && seen.pc != nullptr, "where it was");
  require(said("write"), "a write");
  fault_in([&] { static_cast<void>(page[6]); });
  require(looks == 2 && passed_on == 2 && seen.address == page + 6, "and again");
  require(said("read"), "a read");
}

TEST(OsFault, is_looked_at_and_passed_on) { EXPECT_CHILD(handlers_with_all_that_is_known); }

void looks_on_the_alternate_stack() {
  Faults::install(&look);
  struct sigaction ours {};
  ::sigaction(SIGSEGV, nullptr, &ours);
  require((ours.sa_flags & SA_ONSTACK) != 0, "where the stack is at its end there may be another");
}
TEST(OsFault, is_looked_at_on_the_alternate_stack_where_the_program_has_no_handler) {
  EXPECT_CHILD(looks_on_the_alternate_stack);
}

void handlers_with_a_number() {
  ::signal(SIGSEGV, &leave);
  ::signal(SIGBUS, &leave);
  Faults::install(&look);
  fault_in([page = forbidden()] { *static_cast<char volatile*>(page) = 1; });
  require(looks == 1 && passed_on == 1, "a fault is looked at");
  fault_in([] { ::raise(SIGBUS); });
  require(looks == 1 && passed_on == 2, "a signal that somebody sent is not");
}

TEST(OsFault, is_no_signal_that_somebody_sent) { EXPECT_CHILD(handlers_with_a_number); }

TEST(OsFault, ends_the_process_where_nobody_handles_it) {
  auto const fault = [](int number, void (*before)(int)) {
    ::signal(number, before);
    Faults::install([](Fault const&) { Linux::write(STDERR_FILENO, "looked", 6); });
    *static_cast<char volatile*>(forbidden()) = 1;
  };
  EXPECT_EXIT(fault(SIGSEGV, SIG_DFL), ::testing::KilledBySignal(SIGSEGV), "looked");
  EXPECT_EXIT(fault(SIGSEGV, SIG_IGN), ::testing::KilledBySignal(SIGSEGV), "looked");
  auto const send = [] {
    ::signal(SIGBUS, SIG_DFL);
    Faults::install(&look);
    ::raise(SIGBUS);
  };
  EXPECT_EXIT(send(), ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace hakmem::testing
