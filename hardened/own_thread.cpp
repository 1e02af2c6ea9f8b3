#include "hardened/own_thread.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <atomic>

#include "core/os/thread.h"

namespace hakmem::hardened {
namespace {

// protocol: counts threads; relaxed, for nothing else is published.
constinit std::atomic<std::uint32_t> threads{0};

}  // namespace

// No frame of ours lies above the end of the stack: the kernel puts the random bytes above the first thread's stack,
// and libc a thread's own descriptor above each other one.
void start_own_thread() noexcept {
  bool const first_thread = current_thread_id() == static_cast<std::uint32_t>(::getpid());
  own.stack_end = first_thread ? ::getauxval(AT_RANDOM) : reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
  own.number = threads.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace hakmem::hardened
