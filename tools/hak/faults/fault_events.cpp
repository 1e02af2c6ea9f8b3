#include "tools/hak/faults/fault_events.h"

#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace hakmem::tools {
namespace {

constexpr std::size_t kLargeRingPages = 4096;
constexpr std::size_t kSmallRingPages = 128;  // what an unprivileged user may lock on each processor

int open_event(unsigned processor, pid_t process, bool exclude_kernel) {
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof attributes;
  attributes.config = PERF_COUNT_SW_PAGE_FAULTS;
  attributes.sample_period = 1;
  attributes.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ADDR;
  attributes.sample_id_all = 1;
  attributes.disabled = 1;
  attributes.enable_on_exec = 1;
  attributes.inherit = 1;
  attributes.exclude_kernel = exclude_kernel;
  attributes.exclude_hv = 1;
  attributes.mmap = 1;
  attributes.mmap_data = 1;
  attributes.comm = 1;
  attributes.comm_exec = 1;
  attributes.task = 1;
  attributes.wakeup_events = 1;  // a fault is attributed while the memory still has the same use
  return static_cast<int>(
      syscall(SYS_perf_event_open, &attributes, process, static_cast<int>(processor), -1, PERF_FLAG_FD_CLOEXEC));
}

std::string refusal(int error) {
  if (error == EACCES || error == EPERM) {
    return "the kernel forbids perf events to this user (lower /proc/sys/kernel/perf_event_paranoid, or run as root)";
  }
  if (error == ENOSYS) return "this kernel has no perf events";
  return std::string("cannot open the page-fault event: ") + std::strerror(error);
}

// One record, copied out of the ring, read from front or back.
class Record {
 public:
  explicit Record(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}

  perf_event_header header() const { return at<perf_event_header>(0); }

  template <typename T>
  T at(std::size_t offset) const {
    T value;
    if (offset + sizeof value > bytes_.size()) throw std::runtime_error("a perf record is shorter than its kind");
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }

  // What sample_id_all puts at the end of records that are no samples: pid, tid, time.
  std::uint64_t trailing_time() const { return at<std::uint64_t>(bytes_.size() - sizeof(std::uint64_t)); }

 private:
  std::vector<std::byte> bytes_;
};

constexpr std::size_t kBody = sizeof(perf_event_header);

FaultEvent fault(Record const& record) {
  FaultEvent event;
  event.instruction = record.at<std::uint64_t>(kBody);
  event.process = record.at<pid_t>(kBody + 8);
  event.thread = record.at<pid_t>(kBody + 12);
  event.time = record.at<std::uint64_t>(kBody + 16);
  event.address = record.at<std::uint64_t>(kBody + 24);
  return event;
}

FaultEvent change(Record const& record, FaultEvent::Kind kind, std::size_t process_at, std::size_t thread_at) {
  FaultEvent event;
  event.kind = kind;
  event.process = record.at<pid_t>(kBody + process_at);
  event.thread = record.at<pid_t>(kBody + thread_at);
  event.time = record.trailing_time();
  return event;
}

}  // namespace

FaultEvents::FaultEvents(pid_t process) : page_bytes_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
  long const processors = sysconf(_SC_NPROCESSORS_ONLN);
  for (long processor = 0; processor < processors; ++processor) open_on(static_cast<unsigned>(processor), process);
}

FaultEvents::~FaultEvents() {
  for (Ring const& ring : rings_) {
    munmap(ring.memory, (ring.pages + 1) * page_bytes_);
    close(ring.file);
  }
}

void FaultEvents::open_on(unsigned processor, pid_t process) {
  int file = open_event(processor, process, !sees_kernel_);
  if (file < 0 && (errno == EACCES || errno == EPERM) && sees_kernel_ && rings_.empty()) {
    sees_kernel_ = false;
    file = open_event(processor, process, true);
  }
  if (file < 0) throw std::runtime_error(refusal(errno));
  for (std::size_t const pages : {kLargeRingPages, kSmallRingPages}) {
    void* const memory = mmap(nullptr, (pages + 1) * page_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) continue;
    rings_.push_back({file, memory, pages});
    return;
  }
  int const error = errno;
  close(file);
  throw std::runtime_error(std::string("cannot map the ring of the page-fault event: ") + std::strerror(error));
}

void FaultEvents::drain_ring(Ring const& ring, std::vector<FaultEvent>& events) {
  auto* const control = static_cast<perf_event_mmap_page*>(ring.memory);
  auto const* const data = static_cast<std::byte const*>(ring.memory) + page_bytes_;
  std::size_t const size = ring.pages * page_bytes_;
  std::uint64_t const head = std::atomic_ref(control->data_head).load(std::memory_order_acquire);
  std::uint64_t tail = control->data_tail;
  auto const copy = [&](std::size_t bytes) {
    std::vector<std::byte> out(bytes);
    for (std::size_t i = 0; i < bytes; ++i) out[i] = data[(tail + i) % size];
    return out;
  };
  while (tail < head) {
    Record const record(copy(Record(copy(kBody)).header().size));
    switch (record.header().type) {
      case PERF_RECORD_SAMPLE:
        events.push_back(fault(record));
        break;
      case PERF_RECORD_MMAP:
        events.push_back(change(record, FaultEvent::Kind::kMapped, 0, 4));
        break;
      case PERF_RECORD_FORK:
        events.push_back(change(record, FaultEvent::Kind::kForked, 0, 8));
        events.back().parent = record.at<pid_t>(kBody + 4);
        break;
      case PERF_RECORD_COMM:
        if (record.header().misc & PERF_RECORD_MISC_COMM_EXEC)
          events.push_back(change(record, FaultEvent::Kind::kExecuted, 0, 4));
        break;
      case PERF_RECORD_LOST:
        lost_ += record.at<std::uint64_t>(kBody + 8);
        break;
      default:
        break;
    }
    tail += record.header().size;
  }
  std::atomic_ref(control->data_tail).store(tail, std::memory_order_release);
}

std::vector<FaultEvent> FaultEvents::drain() {
  std::vector<FaultEvent> events;
  for (Ring const& ring : rings_) drain_ring(ring, events);
  std::stable_sort(events.begin(), events.end(),
                   [](FaultEvent const& left, FaultEvent const& right) { return left.time < right.time; });
  return events;
}

std::vector<pollfd> FaultEvents::descriptors() const {
  std::vector<pollfd> result;
  for (Ring const& ring : rings_) result.push_back({ring.file, POLLIN, 0});
  return result;
}

}  // namespace hakmem::tools
