// What it owns: reading another process's memory - its map, as the kernel tells it, and its bytes.
// Thread-safety: none.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hakmem::tools {

struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t file_offset = 0;
  bool writable = false;
  std::string name;  // a path, "[heap]" and the like, or empty

  bool is_file() const { return name.starts_with('/'); }
};

class MemoryMap {
 public:
  // Empty when the process is gone.
  static MemoryMap of(pid_t process);

  bool empty() const { return mappings_.empty(); }
  // Null: nothing is mapped there.
  Mapping const* find(std::uint64_t address) const;
  std::vector<Mapping> const& all() const { return mappings_; }

 private:
  std::vector<Mapping> mappings_;  // by address
};

bool read_memory(pid_t process, std::uint64_t address, void* into, std::size_t bytes);

template <typename T>
std::optional<T> read_memory(pid_t process, std::uint64_t address) {
  T value;
  return read_memory(process, address, &value, sizeof value) ? std::optional(value) : std::nullopt;
}

}  // namespace hakmem::tools
