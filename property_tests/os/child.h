// What it owns: running a test's body in a child process, whose limits and system-call filter die
// with it.
// Thread-safety: the child has one thread.
#pragma once

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>

namespace hakmem::testing {

// In a child: ends it with exit code 1 and says why.
inline void require(bool condition, char const* text) {
  if (condition) return;
  std::fprintf(stderr, "required: %s\n", text);
  ::_exit(1);
}

// Has the kernel answer `call` with a seccomp action when its argument number `index` is `value`.
inline void filter_system_call_by(long call, unsigned index, std::uint32_t value, std::uint32_t action) {
  auto const argument = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + index * sizeof(std::uint64_t));
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
  require(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0, "a system-call filter");
}
// With errno `code`, or by ending the process with SIGSYS.
inline void filter_system_call(long call, unsigned index, std::uint32_t value, int code) {
  filter_system_call_by(call, index, value, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(code));
}
inline void forbid_system_call(long call, unsigned index, std::uint32_t value) {
  filter_system_call_by(call, index, value, SECCOMP_RET_KILL_PROCESS);
}

}  // namespace hakmem::testing

// Runs a function in a child; the test fails with what the child's require() said.
#define EXPECT_CHILD(function) EXPECT_EXIT((function(), std::exit(0)), ::testing::ExitedWithCode(0), "")
