// What it owns: where an allocator keeps what, for programs that read its memory from outside:
// debuggers, `hak faults`, core dumps. Each library exports one as `hak_debug_layout`.
//
// From an address to its block: unit = address / super_slab_bytes; leaf = registry_root[unit /
// leaf_entries]; entry = leaf[unit % leaf_entries] (null: nothing of ours; else with the lowest bit
// set: the descriptor of a large block, that bit added; else that of a SuperSlab). A large block has
// an entry for its first unit only. Slab metadata: `slab_record_bytes` bytes for each slab of the
// SuperSlab, in band (in the window that the address selects) or in its descriptor.
// All offsets are in bytes. A reader must refuse a version that it does not know.
// Thread-safety: constant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/global/large.h"

namespace hakmem {

struct DebugLayout {
  static constexpr std::uint64_t kVersion = 1;

  std::uint64_t version;
  std::uint64_t super_slab_bytes;
  std::uint64_t slab_bytes;

  void const* registry_root;
  std::uint64_t registry_root_entries;
  std::uint64_t registry_leaf_entries;

  std::uint64_t super_base;          // in the descriptor of a SuperSlab: its address
  std::uint64_t super_slab_records;  // the metadata of its slabs; 0: in band
  std::uint64_t slab_record_bytes;
  std::uint64_t window_bytes;        // in band: one window
  std::uint64_t windows_bytes;       // all of them, at the start of the SuperSlab; 0: out of line
  std::uint64_t reserved_bytes;      // in band: all metadata at the start of the SuperSlab
  std::uint64_t slab_block_bytes;    // in slab metadata: 32 bits
  std::uint64_t slab_head_distance;  // 8 bits

  std::uint64_t large_base;   // in the descriptor of a large block: its address
  std::uint64_t large_bytes;  // 64 bits

  void const* chunks;  // place of the pointer to the newest chunk of metadata
  std::uint64_t chunk_next;
  std::uint64_t chunk_bytes;
};

template <class Process>
consteval DebugLayout debug_layout() noexcept {
  using G = typename Process::Geo;
  using Super = typename Process::Core::SuperSlab;
  using Slab = typename Process::Core::Slab;
  auto& space = Process::core().global().space;
  using Registry = std::remove_reference_t<decltype(space.registry())>;
  using Chunk = typename std::remove_reference_t<decltype(space.arena())>::Chunk;
  return {
      .version = DebugLayout::kVersion,
      .super_slab_bytes = G::kSuperSlabBytes,
      .slab_bytes = G::kSlabBytes,
      .registry_root = space.registry().root(),
      .registry_root_entries = std::uint64_t{1} << Registry::kRootBits,
      .registry_leaf_entries = std::uint64_t{1} << Registry::kLeafBits,
      .super_base = offsetof(Super, base),
      .super_slab_records = Super::kInBand ? 0 : offsetof(Super, storage),
      .slab_record_bytes = sizeof(Slab),
      .window_bytes = Super::kInBand ? G::kWindowBytes : 0,
      .windows_bytes = Super::kInBand ? G::kWindowsBytes : 0,
      .reserved_bytes = Super::kInBand ? G::kReservedBytes : 0,
      .slab_block_bytes = offsetof(Slab, block_bytes),
      .slab_head_distance = offsetof(Slab, head_distance),
      .large_base = offsetof(LargeBlock, base),
      .large_bytes = offsetof(LargeBlock, bytes),
      .chunks = space.arena().chunks(),
      .chunk_next = offsetof(Chunk, next),
      .chunk_bytes = offsetof(Chunk, bytes),
  };
}

}  // namespace hakmem
