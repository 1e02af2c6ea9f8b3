#include "core/os/fault.h"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>

#include "core/base/atomic.h"
#include "core/base/lock.h"
#include "core/os/line.h"
#include "core/os/linux.h"

// libc's own, under the names of it that no library stands in for.
extern "C" int __sigaction(int number, struct sigaction const* wanted, struct sigaction* old) noexcept;
extern "C" sighandler_t ssignal(int number, sighandler_t wanted) noexcept;

namespace hakmem {
namespace {

// Written by install() before the handlers are in place.
using Look = void (*)(Fault const&);
constinit Look looker = nullptr;
// The process whose actions are remembered. protocol: written where there is one thread; relaxed.
constinit std::atomic<long> owner{0};

void handle(int number, siginfo_t* info, void* context);

// What the program asked for, as far as the kernel was told otherwise: its handler, and, in the bits that
// no address has, which flags were added and which one was left out. The rest of it the kernel keeps.
class Asked {
 public:
  constexpr Asked() noexcept = default;
  constexpr explicit Asked(std::uint64_t word) noexcept : word_(word) {}

  // Puts our handler in the place of the program's.
  static Asked replace(struct sigaction& action) noexcept {
    Asked asked(reinterpret_cast<std::uintptr_t>(action.sa_handler));
    auto flags = static_cast<unsigned>(action.sa_flags);
    if (!(flags & SA_SIGINFO)) asked.word_ |= kPlain;
    if (flags & SA_RESETHAND) asked.word_ |= kOnce;
    if (!asked.handles() && !(flags & SA_ONSTACK)) asked.word_ |= kAnyStack;
    if (!asked.handles()) flags |= SA_ONSTACK;
    action.sa_flags = static_cast<int>((flags | SA_SIGINFO) & ~unsigned{SA_RESETHAND});
    action.sa_sigaction = &handle;
    return asked;
  }

  // The kernel's action as the program shall see it.
  void restore(struct sigaction& action) const noexcept {
    if (action.sa_sigaction != &handle) return;
    auto flags = static_cast<unsigned>(action.sa_flags);
    if (word_ & kPlain) flags &= ~unsigned{SA_SIGINFO};
    if (word_ & kOnce) flags |= SA_RESETHAND;
    if (word_ & kAnyStack) flags &= ~unsigned{SA_ONSTACK};
    action.sa_flags = static_cast<int>(flags);
    action.sa_handler = plain();
  }

  bool handles() const noexcept { return plain() != SIG_DFL && plain() != SIG_IGN; }
  bool ignores() const noexcept { return plain() == SIG_IGN; }
  bool once() const noexcept { return (word_ & kOnce) && handles(); }
  Asked after_once() const noexcept { return Asked(word_ & kMarks); }
  std::uint64_t word() const noexcept { return word_; }

  // Domain: handles().
  void call(int number, siginfo_t* info, void* context) const noexcept {
    if (word_ & kPlain) return plain()(number);
    reinterpret_cast<void (*)(int, siginfo_t*, void*)>(word_ & ~kMarks)(number, info, context);
  }

 private:
  static constexpr std::uint64_t kPlain = std::uint64_t{1} << 61, kOnce = kPlain << 1, kAnyStack = kPlain << 2;
  static constexpr std::uint64_t kMarks = kPlain | kOnce | kAnyStack;

  sighandler_t plain() const noexcept { return reinterpret_cast<sighandler_t>(word_ & ~kMarks); }

  std::uint64_t word_ = 0;
};

// protocol: written under the lock, and by the handler where an action holds once; read by the handler.
// Relaxed: the word is all there is.
constinit std::atomic<std::uint64_t> asked_for_segv{0}, asked_for_bus{0};
std::atomic<std::uint64_t>* asked_for(int number) noexcept {
  return number == SIGSEGV ? &asked_for_segv : number == SIGBUS ? &asked_for_bus : nullptr;
}

// Held while the kernel is told: what is remembered and what it has belong together. No signal comes
// meanwhile, for its handler might ask for the same.
using Changing = Lock<StdSync, Linux, LockRank::kFaults>;
constinit Changing changing;
class NoSignals {
 public:
  NoSignals() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSignals(NoSignals const&) = delete;
  NoSignals& operator=(NoSignals const&) = delete;

