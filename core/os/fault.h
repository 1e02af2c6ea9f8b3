// What it owns: hearing of memory faults, and passing them on. The handlers of SIGSEGV and SIGBUS are ours;
// what the program asks for these signals is remembered, and the kernel is asked for the same with our
// handler in its place: mask, stack and restart are as the program wants them.
// Invariants: no action that the program is told of is ours; what is passed on is what it would have got.
// Thread-safety: install() once; the rest any thread, signal handlers included. The handler runs in the
// thread that faulted and takes no lock.
#pragma once

#include <signal.h>

namespace hakmem {

// What the processor said of a faulting access.
struct Fault {
  void* address = nullptr;
  void* pc = nullptr;
  void* frame = nullptr;          // the frame pointer at that moment
  char const* access = "access";  // "read" or "write" where the processor tells
  bool fatal = true;              // no handler of the program's will hear of it
};

class Faults {
 public:
  // Calls look(fault) for SIGSEGV and SIGBUS. Then the fault takes its course: the program's handler runs,
  // whether it was there before or came later through action() or handler(), or the process ends as it
  // would have. A fault of look() itself is told in one line and ends the process.
  static void install(void (*look)(Fault const&)) noexcept;

  // In a child, after fork. Until then, as in a child that shares its parent's memory (vfork), what is asked
  // for goes to the kernel as it is, for what is remembered is the parent's.
  static void forked() noexcept;

  // sigaction(), and the older calls by its means: handler() with the flags and the mask given.
  static int action(int number, struct sigaction const* wanted, struct sigaction* old) noexcept;
  static sighandler_t handler(int number, sighandler_t wanted, unsigned flags, bool masks_itself) noexcept;
  // signal() as the C library has it: BSD's, and System V's.
  static sighandler_t bsd_signal(int number, sighandler_t wanted) noexcept;
  static sighandler_t system_v_signal(int number, sighandler_t wanted) noexcept;
};

}  // namespace hakmem
