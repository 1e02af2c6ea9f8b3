// What it owns: what the library needs of threads beyond mapping memory: to hear of a thread's
// end and of fork, to start the helper thread, and to name a thread.
// Thread-safety: all functions may be called by any thread.
#pragma once

#include <sys/single_threaded.h>

#include <cstdint>

namespace hakmem {

// Tells of the end of threads. One function serves the process: the first one given.
class ThreadExit {
 public:
  // When the calling thread exits, run(argument) is called by it; `argument` is not null. It is
  // called once, unless it arms again: then once more, up to PTHREAD_DESTRUCTOR_ITERATIONS times.
  // The first call should come with the first allocation: glibc runs the destructors of low keys
  // first, so ours runs before the program's, which may still allocate and free; and it stores the
  // values of low keys without allocating.
  // False: no key is left in this process, so nothing will be called.
  static bool arm(void (*run)(void*), void* argument) noexcept;

  // The calling thread's exit calls nothing any more.
  static void disarm() noexcept;
};

// Has fork() call these: `prepare` before it, `parent` and `child` after it. The first call counts;
// later ones do nothing. False: libc could not.
bool register_fork_handlers(void (*prepare)(), void (*parent)(), void (*child)()) noexcept;

// Starts a detached thread that runs run() for as long as the process lives: with a small stack and
// all signals blocked, so that the program's handlers never run on it. May allocate. False: the
// system has no thread to give.
bool start_helper_thread(void (*run)()) noexcept;

// True until the process starts its second thread through libc.
inline bool is_single_threaded() noexcept { return __libc_single_threaded != 0; }

// The kernel's number of the calling thread; right in a forked child too. A system call.
std::uint32_t current_thread_id() noexcept;

}  // namespace hakmem
