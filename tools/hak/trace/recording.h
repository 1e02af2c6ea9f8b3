// What it owns: the file that programs under `hak trace record` write while they run: a head and chunks of equal size.
// A chunk belongs to one thread of one process image (what a process is between two calls of exec) and is mapped and
// written in place, so that nothing is lost however the process ends.
//
// Records of a chunk: a tag, then numbers of seven bits a byte, least first, bit 7 where more follow; tag 0 ends them.
//   every tag   tickets since the last record of the chunk (before the first: since 0)
//   kMalloc, kCalloc    bytes, address        kAligned   bytes, alignment, address
//   kFree               address               kRealloc   bytes, old address, tickets until it returned, new address
// An address is its distance to the last one in the chunk, in zigzag code.
// Tickets order the calls of all threads: a block's are taken after it was got and before it is given back.
// Thread-safety: the head's atomics; a chunk has one writer. A tag is written after all that belongs to it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace hakmem::tools {

inline constexpr std::size_t kChunkBytes = 32 * 1024;
inline constexpr std::size_t kMostRecordBytes = 64;  // a tag and six numbers
inline constexpr char kRecordingMagic[8] = {'h', 'a', 'k', '-', 'r', 'e', 'c', '1'};
inline constexpr char const* kRecordingVariable = "HAK_TRACE_RECORDING";

enum class RecordTag : std::uint8_t { kEnd, kMalloc, kCalloc, kAligned, kFree, kRealloc };

struct RecordingHead {
  char magic[8];
  std::uint64_t limit;  // tickets from this one on are not recorded
  // protocol: counters that writers take from; relaxed, because a number alone is what they give.
  std::atomic<std::uint64_t> tickets;
  std::atomic<std::uint64_t> chunks;
  std::atomic<std::uint32_t> images;
  // protocol: the errno of the first chunk that could not be had; written once, read after the end.
  std::atomic<std::int32_t> failure;
};
static_assert(sizeof(RecordingHead) <= kChunkBytes);

struct ChunkHead {
  std::uint32_t image;
  std::uint32_t thread;  // the kernel's number
  char program[24];      // the image's name, cut; ends with zero
};

}  // namespace hakmem::tools
