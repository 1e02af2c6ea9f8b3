#include "core/os/thread.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "core/base/check.h"
#include "core/base/geometry.h"

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

constexpr std::size_t kHelperStackBytes = 64 * kKiB;

void* run_helper(void* run) {
  reinterpret_cast<void (*)()>(run)();
  return nullptr;
}

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

bool start_helper_thread(void (*run)()) noexcept {
  pthread_attr_t attributes;
  if (::pthread_attr_init(&attributes) != 0) return false;
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // The program's static thread-local storage lies on the stack too.
  std::size_t const least = static_cast<std::size_t>(::sysconf(_SC_THREAD_STACK_MIN));
  ::pthread_attr_setstacksize(&attributes, least + kHelperStackBytes);
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  bool const started = ::pthread_create(&thread, &attributes, &run_helper, reinterpret_cast<void*>(run)) == 0;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  return started;
}

std::uint32_t current_thread_id() noexcept { return static_cast<std::uint32_t>(::gettid()); }

}  // namespace hakmem
