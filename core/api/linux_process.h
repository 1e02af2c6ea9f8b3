// What it owns: the process that the libraries run in, as the runtime sees it (HostProcess).
// Thread-safety: all functions, any thread; register_fork and keep_standard_error once.
#pragma once

#include <sys/auxv.h>
#include <unistd.h>

#include "core/os/fault.h"
#include "core/os/standard_error.h"
#include "core/os/thread.h"

namespace hakmem {

struct LinuxProcess {
  // Nothing in a program that runs with more rights than who started it.
  static char const* const* environment() noexcept { return getauxval(AT_SECURE) ? nullptr : environ; }

  static bool arm_thread_exit(void (*run)()) noexcept { return ThreadExit::arm(&call, reinterpret_cast<void*>(run)); }

  // A refusal leaves a program that can do everything but fork while its threads allocate.
  static void register_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept {
    in_child_ = in_child;
    static_cast<void>(register_fork_handlers(before, in_parent, [] {
      Faults::forked();
      in_child_();
    }));
  }

  static bool start_helper(void (*run)()) noexcept { return start_helper_thread(run); }

  static void keep_standard_error() noexcept { StandardError::keep(); }
  static void write_standard_error(void*, char const* text, std::size_t bytes) noexcept {
    StandardError::write(text, bytes);
  }

 private:
  using Run = void (*)();
  static constinit inline Run in_child_ = nullptr;  // written once, before it is called
  static void call(void* function) noexcept { reinterpret_cast<void (*)()>(function)(); }
};

}  // namespace hakmem
