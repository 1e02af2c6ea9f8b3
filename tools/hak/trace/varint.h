// What it owns: numbers of seven bits a byte, least first, bit 7 where more follow; and zigzag distances.
// Thread-safety: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace hakmem::tools {

inline void append_number(std::string& bytes, std::uint64_t value) {
  for (; value >= 128; value >>= 7) bytes += static_cast<char>(value | 128);
  bytes += static_cast<char>(value);
}

// Reads bytes from the front; std::runtime_error where there are too few.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}
  bool at_end() const { return rest_.empty(); }

  std::string_view take(std::size_t count) {
    if (count > rest_.size()) throw std::runtime_error("it ends in the middle");
    std::string_view const front = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return front;
  }
  std::uint8_t byte() { return static_cast<std::uint8_t>(take(1)[0]); }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      std::uint8_t const next = byte();
      value |= std::uint64_t{next & 127u} << shift;
      if (next < 128) return value;
    }
    throw std::runtime_error("a number in it has more than 64 bits");
  }
  std::uint64_t distance_from(std::uint64_t origin) {
    std::uint64_t const code = number();
    return origin + (code >> 1 ^ (0 - (code & 1)));
  }

 private:
  std::string_view rest_;
};

}  // namespace hakmem::tools
