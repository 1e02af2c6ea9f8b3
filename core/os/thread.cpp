#include "core/os/thread.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>

#include "core/base/check.h"

namespace hakmem {
namespace {

// protocol: set once by the first arm(); pthread_once orders it before the key's creation.
constinit std::atomic<void (*)(void*)> exit_function{nullptr};
// Written by pthread_once's one call, read after pthread_once returned.
pthread_key_t exit_key;
bool exit_key_exists = false;
pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

void create_exit_key() {
  exit_key_exists = ::pthread_key_create(&exit_key, exit_function.load(std::memory_order_relaxed)) == 0;
}

// protocol: exchange picks the one thread that registers; relaxed, for nothing is published.
constinit std::atomic<bool> fork_handlers_registered{false};

}  // namespace

bool ThreadExit::arm(void (*run)(void*), void* argument) noexcept {
  INVARIANT(argument != nullptr);
  void (*registered)(void*) = nullptr;
  exit_function.compare_exchange_strong(registered, run, std::memory_order_relaxed);
  INVARIANT(registered == nullptr || registered == run);
  ::pthread_once(&exit_key_once, create_exit_key);
  return exit_key_exists && ::pthread_setspecific(exit_key, argument) == 0;
}

void ThreadExit::disarm() noexcept {
  if (exit_key_exists) ::pthread_setspecific(exit_key, nullptr);
}

bool register_fork_handlers(void (*prepare)(), void (*parent)(), void (*child)()) noexcept {
  if (fork_handlers_registered.exchange(true, std::memory_order_relaxed)) return true;
  return ::pthread_atfork(prepare, parent, child) == 0;
}

std::uint32_t current_thread_id() noexcept { return static_cast<std::uint32_t>(::gettid()); }

}  // namespace hakmem
