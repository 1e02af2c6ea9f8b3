// What it owns: the command under observation and its descendants, held at the moments at which
// their memory must be looked at: a thread's birth and end, and after exec. It changes nothing else
// of what they do.
// Thread-safety: the thread that constructs it must make every call (ptrace's rule).
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hakmem::tools {

// Where a thread was at a stop: 0 if the machine does not tell.
struct ThreadPlace {
  std::uint64_t stack_pointer = 0;
  std::uint64_t thread_pointer = 0;
};

struct TraceStop {
  enum class Kind : std::uint8_t { kBirth, kExec, kExit, kOther };

  Kind kind = Kind::kOther;
  pid_t thread = 0;
  ThreadPlace place;
  int signal = 0;       // to be delivered when it goes on
  bool listen = false;  // it was stopped by job control and stays so
};

class Tracee {
 public:
  // Forks a child that waits to become the command, with LD_PRELOAD=preload unless empty. Throws std::runtime_error if
  // it cannot be traced.
  Tracee(std::vector<std::string> const& command, std::string const& preload);
  ~Tracee();
  Tracee(Tracee const&) = delete;
  Tracee& operator=(Tracee const&) = delete;

  pid_t process() const { return process_; }
  void start();  // the child becomes the command

  // Readable when there may be a stop.
  int descriptor() const { return changes_; }
  // A stop that is there already; nullopt: none. The thread stands still until resume().
  std::optional<TraceStop> next_stop();
  void resume(TraceStop const& stop);

  bool ended() const { return ended_; }
  // Its exit status, or 128 and the signal that ended it. Domain: ended().
  int exit_status() const { return exit_status_; }
  // Why the command could not be run; empty: it could.
  std::string failure() const { return failure_; }

 private:
  [[noreturn]] void become(std::vector<std::string> const& command, std::string const& preload, int go, int failed);
  void note_end(int status);

  pid_t process_ = 0;
  sigset_t mask_of_command_{};
  int changes_ = -1;  // readable when a descendant has stopped or ended
  int go_ = -1;       // the child waits for a byte here
  int failed_ = -1;   // errno of a failed exec comes here
  bool ended_ = false;
  int exit_status_ = 0;
  std::string failure_;
};

}  // namespace hakmem::tools
