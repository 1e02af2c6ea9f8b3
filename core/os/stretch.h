// What it owns: the two things that are done to whole stretches of memory where blocks are checked - to fill one
// with a byte, and to see whether it holds nothing else - by the widest vectors that the machine has.
// Thread-safety: pure functions on memory of the caller.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hakmem {

// A stretch begins and ends on a multiple of kUnit and is not empty.
struct StretchCode {
  static constexpr std::size_t kUnit = 16;
  void (*fill)(std::byte* from, std::byte* to, unsigned char byte) noexcept;
  bool (*holds)(std::byte const* from, std::byte const* to, unsigned char byte) noexcept;
};

// For any machine.
void fill_stretch(std::byte* from, std::byte* to, unsigned char byte) noexcept;
bool stretch_holds(std::byte const* from, std::byte const* to, unsigned char byte) noexcept;
inline constexpr StretchCode kPortableStretchCode{fill_stretch, stretch_holds};
// For this one.
StretchCode fastest_stretch_code() noexcept;

}  // namespace hakmem
