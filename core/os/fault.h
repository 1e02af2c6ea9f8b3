// What it owns: hearing of memory faults, and passing them on.
// Thread-safety: install() once; the handler runs in the thread that faulted.
#pragma once

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
  // Calls look(fault) for SIGSEGV and SIGBUS. Then the fault takes its course: the handler that was
  // there before runs, or the process ends as it would have. A handler that the program installs
  // later replaces this one. A fault of look() itself is told in one line and ends the process.
  static void install(void (*look)(Fault const&)) noexcept;
};

}  // namespace hakmem
