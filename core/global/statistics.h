// What it owns: the figures that the library reports about itself.
// Thread-safety: plain values; whoever fills them in says how exact they are.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hakmem {

// Counters are totals since start; `_bytes` and `_now` are current. Figures of other threads'
// heaps are exact while those threads stand still, but for the free blocks of their active slabs.
struct Statistics {
  // What clients hold.
  std::uint64_t small_blocks_now = 0;
  std::uint64_t small_bytes_now = 0;  // block sizes, not requests; medium included
  std::uint64_t large_blocks_now = 0;
  std::uint64_t large_bytes_now = 0;
  // What was served. Small: blocks handed to the fast paths, a lower bound of the calls.
  std::uint64_t small_blocks_handed_out = 0;
  std::uint64_t medium_blocks_allocated = 0;
  std::uint64_t large_blocks_allocated = 0;
  std::uint64_t large_cache_hits = 0;
  std::uint64_t remote_batches = 0;
  // Where the memory is.
  std::uint64_t super_slabs_now = 0;       // mapped: in heaps or in the pool
  std::uint64_t super_slabs_warm_now = 0;  // in the pool, resident
  std::uint64_t super_slabs_cold_now = 0;  // in the pool, purged or untouched
  std::uint64_t super_slabs_mapped = 0;
  std::uint64_t super_slabs_released = 0;
  std::uint64_t large_cached_bytes_now = 0;
  std::uint64_t metadata_bytes_now = 0;
  std::uint64_t leftover_bytes_now = 0;  // trimmed but refused by the kernel, to be retried
  // What the system was asked for.
  std::uint64_t map_calls = 0;
  std::uint64_t unmap_calls = 0;
  std::uint64_t purge_calls = 0;
  std::uint64_t purged_bytes = 0;
  std::uint64_t prefault_asked_bytes = 0;
  std::uint64_t prefault_populated_bytes = 0;
  std::uint64_t out_of_memory = 0;  // requests refused

  // Blocks that were counted as held and are free.
  constexpr void uncount(std::uint64_t blocks, std::uint64_t block_bytes) noexcept {
    if (blocks > small_blocks_now) blocks = small_blocks_now;
    std::uint64_t const bytes = blocks * block_bytes;
    small_blocks_now -= blocks;
    small_bytes_now -= bytes < small_bytes_now ? bytes : small_bytes_now;
  }
  // Threads.
  std::uint64_t heaps_now = 0;
  std::uint64_t heaps_parked_now = 0;
  // Blocks with pages of their own between guard pages, and those that were to have them and have not.
  std::uint64_t guarded_blocks_allocated = 0;
  std::uint64_t guarded_blocks_forgone = 0;
  std::uint64_t guards_refused = 0;  // guard pages that the kernel refused
};

}  // namespace hakmem
