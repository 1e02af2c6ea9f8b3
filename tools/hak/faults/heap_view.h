// What it owns: what hakmem in another process uses an address for, read from that process's memory
// by the layout that the library exports.
// The process may run meanwhile: what it changes at that moment is seen as it was or as it will be.
// Thread-safety: none.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>

#include "core/api/debug_layout.h"

namespace hakmem::tools {

struct HeapPlace {
  enum class Kind : std::uint8_t {
    kNotOurs,
    kBlock,     // in a slab that is cut into blocks of `block_bytes`
    kFreeSlab,  // in a SuperSlab, in a slab that is in no use now
    kRecords,   // slab records in band
    kMetadata,  // descriptors, registry, heaps
    kLarge,
  };
  Kind kind = Kind::kNotOurs;
  std::uint64_t block_bytes = 0;
};

class HeapView {
 public:
  HeapView(pid_t process, std::uint64_t layout_address) : process_(process), layout_address_(layout_address) {}

  // Throws std::runtime_error if the library is of another version than this program.
  // `mapping_start`: of the mapping that holds the address.
  HeapPlace look_up(std::uint64_t address, std::uint64_t mapping_start);

  HeapView in_process(pid_t other) const { return {other, layout_address_}; }

 private:
  static constexpr std::uint64_t kEntriesAtOnce = 64;  // divides every leaf
  using Entries = std::array<std::uint64_t, kEntriesAtOnce>;

  DebugLayout const* layout();
  std::optional<Entries> entries_from(DebugLayout const& layout, std::uint64_t first) const;
  HeapPlace in_super_slab(DebugLayout const& layout, std::uint64_t descriptor, std::uint64_t address) const;
  bool in_large_block(DebugLayout const& layout, std::uint64_t address, std::uint64_t mapping_start) const;
  bool in_metadata(DebugLayout const& layout, std::uint64_t address) const;

  pid_t process_;
  std::uint64_t layout_address_;
  std::optional<DebugLayout> layout_;
};

}  // namespace hakmem::tools
