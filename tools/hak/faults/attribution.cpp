#include "tools/hak/faults/attribution.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace hakmem::tools {
namespace {

constexpr char kLayoutSymbol[] = "hak_debug_layout";
// glibc's thread descriptor lies above the thread pointer, in the same mapping.
constexpr std::uint64_t kThreadDescriptorBytes = 2304;

std::uint64_t page_of(std::uint64_t address) {
  static auto const page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return address & ~(page - 1);
}

std::uint64_t page_after(std::uint64_t address) {
  static auto const page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return page_of(address + page - 1);
}

bool in_kernel(std::uint64_t address) { return address >> 63 != 0; }

// The process that a thread belongs to; 0 when it is gone.
pid_t process_of(pid_t thread) {
  std::ifstream file("/proc/" + std::to_string(thread) + "/status");
  for (std::string key; file >> key; file.ignore(4096, '\n')) {
    pid_t id = 0;
    if (key == "Tgid:" && file >> id) return id;
  }
  return 0;
}

}  // namespace

char const* title_of(Use use) {
  switch (use) {
    case Use::kSuperSlab:
      return "SuperSlab data";
    case Use::kMetadata:
      return "hakmem metadata";
    case Use::kLarge:
      return "large blocks";
    case Use::kBreak:
      return "heap (brk)";
    case Use::kAnonymous:
      return "other anonymous memory";
    case Use::kStack:
      return "stacks";
    case Use::kThreadLocal:
      return "thread-local storage";
    case Use::kFile:
      return "file mappings";
    case Use::kGone:
      return "no longer mapped";
  }
  return "";
}

void Attribution::refresh(pid_t id, Process& process) {
  MemoryMap fresh = MemoryMap::of(id);
  if (fresh.empty()) return;
  process.map = std::move(fresh);
  process.stale = false;
  process.read_in_round = round_;
  std::string last;
  for (Mapping const& mapping : process.map.all()) {
    if (process.heap || !mapping.is_file() || mapping.name == last) continue;
    last = mapping.name;
    ElfImage const& image = images_.get(mapping.name);
    auto const symbol = image.address_of_symbol(kLayoutSymbol);
    auto const start = image.address_of_offset(mapping.file_offset);
    if (symbol && start) process.heap.emplace(id, mapping.start - *start + *symbol);
  }
}

Mapping const* Attribution::mapping_of(pid_t id, Process& process, std::uint64_t address) {
  bool const may_read = !process.frozen && process.read_in_round != round_;
  if (process.stale && may_read) refresh(id, process);
  Mapping const* mapping = process.map.find(address);
  if (!mapping && may_read) {  // a stack grows without an event
    refresh(id, process);
    mapping = process.map.find(address);
  }
  return mapping;
}

std::optional<Place> Attribution::place_in_heap(Process& process, Mapping const& mapping, std::uint64_t address) {
  if (!process.heap || process.frozen) return std::nullopt;
  HeapPlace const found = process.heap->look_up(address, mapping.start);
  switch (found.kind) {
    case HeapPlace::Kind::kBlock:
      return Place{Use::kSuperSlab, found.block_bytes, ""};
    case HeapPlace::Kind::kFreeSlab:
      return Place{Use::kSuperSlab, 0, "slab free again"};
    case HeapPlace::Kind::kRecords:
      return Place{Use::kMetadata, 0, "slab records in SuperSlabs"};
    case HeapPlace::Kind::kMetadata:
      return Place{Use::kMetadata, 0, "descriptors, registry, heaps"};
    case HeapPlace::Kind::kLarge:
      return Place{Use::kLarge, 0, ""};
    case HeapPlace::Kind::kNotOurs:
      break;
  }
  return std::nullopt;
}

// The file whose loaded image holds an address between its mappings' parts: zero-initialised data is
// mapped as anonymous memory behind them.
std::optional<std::string> Attribution::image_around(Process const& process, std::uint64_t address) {
  Mapping const* below = nullptr;
  for (Mapping const& mapping : process.map.all()) {
    if (mapping.start > address) break;
    if (mapping.is_file()) below = &mapping;
  }
  if (!below) return std::nullopt;
  ElfImage const& image = images_.get(below->name);
  auto const start = image.address_of_offset(below->file_offset);
  if (!start || !image.contains(address - below->start + *start)) return std::nullopt;
  return below->name;
}

Place Attribution::own_memory(Process const& process, std::string const& path, bool writable) {
  if (process.heap && writable && images_.get(path).address_of_symbol(kLayoutSymbol))
    return {Use::kMetadata, 0, "data of " + path};
  return {Use::kFile, 0, path};
}

