// What it owns: every computation on addresses, sizes and slab sets, as pure constexpr functions
// on machine words. The layers above call these and compute nothing themselves, so the same
// symbols are tested exhaustively, checked by static_assert and proven from their compiled form.
// Invariants: no function reads memory; no function overflows inside its stated domain.
// Thread-safety: pure functions.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/base/geometry.h"

namespace hakmem::kernels {

using Word = std::uint64_t;

// --- alignment ------------------------------------------------------------------------------
// `alignment` is a power of two.

constexpr bool is_power_of_two(Word value) noexcept { return value != 0 && (value & (value - 1)) == 0; }
constexpr Word align_down(Word value, Word alignment) noexcept { return value & ~(alignment - 1); }
// Domain: value <= 2^64 - alignment.
constexpr Word align_up(Word value, Word alignment) noexcept { return (value + (alignment - 1)) & ~(alignment - 1); }
constexpr bool is_aligned(Word value, Word alignment) noexcept { return (value & (alignment - 1)) == 0; }

// --- overflow -------------------------------------------------------------------------------

// No object is larger than this: pointer differences within one must fit into ptrdiff_t.
inline constexpr Word kMaxRequest = 0x7fff'ffff'ffff'ffff;

struct Product {
  Word value;
  bool overflowed;
};
constexpr Product multiply(Word left, Word right) noexcept {
  Word value = 0;
  bool const overflowed = __builtin_mul_overflow(left, right, &value);
  return {value, overflowed};
}

// --- over-map and trim ----------------------------------------------------------------------

// How [raw, raw + raw_bytes) is cut so that `keep` aligned bytes stay.
struct TrimPlan {
  Word base;    // start of the kept range
  Word prefix;  // bytes to unmap before it
  Word suffix;  // bytes to unmap behind it
};
// Domain: raw + raw_bytes does not wrap; raw_bytes >= keep + alignment - granule, where raw,
// keep and alignment are multiples of granule.
constexpr TrimPlan plan_trim(Word raw, Word raw_bytes, Word keep, Word alignment) noexcept {
  Word const base = align_up(raw, alignment);
  return {base, base - raw, raw + raw_bytes - base - keep};
}

// --- size classes ---------------------------------------------------------------------------

// The class that serves `size`. Domain: size <= kClassMax; size 0 is served as size 1.
template <class G>
constexpr unsigned class_of_size(Word size) noexcept {
  if (size <= G::kLinearMax) return static_cast<unsigned>((size + (size == 0) - 1) / G::kQuantum);
  Word const last = size - 1;
  unsigned const exponent = static_cast<unsigned>(std::bit_width(last)) - 1;
  unsigned const group = exponent - log2_exact(G::kLinearMax);
  unsigned const step = static_cast<unsigned>(last >> (exponent - G::kStepShift)) & (G::kStepsPerDoubling - 1);
  return G::kLinearClasses + group * G::kStepsPerDoubling + step;
}

// The block size of a class. Domain: index < kClassCount.
template <class G>
constexpr Word size_of_class(unsigned index) noexcept {
  if (index < G::kLinearClasses) return (Word{index} + 1) * G::kQuantum;
  unsigned const above = index - G::kLinearClasses;
  Word const base = Word{G::kLinearMax} << (above / G::kStepsPerDoubling);
  return base + (Word{above % G::kStepsPerDoubling} + 1) * (base >> G::kStepShift);
}

// Slabs in a span of this class: enough for eight blocks.
template <class G>
constexpr unsigned slabs_of_class(unsigned index) noexcept {
  Word const size = size_of_class<G>(index);
  return size <= G::kSmallMax ? 1 : static_cast<unsigned>(std::bit_ceil(size * 8) / G::kSlabBytes);
}

// The class whose blocks hold `size` bytes and are all aligned to `alignment`: a block size that
// is a multiple of 2^k is 2^k-aligned. The least multiple of the alignment that is large enough
// lies either on a class or where the steps between classes are multiples of the alignment.
// Returns kClassCount when no class does. Domain: alignment a power of two.
template <class G>
constexpr unsigned class_of_aligned_size(Word size, Word alignment) noexcept {
  if (size > G::kClassMax || alignment > G::kClassMax) return G::kClassCount;
  Word const rounded = align_up(size > alignment ? size : alignment, alignment);
  return rounded > G::kClassMax ? G::kClassCount : class_of_size<G>(rounded);
}

// --- blocks in a span -----------------------------------------------------------------------

// Offset of the first block: behind the metadata in slab 0, and a multiple of the block size, so that
// natural alignment holds there too.
template <class G>
constexpr Word first_block_offset(Word block_bytes, bool behind_metadata) noexcept {
  return behind_metadata ? (G::kReservedBytes + block_bytes - 1) / block_bytes * block_bytes : 0;
}

// Blocks in a span of `span_bytes` whose first block lies at `first_offset`; one that fills its
// span leaves no room for the tail.
constexpr unsigned blocks_in_span(Word span_bytes, Word first_offset, Word block_bytes, Word tail_bytes) noexcept {
  Word const fit = (span_bytes - first_offset - tail_bytes) / block_bytes;
  return fit == 0 ? 1 : static_cast<unsigned>(fit);
}

// Division of an offset by the block size as a multiplication: exact for offset < 2^22 and
// block_bytes <= 2^20 (44 bits; 32 bits are not enough for 1792 and 7168).
inline constexpr unsigned kReciprocalBits = 44;
constexpr Word reciprocal(Word block_bytes) noexcept {
  return ((Word{1} << kReciprocalBits) + block_bytes - 1) / block_bytes;
}
constexpr Word block_index(Word offset, Word reciprocal_of_block) noexcept {
  return static_cast<Word>((static_cast<unsigned __int128>(offset) * reciprocal_of_block) >> kReciprocalBits);
}

// How many blocks to carve next: as many as start within `stretch` bytes, at least one, at most
// what is left.
constexpr unsigned carve_stretch(Word block_bytes, Word stretch, unsigned left) noexcept {
  Word const fit = stretch / block_bytes;
  Word const wanted = fit == 0 ? 1 : fit;
  return wanted < left ? static_cast<unsigned>(wanted) : left;
}

// --- sets of slabs --------------------------------------------------------------------------

// `count` set bits from bit `first` upwards. Domain: first + count <= 32.
constexpr std::uint32_t run_of_slabs(unsigned first, unsigned count) noexcept {
  return static_cast<std::uint32_t>(((Word{1} << count) - 1) << first);
}

inline constexpr unsigned kNoRun = 32;

// The lowest run of `count` set bits in `set` that starts at a multiple of `step` (a power of
// two), or kNoRun. Domain: 1 <= count <= 32.
constexpr unsigned find_run(std::uint32_t set, unsigned count, unsigned step) noexcept {
  std::uint32_t starts = set;  // bit i: slabs i .. i+have-1 are all in the set
  unsigned have = 1;
  for (unsigned round = 0; round < 5; ++round) {  // 2^5 = 32 slabs
    unsigned const grow = have < count - have ? have : count - have;
    starts &= starts >> grow;
    have += grow;
  }
  std::uint32_t const allowed = static_cast<std::uint32_t>(0xffff'ffffu / ((Word{1} << step) - 1));
  starts &= step >= 32 ? 1u : allowed;
  return starts == 0 ? kNoRun : static_cast<unsigned>(std::countr_zero(starts));
}

// --- growth ---------------------------------------------------------------------------------

// SuperSlabs to map at once when `mapped` are mapped already: 1, 2, 4, ... 16.
constexpr unsigned batch_size(Word mapped) noexcept {
  Word const batch = std::bit_floor(mapped / 2 + 1);
  return batch < 16 ? static_cast<unsigned>(batch) : 16;
}

// Slabs to populate at once ahead of use by a heap that holds `super_slabs`: none below 32 of them,
// where what nobody uses in the end would weigh more than the faults that it saves, then 2, then 4.
constexpr unsigned ahead_slabs(Word super_slabs) noexcept {
  if (super_slabs < 32) return 0;
  return super_slabs < 64 ? 2 : 4;
}

}  // namespace hakmem::kernels
