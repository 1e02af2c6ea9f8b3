// Linked by tools/coverage into each program and library that it measures: writes the profile where the process ends
// without its exit handlers, by abort(), by _exit(), by a signal that it sends to itself or by a fault. Nothing here
// allocates: the end may come from inside the allocator.
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t __llvm_profile_get_size_for_buffer(void);
int __llvm_profile_write_buffer(char* buffer);

static void write_profile(void) {
  static char const image;
  char path[512];
  snprintf(path, sizeof path, "%s/end-%d-%lx.profraw", PROFILES, (int)getpid(), (unsigned long)&image);
  uint64_t const bytes = __llvm_profile_get_size_for_buffer();
  char* const buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int const file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (buffer != MAP_FAILED && file >= 0 && __llvm_profile_write_buffer(buffer) == 0)
    for (uint64_t done = 0; done < bytes;) {
      ssize_t const written = write(file, buffer + done, bytes - done);
      if (written <= 0) break;
      done += (uint64_t)written;
    }
  if (file >= 0) close(file);
  if (buffer != MAP_FAILED) munmap(buffer, bytes);
}

// The linker puts these in front of the functions that end a process: --wrap.
_Noreturn void __real_abort(void);
_Noreturn void __wrap_abort(void) {
  write_profile();
  __real_abort();
}

_Noreturn void __real__exit(int code);
_Noreturn void __wrap__exit(int code) {
  write_profile();
  __real__exit(code);
}
_Noreturn void __wrap__Exit(int code) { __wrap__exit(code); }

int __real_raise(int number);
int __wrap_raise(int number) {
  write_profile();
  return __real_raise(number);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
  long words[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; ++i) words[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_exit_group) write_profile();
  return __real_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

// A fault's handler that puts the default action back ends the process by it.
int __real___sigaction(int number, struct sigaction const* wanted, struct sigaction* old);
int __wrap___sigaction(int number, struct sigaction const* wanted, struct sigaction* old) {
  if (wanted && wanted->sa_handler == SIG_DFL) write_profile();
  return __real___sigaction(number, wanted, old);
}
