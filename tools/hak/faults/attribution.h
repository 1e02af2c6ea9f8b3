// What it owns: the decision what each page fault was for - the use of the memory, and the function
// that touched it.
//
// A fault is looked up soon after it happened, while the process runs on: memory changes its use, and
// the lookup sees the use at that moment. What a thread's birth or end tells about anonymous memory
// (stacks, thread-local storage) is applied when the process image ends.
// Thread-safety: none.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/hak/faults/elf_image.h"
#include "tools/hak/faults/fault_events.h"
#include "tools/hak/faults/heap_view.h"
#include "tools/hak/faults/memory_map.h"
#include "tools/hak/faults/tracee.h"

namespace hakmem::tools {

// What memory is used for. The order is that of reports.
enum class Use : std::uint8_t {
  kSuperSlab,
  kMetadata,
  kLarge,
  kBreak,
  kAnonymous,
  kStack,
  kThreadLocal,
  kFile,
  kGone,
};
char const* title_of(Use use);

struct Place {
  Use use = Use::kGone;
  std::uint64_t block_bytes = 0;  // kSuperSlab
  std::string detail;             // empty or a part of the use: a file, which stacks
  auto operator<=>(Place const&) const = default;
};

struct Function {
  std::string name;    // empty: no symbol
  std::string object;  // file, or what is known instead
  auto operator<=>(Function const&) const = default;
};

using FaultCounts = std::map<std::pair<Place, Function>, std::uint64_t>;

class Attribution {
 public:
  // Events in the order of time; call it before the threads behind them go on where that matters.
  void handle(std::vector<FaultEvent> const& events);
  // A thread stands still.
  void note(TraceStop const& stop);
  // No more events will come.
  void finish();

  FaultCounts const& counts() const { return counts_; }

 private:
  struct Area {
    std::uint64_t start, end;
    Place place;
  };
  struct Pending {
    std::uint64_t address;
    Function function;
  };
  struct Process {
    MemoryMap map;
    bool stale = true;  // the map has changed since it was read
    std::uint64_t read_in_round = 0;
    bool frozen = false;  // the image is gone already: what is known of it must do
    std::optional<HeapView> heap;
    std::vector<Area> areas;       // of threads; the later ones are right where they overlap
    std::vector<Pending> pending;  // in anonymous memory
  };

  Mapping const* mapping_of(pid_t id, Process& process, std::uint64_t address);
  void refresh(pid_t id, Process& process);
  void attribute(FaultEvent const& event);
  std::optional<Place> place_in_heap(Process& process, Mapping const& mapping, std::uint64_t address);
  Place place_of(Process& process, Mapping const& mapping, std::uint64_t address);
  std::optional<std::string> image_around(Process const& process, std::uint64_t address);
  Place own_memory(Process const& process, std::string const& path, bool writable);
  Function function_at(pid_t id, Process& process, std::uint64_t instruction);
  void add_areas(pid_t id, Process& process, TraceStop const& stop);
  void settle(Process& process);
  void fork(FaultEvent const& event);

  std::map<pid_t, Process> processes_;
  ElfImages images_;
  // Events of one round happened before any map read in it: one reading is enough for them.
  std::uint64_t round_ = 1;
  FaultCounts counts_;
};

}  // namespace hakmem::tools
