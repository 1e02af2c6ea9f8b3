#include "core/os/fault.h"

#include <signal.h>
#include <ucontext.h>

#include <cerrno>

#include "core/os/line.h"
#include "core/os/linux.h"

namespace hakmem {
namespace {

// Written by install() before the handlers are in place.
using Look = void (*)(Fault const&);
constinit Look looker = nullptr;
struct sigaction before_segv, before_bus;

constinit thread_local bool looking = false;

Fault fault_of(siginfo_t const* info, void const* context) noexcept {
  Fault fault;
  fault.address = info->si_addr;
  [[maybe_unused]] auto const* const machine = &static_cast<ucontext_t const*>(context)->uc_mcontext;
#if defined(__x86_64__)
  constexpr greg_t kWriteBit = 2;
  fault.pc = reinterpret_cast<void*>(machine->gregs[REG_RIP]);
  fault.frame = reinterpret_cast<void*>(machine->gregs[REG_RBP]);
  fault.access = machine->gregs[REG_ERR] & kWriteBit ? "write" : "read";
#elif defined(__aarch64__)
  fault.pc = reinterpret_cast<void*>(machine->pc);
  fault.frame = reinterpret_cast<void*>(machine->regs[29]);
#endif
  return fault;
}

// A fault meanwhile comes to handle() as well.
void look_at(Fault const& fault) noexcept {
  sigset_t faults, blocked;
  ::sigemptyset(&faults);
  ::sigaddset(&faults, SIGSEGV);
  ::sigaddset(&faults, SIGBUS);
  ::pthread_sigmask(SIG_UNBLOCK, &faults, &blocked);
  looking = true;
  looker(fault);
  looking = false;
  ::pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
}

void handle(int number, siginfo_t* info, void* context) {
  int const saved_errno = errno;
  struct sigaction const& before = number == SIGSEGV ? before_segv : before_bus;
  bool const informs = (before.sa_flags & SA_SIGINFO) != 0;
  bool const fatal = looking || (!informs && (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN));
  if (looking) {
    Line()
        .text("hakmem: a fault while another was looked at: the heap's own data were overwritten")
        .write_to<Linux>(kStandardError);
  } else if (info->si_code > 0) {
    Fault fault = fault_of(info, context);
    fault.fatal = fatal;
    look_at(fault);
  }
  errno = saved_errno;
  if (!fatal) return informs ? before.sa_sigaction(number, info, context) : before.sa_handler(number);
  // The access is made again and ends the process; a signal that was sent is sent again.
  struct sigaction fallback {};
  fallback.sa_handler = SIG_DFL;
  ::sigaction(number, &fallback, nullptr);
  if (info->si_code <= 0) ::raise(number);
}

}  // namespace

void Faults::install(Look look) noexcept {
  looker = look;
  struct sigaction action {};
  action.sa_sigaction = &handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGSEGV, &action, &before_segv);
  ::sigaction(SIGBUS, &action, &before_bus);
}

}  // namespace hakmem