 private:
  sigset_t before_;
};

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

// What was looked at last. A handler of the program's may put the default action back and return: then the
// same access faults again, and was told of. protocol: any thread; relaxed, for nothing else is published.
constinit std::atomic<void*> last_address{nullptr}, last_pc{nullptr};

// A fault meanwhile comes to handle() as well.
void look_at(Fault const& fault) noexcept {
  bool const same = last_address.exchange(fault.address, std::memory_order_relaxed) == fault.address;
  bool const same_pc = last_pc.exchange(fault.pc, std::memory_order_relaxed) == fault.pc;
  if (fault.fatal && same && same_pc) return;
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
  std::uint64_t word = asked_for(number)->load(std::memory_order_relaxed);
  if (Asked(word).once())
    asked_for(number)->compare_exchange_strong(word, Asked(word).after_once().word(), std::memory_order_relaxed);
  Asked const asked(word);
  bool const faulted = info->si_code > 0;
  bool const fatal = (faulted && looking) || !asked.handles();
  if (faulted && looking) {
    Line()
        .text("hakmem: a fault while another was looked at: the heap's own data were overwritten")
        .write_to<Linux>(kStandardError);
  } else if (faulted) {
    Fault fault = fault_of(info, context);
    fault.fatal = fatal;
    look_at(fault);
  }
  errno = saved_errno;
  if (!fatal) return asked.call(number, info, context);
  if (asked.ignores() && !faulted) return;
  // The access is made again and ends the process; a signal that was sent is sent again.
  struct sigaction fallback {};
  fallback.sa_handler = SIG_DFL;
  __sigaction(number, &fallback, nullptr);
  if (!faulted) ::raise(number);
}

bool in_front() noexcept { return looker && owner.load(std::memory_order_relaxed) == ::syscall(SYS_getpid); }

}  // namespace

int Faults::action(int number, struct sigaction const* wanted, struct sigaction* old) noexcept {
  std::atomic<std::uint64_t>* const asked = asked_for(number);
  if (!asked) return __sigaction(number, wanted, old);
  struct sigaction next {
  }, before{};
  if (wanted) next = *wanted;
  int result = 0;
  {
    NoSignals const none;
    Locked const held(changing);
    Asked const had(asked->load(std::memory_order_relaxed));
    bool const remembered = wanted && in_front();
    Asked const has = remembered ? Asked::replace(next) : had;
    asked->store(has.word(), std::memory_order_relaxed);
    result = __sigaction(number, wanted ? &next : nullptr, &before);
    if (result != 0) asked->store(had.word(), std::memory_order_relaxed);
    had.restore(before);
  }
  if (old && result == 0) *old = before;
  return result;
}

sighandler_t Faults::handler(int number, sighandler_t wanted, unsigned flags, bool masks_itself) noexcept {
  struct sigaction action {
  }, before{};
  action.sa_handler = wanted;
  action.sa_flags = static_cast<int>(flags);
  ::sigemptyset(&action.sa_mask);
  if (masks_itself) ::sigaddset(&action.sa_mask, number);
  return Faults::action(number, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

// libc's own knows of siginterrupt(), which it keeps to itself.
sighandler_t Faults::bsd_signal(int number, sighandler_t wanted) noexcept {
  return asked_for(number) ? handler(number, wanted, SA_RESTART, true) : ::ssignal(number, wanted);
}

sighandler_t Faults::system_v_signal(int number, sighandler_t wanted) noexcept {
  return handler(number, wanted, unsigned{SA_RESETHAND} | SA_NODEFER | SA_INTERRUPT, false);
}

void Faults::forked() noexcept {
  ::new (&changing) Changing();
  if (looker) owner.store(::syscall(SYS_getpid), std::memory_order_relaxed);
}

void Faults::install(Look look) noexcept {
  looker = look;
  owner.store(::syscall(SYS_getpid), std::memory_order_relaxed);
  for (int const number : {SIGSEGV, SIGBUS}) {
    struct sigaction had {};
    __sigaction(number, nullptr, &had);
    action(number, &had, nullptr);
  }
}

}  // namespace hakmem
