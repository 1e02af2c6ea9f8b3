#include "tools/hak/faults/tracee.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace hakmem::tools {
namespace {

constexpr long kOptions =
    PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;

[[noreturn]] void fail(std::string const& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

ThreadPlace place_of(pid_t thread) {
  user_regs_struct registers{};
  iovec area{&registers, sizeof registers};
  if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &area) != 0) return {};
#if defined(__x86_64__)
  return {registers.rsp, registers.fs_base};
#else
  return {registers.sp, 0};
#endif
}

TraceStop describe(pid_t thread, int status) {
  TraceStop stop;
  stop.thread = thread;
  switch (status >> 16) {
    case PTRACE_EVENT_STOP:
      stop.listen = WSTOPSIG(status) != SIGTRAP;
      if (!stop.listen) stop.kind = TraceStop::Kind::kBirth;
      break;
    case PTRACE_EVENT_EXEC:
      stop.kind = TraceStop::Kind::kExec;
      break;
    case PTRACE_EVENT_EXIT:
      stop.kind = TraceStop::Kind::kExit;
      break;
    case 0:
      stop.signal = WSTOPSIG(status);
      break;
    default:
      break;
  }
  stop.place = place_of(thread);
  return stop;
}

}  // namespace

Tracee::Tracee(std::vector<std::string> const& command, std::string const& preload) {
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_signal, &mask_of_command_);
  changes_ = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
  if (changes_ < 0) fail("signalfd");
  std::array<int, 2> go{};
  std::array<int, 2> failed{};
  if (pipe2(go.data(), O_CLOEXEC) != 0 || pipe2(failed.data(), O_CLOEXEC) != 0) fail("pipe");
  process_ = fork();
  if (process_ < 0) fail("fork");
  if (process_ == 0) {
    close(go[1]);
    become(command, preload, go[0], failed[1]);
  }
  close(go[0]);
  close(failed[1]);
  go_ = go[1];
  failed_ = failed[0];
  if (ptrace(PTRACE_SEIZE, process_, nullptr, kOptions) != 0) {
    int const error = errno;
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    errno = error;
    fail("the kernel forbids to trace " + command[0]);
  }
}

// Called in the child: nothing here may throw or return.
void Tracee::become(std::vector<std::string> const& command, std::string const& preload, int go, int failed) {
  std::vector<char*> words;
  for (std::string const& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  if (!preload.empty()) setenv("LD_PRELOAD", preload.c_str(), 1);
  sigprocmask(SIG_SETMASK, &mask_of_command_, nullptr);
  char byte = 0;
  if (read(go, &byte, 1) == 1) execvp(words[0], words.data());
  int const error = errno;
  static_cast<void>(!write(failed, &error, sizeof error));
  _exit(127);
}

Tracee::~Tracee() {
  if (!ended_) {
    kill(process_, SIGKILL);
    int status = 0;
    do {
      ptrace(PTRACE_DETACH, process_, nullptr, 0L);  // a stop that was reported would last for ever
    } while (waitpid(process_, &status, __WALL) == process_ && WIFSTOPPED(status));
  }
  close(go_);
  close(failed_);
  close(changes_);
  sigprocmask(SIG_SETMASK, &mask_of_command_, nullptr);
}

void Tracee::start() {
  if (write(go_, "g", 1) != 1) fail("cannot start the command");
}

std::optional<TraceStop> Tracee::next_stop() {
  signalfd_siginfo ignored;
  while (read(changes_, &ignored, sizeof ignored) > 0) {
  }
  for (;;) {
    int status = 0;
    pid_t const thread = waitpid(-1, &status, WNOHANG | __WALL);
    if (thread <= 0) return std::nullopt;
    if (WIFSTOPPED(status)) return describe(thread, status);
    if (thread == process_) note_end(status);
  }
}

void Tracee::note_end(int status) {
  ended_ = true;
  exit_status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  int error = 0;
  if (read(failed_, &error, sizeof error) == sizeof error) failure_ = std::strerror(error);
}

void Tracee::resume(TraceStop const& stop) {
  // A thread that was killed meanwhile is not there to go on.
  ptrace(stop.listen ? PTRACE_LISTEN : PTRACE_CONT, stop.thread, nullptr, static_cast<long>(stop.signal));
}

}  // namespace hakmem::tools
