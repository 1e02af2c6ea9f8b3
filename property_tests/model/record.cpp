#include "property_tests/model/record.h"

#include <algorithm>
#include <bit>

namespace hakmem::testing {
namespace {

// The record whose size is drawn from the narrowest range that `bytes` lies in; see decode_bytes in operation.cpp.
Record with_bytes(std::uint8_t kind, unsigned thread, unsigned slot, std::size_t bytes) {
  std::size_t const cut = std::min(bytes, kMostEncodedBytes);
  std::uint8_t const shape = cut < 1100 ? 0 : cut < 9 * 1024 ? 2 : cut < 96 * 1024 ? 5 : 6;
  return {kind, static_cast<std::uint8_t>(slot), static_cast<std::uint8_t>(thread), shape,
          static_cast<std::uint32_t>(cut)};
}

}  // namespace

Record encode_malloc(unsigned thread, unsigned slot, std::size_t bytes) { return with_bytes(0, thread, slot, bytes); }
Record encode_calloc(unsigned thread, unsigned slot, std::size_t bytes) { return with_bytes(3, thread, slot, bytes); }
Record encode_realloc(unsigned thread, unsigned slot, std::size_t bytes) { return with_bytes(7, thread, slot, bytes); }
Record encode_free(unsigned thread, unsigned slot) {
  return {10, static_cast<std::uint8_t>(slot), static_cast<std::uint8_t>(thread), 0, 0};
}

// The size lies above the low eight bits, of which some value leaves the exponent as the rest modulo 14.
Record encode_aligned(unsigned thread, unsigned slot, std::size_t bytes, std::size_t alignment) {
  Record record = with_bytes(5, thread, slot, bytes);
  auto const log2 = static_cast<std::uint32_t>(std::countr_zero(std::min(alignment, kMostEncodedAlignment)));
  record.value <<= 8;
  while (record.value % 16 == 0 || record.value % 14 != log2) ++record.value;
  return record;
}

}  // namespace hakmem::testing
