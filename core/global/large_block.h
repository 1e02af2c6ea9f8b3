// What it owns: the descriptor of a block with pages of its own, found through the registry, and a shelf of freed ones.
// Thread-safety: written by who makes, resizes or discards the block; see core/global/large.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/list.h"
#include "core/mode/mode.h"

namespace hakmem {

struct LargeBlock {
  std::byte* base = nullptr;
  std::size_t bytes = 0;   // whole pages, without lead and margins
  std::size_t lead = 0;    // readable bytes in front of the first margin
  std::size_t margin = 0;  // guarded bytes on each side; 0: not guarded
  LargeBlock* next = nullptr;
  LargeBlock* prev = nullptr;
  std::uint64_t freed_at_ms = 0;
  bool shared = false;   // no block, but a mapping that several share: see core/global/guarded_units.h
  bool in_unit = false;  // has its place in such a mapping
  BlockRecord record;

  bool guarded() const noexcept { return margin != 0; }
  std::byte* end() const noexcept { return base + bytes; }  // domain: not guarded
  std::byte* start() const noexcept { return base + lead + margin; }
  std::size_t mapped() const noexcept { return lead + bytes + 2 * margin; }
};

// Freed ones, most recently freed first.
struct LargeShelf {
  List<LargeBlock> list;
  std::uint64_t bytes = 0;
  unsigned count = 0;

  void put(LargeBlock* block) noexcept {
    list.push_front(block);
    bytes += block->bytes;
    ++count;
  }
  void remove(LargeBlock* block) noexcept {
    list.remove(block);
    bytes -= block->bytes;
    --count;
  }
  bool validate() const noexcept {
    std::uint64_t found_bytes = 0;
    unsigned found = 0;
    for (LargeBlock const* block = list.first(); block; block = block->next, ++found) found_bytes += block->bytes;
    return list.validate() && found_bytes == bytes && found == count;
  }
};

}  // namespace hakmem
