#include "bench/harness/counters.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace hakmem::bench {
namespace {

int open_page_fault_event(bool exclude_kernel) {
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof attributes;
  attributes.config = PERF_COUNT_SW_PAGE_FAULTS;
  attributes.inherit = 1;
  attributes.exclude_kernel = exclude_kernel;
  return static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

double seconds(timeval const& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

// The figure after `key` in /proc/self/status, which is in KiB; 0 if it is not there.
std::size_t status_bytes(std::string_view key) {
  std::array<char, 4096> text;
  int const file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t const length = ::read(file, text.data(), text.size() - 1);
  close(file);
  if (length <= 0) return 0;
  text[static_cast<std::size_t>(length)] = '\0';
  char const* const found = std::strstr(text.data(), key.data());
  return found == nullptr ? 0 : std::strtoull(found + key.size(), nullptr, 10) * 1024;
}

}  // namespace

Counters Counters::operator-(Counters const& earlier) const {
  Counters difference;
  if (traps && earlier.traps) difference.traps = *traps - *earlier.traps;
  difference.minflt = minflt - earlier.minflt;
  difference.user_seconds = user_seconds - earlier.user_seconds;
  difference.system_seconds = system_seconds - earlier.system_seconds;
  return difference;
}

ProcessCounters::ProcessCounters() : trap_event_(open_page_fault_event(false)) {
  if (trap_event_ < 0) trap_event_ = open_page_fault_event(true);
}

ProcessCounters::~ProcessCounters() {
  if (trap_event_ >= 0) close(trap_event_);
}

Counters ProcessCounters::read() const {
  Counters now;
  std::uint64_t traps = 0;
  if (trap_event_ >= 0 && ::read(trap_event_, &traps, sizeof traps) == sizeof traps) now.traps = traps;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  now.minflt = static_cast<std::uint64_t>(usage.ru_minflt);
  now.user_seconds = seconds(usage.ru_utime);
  now.system_seconds = seconds(usage.ru_stime);
  return now;
}

std::size_t resident_bytes() { return status_bytes("VmRSS:"); }
std::size_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

}  // namespace hakmem::bench
