// What it owns: the sizes that shape the heap - SuperSlab, slab, size-class ladder - as one type.
// Every layer above takes a geometry as a template parameter, so that tests can run the same code
// on a heap of a few blocks.
// Thread-safety: constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hakmem {

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * kKiB;
inline constexpr std::size_t kGiB = 1024 * kMiB;

// Every block starts on a multiple of this (max_align_t on the supported machines).
inline constexpr std::size_t kMinAlignment = 16;

// The largest alignment a client may ask for.
inline constexpr std::size_t kMaxAlignment = kGiB;

// One slab's metadata: exactly one cache line (see core/slab/slab.h).
inline constexpr std::size_t kSlabMetaBytes = 64;
// What other threads read of a slab (see SlabTitle there).
inline constexpr std::size_t kSlabTitleBytes = 16;

constexpr unsigned log2_exact(std::size_t value) noexcept {
  unsigned bits = 0;
  while ((std::size_t{1} << bits) < value) ++bits;
  return bits;
}

// The sizes that a geometry chooses; everything else follows from them (see `Geometry`).
struct DefaultShape {
  static constexpr std::size_t kSlabBytes = 128 * kKiB;
  static constexpr unsigned kSlabsPerSuperSlab = 16;
  // Size classes: multiples of the quantum, then kStepsPerDoubling between powers of two.
  static constexpr std::size_t kQuantum = 16;
  static constexpr unsigned kStepsPerDoubling = 8;
  static constexpr std::size_t kSmallMax = 16 * kKiB;   // one slab holds eight blocks
  static constexpr std::size_t kClassMax = 64 * kKiB;   // a span of slabs holds several blocks
  static constexpr std::size_t kMediumMax = 1 * kMiB;   // a span of slabs holds one block
  static constexpr std::size_t kDirectMax = 2 * kKiB;   // found without computing the class
  static constexpr std::size_t kCarveBytes = 4 * kKiB;  // carved at once: how far the heap runs ahead of use
  static constexpr std::size_t kOutboxBytes = 16 * kKiB;  // freed for one other heap before they are sent
  static constexpr unsigned kColours = 16;
};

// A heap that is full, empty, parked or adopted within twenty operations: two classes, four to
// eight blocks a slab, eight slabs a SuperSlab. For tests only; assumes pages of at most 4 KiB.
struct TinyShape {
  static constexpr std::size_t kSlabBytes = 4 * kKiB;
  static constexpr unsigned kSlabsPerSuperSlab = 8;
  static constexpr std::size_t kQuantum = 512;
  static constexpr unsigned kStepsPerDoubling = 2;
  static constexpr std::size_t kSmallMax = 1 * kKiB;
  static constexpr std::size_t kClassMax = 1 * kKiB;
  static constexpr std::size_t kMediumMax = 16 * kKiB;
  static constexpr std::size_t kDirectMax = 1 * kKiB;
  static constexpr std::size_t kCarveBytes = 1 * kKiB;
  static constexpr std::size_t kOutboxBytes = 4 * kKiB;
  static constexpr unsigned kColours = 2;
};

template <class Shape>
struct Geometry : Shape {
  using Shape::kCarveBytes;
  using Shape::kClassMax;
  using Shape::kColours;
  using Shape::kDirectMax;
  using Shape::kMediumMax;
  using Shape::kOutboxBytes;
  using Shape::kQuantum;
  using Shape::kSlabBytes;
  using Shape::kSlabsPerSuperSlab;
  using Shape::kSmallMax;
  using Shape::kStepsPerDoubling;

  static constexpr unsigned kSlabShift = log2_exact(kSlabBytes);
  static constexpr std::size_t kSuperSlabBytes = kSlabBytes * kSlabsPerSuperSlab;
  static constexpr unsigned kSuperSlabShift = log2_exact(kSuperSlabBytes);
  static constexpr std::size_t kSuperSlabMask = kSuperSlabBytes - 1;

  static constexpr std::size_t kLinearMax = kQuantum * kStepsPerDoubling;
  static constexpr unsigned kStepShift = log2_exact(kStepsPerDoubling);
  static constexpr unsigned kLinearClasses = kStepsPerDoubling;
  static constexpr unsigned kClassCount =
      kLinearClasses + (log2_exact(kClassMax) - log2_exact(kLinearMax)) * kStepsPerDoubling;
  static constexpr std::size_t kDirectEntries = kDirectMax / kQuantum + 1;

  // In-band slab metadata lives in one *window* at the start of its SuperSlab. SuperSlabs that
  // follow each other in memory use different windows (*colours*), because the same offset from
  // a 2 MiB boundary would put the metadata of all of them into the same few cache sets.
  static constexpr std::size_t kWindowBytes = kSlabsPerSuperSlab * kSlabMetaBytes;
  static constexpr std::size_t kWindowsBytes = kWindowBytes * kColours;
  // The titles follow, in windows of their own; blocks of slab 0 start behind them.
  static constexpr std::size_t kTitlesBytes = kSlabsPerSuperSlab * kSlabTitleBytes * kColours;
  static constexpr std::size_t kReservedBytes = kWindowsBytes + kTitlesBytes;

  // All slabs of a SuperSlab, as the set bits of one word.
  static constexpr std::uint32_t kAllSlabs = static_cast<std::uint32_t>((std::uint64_t{1} << kSlabsPerSuperSlab) - 1);

  static_assert((std::size_t{1} << kSlabShift) == kSlabBytes, "a slab is a power of two");
  static_assert((std::size_t{1} << kSuperSlabShift) == kSuperSlabBytes, "a SuperSlab is a power of two");
  static_assert(kSlabsPerSuperSlab <= 32, "the slab set of a SuperSlab is one 32-bit word");
  static_assert(kQuantum % kMinAlignment == 0, "every class keeps the minimum alignment");
  static_assert(kReservedBytes < kSlabBytes, "slab 0 has room for blocks behind the metadata");
  static_assert(kMediumMax <= kSuperSlabBytes / 2, "two medium blocks fit into a SuperSlab");
  static_assert(kDirectMax <= kSmallMax && kSmallMax <= kClassMax && kClassMax <= kMediumMax, "sizes are ordered");
  static_assert(kDirectMax % kQuantum == 0, "the direct table ends on a class");
};

using DefaultGeometry = Geometry<DefaultShape>;
using TinyGeometry = Geometry<TinyShape>;

}  // namespace hakmem
