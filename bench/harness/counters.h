// What it owns: what the kernel knows about this process - faults, processor time, resident memory.
// Reading never allocates. `traps` are page faults taken by an instruction of the program (perf
// software event); `minflt` also counts pages that a populating system call brought in.
// Thread-safety: one reader; threads started after open_trap_counter() are counted too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace hakmem::bench {

struct Counters {
  std::optional<std::uint64_t> traps;  // nullopt where perf_event_open is not permitted
  std::uint64_t minflt = 0;
  double user_seconds = 0;
  double system_seconds = 0;

  Counters operator-(Counters const& earlier) const;
};

class ProcessCounters {
 public:
  ProcessCounters();
  ~ProcessCounters();
  ProcessCounters(ProcessCounters const&) = delete;
  ProcessCounters& operator=(ProcessCounters const&) = delete;

  Counters read() const;

 private:
  int trap_event_;  // -1 where not permitted
};

std::size_t resident_bytes();
std::size_t peak_resident_bytes();  // VmHWM

}  // namespace hakmem::bench
