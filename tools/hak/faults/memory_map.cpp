#include "tools/hak/faults/memory_map.h"

#include <sys/uio.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>

namespace hakmem::tools {

MemoryMap MemoryMap::of(pid_t process) {
  MemoryMap result;
  std::ifstream file("/proc/" + std::to_string(process) + "/maps");
  for (std::string line; std::getline(file, line);) {
    Mapping mapping;
    char rights[5] = "";
    int name_at = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &mapping.start, &mapping.end,
                    rights, &mapping.file_offset, &name_at) != 4) {
      continue;
    }
    mapping.writable = rights[1] == 'w';
    mapping.name = line.substr(static_cast<std::size_t>(name_at));
    result.mappings_.push_back(std::move(mapping));
  }
  return result;
}

Mapping const* MemoryMap::find(std::uint64_t address) const {
  auto const above =
      std::upper_bound(mappings_.begin(), mappings_.end(), address,
                       [](std::uint64_t wanted, Mapping const& mapping) { return wanted < mapping.end; });
  return above != mappings_.end() && above->start <= address ? &*above : nullptr;
}

bool read_memory(pid_t process, std::uint64_t address, void* into, std::size_t bytes) {
  iovec const local{into, bytes};
  iovec const remote{reinterpret_cast<void*>(address), bytes};
  return process_vm_readv(process, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

}  // namespace hakmem::tools
