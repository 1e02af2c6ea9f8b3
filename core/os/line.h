// What it owns: one line of text composed on the stack, and the warning that is given once.
// Invariants: a line never exceeds its buffer (what does not fit is cut) and ends in one newline;
// nothing here allocates.
// Thread-safety: a Line belongs to one thread; warn_once may be called by any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/os/os.h"

namespace hakmem {

inline constexpr int kStandardError = 2;

class Line {
 public:
  Line& text(char const* words) noexcept {
    while (*words != '\0' && length_ < kCapacity) buffer_[length_++] = *words++;
    return *this;
  }

  Line& number(std::uint64_t value) noexcept {
    char digits[20];
    std::size_t count = 0;
    do {
      digits[count++] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    while (count != 0 && length_ < kCapacity) buffer_[length_++] = digits[--count];
    return *this;
  }

  // Ends the line and writes it with one call, so that lines of several threads do not mix.
  template <OperatingSystem Os>
  void write_to(int fd) noexcept {
    buffer_[length_] = '\n';
    Os::write(fd, buffer_, length_ + 1);
  }

 private:
  static constexpr std::size_t kCapacity = 511;

  std::size_t length_ = 0;
  char buffer_[kCapacity + 1];
};

// Writes "hakmem: TEXT" to stderr the first time it is called with `said`.
// protocol: any thread; exchange picks one writer; relaxed, for nothing else is published.
template <OperatingSystem Os>
void warn_once(std::atomic<bool>& said, char const* text) noexcept {
  if (said.load(std::memory_order_relaxed) || said.exchange(true, std::memory_order_relaxed)) return;
  Line().text("hakmem: ").text(text).template write_to<Os>(kStandardError);
}

}  // namespace hakmem
