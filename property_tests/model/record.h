// What it owns: the records of eight bytes that fuzz inputs consist of, and the records of calls that a program made:
// `decode` (operation.h) makes the same calls of them again.
// Thread-safety: values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hakmem::testing {

// An operation, or in first place the subject. Any bytes are a record.
struct Record {
  std::uint8_t kind = 0, slot = 0, thread = 0, shape = 0;
  std::uint32_t value = 0;
};
static_assert(sizeof(Record) == 8);

// Sizes beyond kMostEncodedBytes and alignments beyond kMostEncodedAlignment are cut to these.
inline constexpr std::size_t kMostEncodedBytes = 6 * 1024 * 1024 - 1;
inline constexpr std::size_t kMostEncodedAlignment = 8192;

Record encode_malloc(unsigned thread, unsigned slot, std::size_t bytes);
Record encode_calloc(unsigned thread, unsigned slot, std::size_t bytes);
Record encode_aligned(unsigned thread, unsigned slot, std::size_t bytes, std::size_t alignment);
Record encode_realloc(unsigned thread, unsigned slot, std::size_t bytes);
Record encode_free(unsigned thread, unsigned slot);

}  // namespace hakmem::testing
