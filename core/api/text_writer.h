// What it owns: text for people, built in a fixed buffer and handed to a sink in pieces. It
// allocates nothing and uses no stdio, so that it works inside malloc and during exit.
// Invariants: the sink sees every byte once and in order; the destructor hands over the rest.
// Thread-safety: one writer belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hakmem {

class TextWriter {
 public:
  using Sink = void (*)(void* context, char const* text, std::size_t bytes);

  TextWriter(Sink sink, void* context) noexcept : sink_(sink), context_(context) {}
  ~TextWriter() { flush(); }
  TextWriter(TextWriter const&) = delete;
  TextWriter& operator=(TextWriter const&) = delete;

  TextWriter& operator<<(char character) noexcept {
    if (used_ == kBufferBytes) flush();
    buffer_[used_++] = character;
    column_ = character == '\n' ? 0 : column_ + 1;
    return *this;
  }

  TextWriter& operator<<(std::string_view text) noexcept {
    for (char const character : text) *this << character;
    return *this;
  }

  TextWriter& operator<<(std::uint64_t value) noexcept { return right(value, 1); }

  // A decimal number, right-aligned in at least `width` columns.
  TextWriter& right(std::uint64_t value, unsigned width) noexcept {
    char digits[20];
    unsigned count = 0;
    do {
      digits[count++] = static_cast<char>('0' + value % 10);
    } while ((value /= 10) != 0);
    for (unsigned pad = count; pad < width; ++pad) *this << ' ';
    while (count > 0) *this << digits[--count];
    return *this;
  }

  // Spaces up to a column of the current line; nothing when the line is longer already.
  TextWriter& column(std::size_t wanted) noexcept {
    while (column_ < wanted) *this << ' ';
    return *this;
  }

  void flush() noexcept {
    if (used_ > 0) sink_(context_, buffer_, used_);
    used_ = 0;
  }

 private:
  static constexpr std::size_t kBufferBytes = 512;

  Sink const sink_;
  void* const context_;
  std::size_t used_ = 0;
  std::size_t column_ = 0;
  char buffer_[kBufferBytes];
};

}  // namespace hakmem
