#include "core/os/stretch.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstring>

namespace hakmem {
void fill_stretch(std::byte* from, std::byte* to, unsigned char byte) noexcept {
  std::memset(from, byte, static_cast<std::size_t>(to - from));
}

bool stretch_holds(std::byte const* from, std::byte const* to, unsigned char byte) noexcept {
  using Words = std::uint64_t __attribute__((vector_size(16)));
  std::uint64_t const word = byte * 0x0101010101010101u;
  Words const words = {word, word};
  Words differs{};
  for (Words next; from != to; from += sizeof next) {
    std::memcpy(&next, from, sizeof next);
    differs |= next ^ words;
  }
  return (differs[0] | differs[1]) == 0;
}

namespace {

#if defined(__x86_64__)
// 64 bytes a round and the last 64 once more, however many of them were done: how long a stretch is nobody can
// foresee, and so the only branch that is mispredicted is the one that ends the loop.
using Wide = std::uint64_t __attribute__((vector_size(32)));
constexpr std::ptrdiff_t kRound = 2 * sizeof(Wide);

[[gnu::target("avx2")]] void fill_wide(std::byte* from, std::byte* to, unsigned char byte) noexcept {
  if (to - from < kRound) [[unlikely]]
    return fill_stretch(from, to, byte);
  std::uint64_t const word = byte * 0x0101010101010101u;
  Wide const words = {word, word, word, word};
  std::byte* const last = to - kRound;
  for (; from < last; from += kRound) {
    std::memcpy(from, &words, sizeof words);
    std::memcpy(from + sizeof words, &words, sizeof words);
  }
  std::memcpy(last, &words, sizeof words);
  std::memcpy(last + sizeof words, &words, sizeof words);
}

[[gnu::target("avx2")]] bool holds_wide(std::byte const* from, std::byte const* to, unsigned char byte) noexcept {
  if (to - from < kRound) [[unlikely]]
    return stretch_holds(from, to, byte);
  std::uint64_t const word = byte * 0x0101010101010101u;
  Wide const words = {word, word, word, word};
  std::byte const* const last = to - kRound;
  Wide first, second;
  std::memcpy(&first, last, sizeof first);
  std::memcpy(&second, last + sizeof first, sizeof second);
  Wide differs = (first ^ words) | (second ^ words);
  for (; from < last; from += kRound) {
    std::memcpy(&first, from, sizeof first);
    std::memcpy(&second, from + sizeof first, sizeof second);
    differs |= (first ^ words) | (second ^ words);
  }
  return (differs[0] | differs[1] | differs[2] | differs[3]) == 0;
}

// The processor has AVX2, and the system keeps 32 bytes of each vector register. The compiler's own way to ask would
// run code when the library is loaded.
bool has_wide_vectors() noexcept {
  unsigned eax, ebx, ecx, edx;
  constexpr unsigned kAvxRegisters = 6;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & bit_OSXSAVE) == 0) return false;
  unsigned kept, upper;
  asm("xgetbv" : "=a"(kept), "=d"(upper) : "c"(0));
  if ((kept & kAvxRegisters) != kAvxRegisters) return false;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & bit_AVX2) != 0;
}
constexpr StretchCode kWideStretchCode{fill_wide, holds_wide};
#else
bool has_wide_vectors() noexcept { return false; }
constexpr StretchCode kWideStretchCode = kPortableStretchCode;
#endif

}  // namespace

StretchCode fastest_stretch_code() noexcept { return has_wide_vectors() ? kWideStretchCode : kPortableStretchCode; }

}  // namespace hakmem
