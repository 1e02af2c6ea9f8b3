// What it owns: the kernel's stream of page faults of one process and all its descendants, with the
// events that say when their memory maps change. Every fault is asked for; what the ring buffers had
// no room for is counted.
// Thread-safety: none.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hakmem::tools {

struct FaultEvent {
  enum class Kind : std::uint8_t { kFault, kMapped, kForked, kExecuted };

  Kind kind = Kind::kFault;
  pid_t process = 0;
  pid_t thread = 0;
  pid_t parent = 0;  // kForked
  std::uint64_t time = 0;
  std::uint64_t instruction = 0;  // kFault
  std::uint64_t address = 0;      // kFault
};

class FaultEvents {
 public:
  // Counts from the next exec of `process` on. Throws std::runtime_error where the kernel forbids it.
  explicit FaultEvents(pid_t process);
  ~FaultEvents();
  FaultEvents(FaultEvents const&) = delete;
  FaultEvents& operator=(FaultEvents const&) = delete;

  // False: only faults taken by the program's own instructions are seen, none inside system calls.
  bool sees_kernel() const { return sees_kernel_; }
  std::uint64_t lost() const { return lost_; }

  // What has arrived since the last call, in the order of time.
  std::vector<FaultEvent> drain();

  // To wait for more.
  std::vector<pollfd> descriptors() const;

 private:
  struct Ring {
    int file;
    void* memory;
    std::size_t pages;
  };
  void open_on(unsigned processor, pid_t process);
  void drain_ring(Ring const& ring, std::vector<FaultEvent>& events);

  std::vector<Ring> rings_;
  std::size_t page_bytes_;
  bool sees_kernel_ = true;
  std::uint64_t lost_ = 0;
};

}  // namespace hakmem::tools
