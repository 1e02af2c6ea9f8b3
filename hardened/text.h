// What it owns: text of a report, built in a buffer of the caller's that is cut, not grown.
// Thread-safety: one Text belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hakmem::hardened {

class Text {
 public:
  Text(char* buffer, std::size_t capacity) noexcept : buffer_(buffer), capacity_(capacity) {}

  Text& operator<<(char const* words) noexcept {
    while (words && *words != '\0') put(*words++);
    return *this;
  }
  Text& operator<<(char character) noexcept {
    put(character);
    return *this;
  }
  Text& operator<<(std::uint64_t value) noexcept {
    char digits[20];
    std::size_t count = 0;
    do {
      digits[count++] = static_cast<char>('0' + value % 10);
    } while ((value /= 10) != 0);
    while (count != 0) put(digits[--count]);
    return *this;
  }
  Text& operator<<(void const* address) noexcept { return hex(reinterpret_cast<std::uintptr_t>(address)); }
  Text& hex(std::uint64_t value) noexcept {
    *this << "0x";
    unsigned shift = 60;
    while (shift != 0 && (value >> shift) == 0) shift -= 4;
    for (;; shift -= 4) {
      put("0123456789abcdef"[value >> shift & 15]);
      if (shift == 0) return *this;
    }
  }
  // Two digits a byte, as build-ids are written.
  Text& bytes(unsigned char const* from, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i)
      *this << "0123456789abcdef"[from[i] >> 4] << "0123456789abcdef"[from[i] & 15];
    return *this;
  }
  // "1 byte", "2 bytes".
  Text& count_of(std::uint64_t value, char const* one) noexcept {
    *this << value << ' ' << one;
    return value == 1 ? *this : *this << 's';
  }
  // A text as the inside of a JSON string.
  Text& quoted(char const* from, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      auto const character = static_cast<unsigned char>(from[i]);
      if (character == '"' || character == '\\') put('\\');
      put(character < ' ' ? ' ' : from[i]);
    }
    return *this;
  }

  char const* data() const noexcept { return buffer_; }
  std::size_t size() const noexcept { return size_; }

 private:
  void put(char character) noexcept {
    if (size_ < capacity_) buffer_[size_++] = character;
  }

  char* const buffer_;
  std::size_t const capacity_;
  std::size_t size_ = 0;
};

}  // namespace hakmem::hardened