Place Attribution::place_of(Process& process, Mapping const& mapping, std::uint64_t address) {
  if (mapping.is_file()) return own_memory(process, mapping.name, mapping.writable);
  if (mapping.name == "[heap]") return {Use::kBreak, 0, ""};
  if (mapping.name == "[stack]") return {Use::kStack, 0, "main thread"};
  if (mapping.name.starts_with("[v")) return {Use::kFile, 0, mapping.name};
  if (auto place = place_in_heap(process, mapping, address)) return *std::move(place);
  if (auto const file = image_around(process, address)) return own_memory(process, *file, mapping.writable);
  return {Use::kAnonymous, 0, ""};
}

Function Attribution::function_at(pid_t id, Process& process, std::uint64_t instruction) {
  if (in_kernel(instruction)) return {"", "inside a system call"};
  Mapping const* const mapping = mapping_of(id, process, instruction);
  if (!mapping) return {"", "code no longer mapped"};
  if (!mapping->is_file()) return {"", mapping->name.empty() ? "generated code" : mapping->name};
  ElfImage& image = images_.get(mapping->name);
  auto const address = image.address_of_offset(instruction - mapping->start + mapping->file_offset);
  return {address ? image.function_at(*address) : "", mapping->name};
}

void Attribution::attribute(FaultEvent const& event) {
  Process& process = processes_[event.process];
  Function function = function_at(event.process, process, event.instruction);
  Mapping const* const mapping = mapping_of(event.process, process, event.address);
  Place place = mapping ? place_of(process, *mapping, event.address) : Place{};
  if (place.use == Use::kAnonymous) {
    process.pending.push_back({event.address, std::move(function)});
  } else {
    ++counts_[{std::move(place), std::move(function)}];
  }
}

void Attribution::fork(FaultEvent const& event) {
  if (event.process == event.parent) return;
  auto const parent = processes_.find(event.parent);
  if (parent == processes_.end()) return;
  Process child;
  child.map = parent->second.map;
  if (parent->second.heap) child.heap = parent->second.heap->in_process(event.process);
  child.areas = parent->second.areas;
  processes_.insert_or_assign(event.process, std::move(child));
}

void Attribution::handle(std::vector<FaultEvent> const& events) {
  ++round_;
  for (FaultEvent const& event : events) {
    if (event.kind == FaultEvent::Kind::kExecuted) processes_[event.process].frozen = true;
  }
  for (FaultEvent const& event : events) {
    switch (event.kind) {
      case FaultEvent::Kind::kFault:
        attribute(event);
        break;
      case FaultEvent::Kind::kMapped:
        processes_[event.process].stale = true;
        break;
      case FaultEvent::Kind::kForked:
        fork(event);
        break;
      case FaultEvent::Kind::kExecuted:
        settle(processes_[event.process]);
        processes_[event.process] = Process();
        break;
    }
  }
}

void Attribution::note(TraceStop const& stop) {
  bool const tells = stop.kind == TraceStop::Kind::kBirth || stop.kind == TraceStop::Kind::kExit;
  if (!tells || stop.place.thread_pointer == 0) return;
  pid_t const id = process_of(stop.thread);
  if (id != 0) add_areas(id, processes_[id], stop);
}

void Attribution::add_areas(pid_t id, Process& process, TraceStop const& stop) {
  std::uint64_t const pointer = stop.place.thread_pointer;
  ++round_;
  process.stale = true;
  Mapping const* const mapping = mapping_of(id, process, pointer);
  if (!mapping || mapping->is_file()) return;
  std::uint64_t thread_local_bytes = 0;
  std::string last;
  for (Mapping const& file : process.map.all()) {
    if (file.is_file() && file.name != last) thread_local_bytes += images_.get(file.name).thread_local_bytes();
    if (file.is_file()) last = file.name;
  }
  std::uint64_t const lowest = std::max(page_of(pointer - thread_local_bytes), mapping->start);
  std::uint64_t const highest = std::min(page_after(pointer + kThreadDescriptorBytes), mapping->end);
  if (stop.thread != id) process.areas.push_back({mapping->start, lowest, {Use::kStack, 0, "other threads"}});
  process.areas.push_back({lowest, highest, {Use::kThreadLocal, 0, ""}});
}

void Attribution::settle(Process& process) {
  for (Pending& fault : process.pending) {
    auto const inside = [&](Area const& area) { return fault.address >= area.start && fault.address < area.end; };
    auto const area = std::find_if(process.areas.rbegin(), process.areas.rend(), inside);
    Place const place = area == process.areas.rend() ? Place{Use::kAnonymous, 0, ""} : area->place;
    ++counts_[{place, std::move(fault.function)}];
  }
  process.pending.clear();
}

void Attribution::finish() {
  for (auto& [id, process] : processes_) settle(process);
}

}  // namespace hakmem::tools
