// What it owns: aligned mappings. The kernel aligns to pages only, so a mapping is asked for where
// it would be aligned, extended, or over-mapped and cut.
// Invariants: a kept range is aligned and exactly as long as asked; what was cut off is unmapped
// or held by `Leftovers`; a refused request leaves nothing mapped that `Leftovers` does not hold.
// Thread-safety: all functions may be called by any thread.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/base/kernels.h"
#include "core/os/leftovers.h"
#include "core/os/os.h"

namespace hakmem {

// What had to be cut from the mapping that is kept.
enum class TrimPath : std::uint8_t { kExact = 0, kPrefix = 1, kSuffix = 2, kBoth = 3 };

// prefix + kept + suffix = mapped; all are 0 when the request was refused.
struct AlignedMapping {
  void* base = nullptr;
  TrimPath path = TrimPath::kExact;
  std::size_t mapped = 0;
  std::size_t kept = 0;
  std::size_t prefix = 0;
  std::size_t suffix = 0;
  unsigned calls = 0;  // map and unmap calls of the whole request
  OsStatus status;
  constexpr bool ok() const noexcept { return status.ok(); }
};

// The unit in which a kind of mapping is placed and cut.
template <OperatingSystem Os>
std::size_t granule_of(MapKind kind) noexcept {
  return kind == MapKind::kHugetlb ? Os::huge_page_bytes() : Os::page_bytes();
}

// One request; see map_aligned().
template <OperatingSystem Os, class Sync>
class AlignedMapper {
  using Word = kernels::Word;

 public:
  AlignedMapper(MapKind kind, Leftovers<Os, Sync>& leftovers) noexcept : kind_(kind), leftovers_(leftovers) {}

  AlignedMapping run(void* hint, Word bytes, Word alignment) noexcept {
    OsMapping const exact = map(hint, bytes);
    if (!exact.ok()) return refused(exact.status);
    Word const raw = address_of(exact);
    if (kernels::is_aligned(raw, alignment)) return cut(raw, bytes, bytes, alignment);

    // The space below a new mapping is usually free, because the kernel maps downwards: with it,
    // one cut is left. Giving the mapping back to over-map would cost two calls more.
    Word const base = kernels::align_down(raw, alignment);
    OsMapping const below = map(reinterpret_cast<void*>(base), raw - base);
    if (below.ok() && address_of(below) == base) return cut(base, raw - base + bytes, bytes, alignment);

    if (below.ok()) unmap(address_of(below), raw - base);
    unmap(raw, bytes);
    Word const wide_bytes = bytes + alignment - granule_of<Os>(kind_);
    OsMapping const wide = map(nullptr, wide_bytes);
    if (!wide.ok()) return refused(wide.status);
    return cut(address_of(wide), wide_bytes, bytes, alignment);
  }

 private:
  static Word address_of(OsMapping const& mapping) noexcept { return reinterpret_cast<Word>(mapping.address); }

  OsMapping map(void* hint, Word bytes) noexcept {
    ++calls_;
    return Os::map(hint, bytes, kind_);
  }

  void unmap(Word base, Word bytes) noexcept {
    ++calls_;
    void* const range = reinterpret_cast<void*>(base);
    if (Os::unmap(range, bytes).ok()) return;
    leftovers_.keep(range, bytes, kind_ == MapKind::kReserve ? nullptr : range);
  }

  AlignedMapping refused(OsStatus status) const noexcept {
    AlignedMapping result;
    result.calls = calls_;
    result.status = status;
    return result;
  }

  AlignedMapping cut(Word raw, Word raw_bytes, Word keep, Word alignment) noexcept {
    kernels::TrimPlan const plan = kernels::plan_trim(raw, raw_bytes, keep, alignment);
    if (plan.prefix != 0) unmap(raw, plan.prefix);
    if (plan.suffix != 0) unmap(plan.base + keep, plan.suffix);
    AlignedMapping result;
    result.base = reinterpret_cast<void*>(plan.base);
    result.path = static_cast<TrimPath>((plan.prefix != 0 ? 1 : 0) | (plan.suffix != 0 ? 2 : 0));
    result.mapped = raw_bytes;
    result.kept = keep;
    result.prefix = plan.prefix;
    result.suffix = plan.suffix;
    result.calls = calls_;
    return result;
  }

  MapKind const kind_;
  Leftovers<Os, Sync>& leftovers_;
  unsigned calls_ = 0;
};

// Maps `bytes` (whole pages) at a multiple of `alignment` (a power of two, at least a page).
// `hint` is where the caller would like it: best the aligned address just below its last mapping,
// which makes one call suffice; null if there is none.
// Refused with the status of the kernel, or kOutOfMemory when the request is larger than the
// address space or, for kReserve, when too many ranges of that kind could not be unmapped.
template <OperatingSystem Os, class Sync>
AlignedMapping map_aligned(void* hint, std::size_t bytes, std::size_t alignment, MapKind kind,
                           Leftovers<Os, Sync>& leftovers) noexcept {
  INVARIANT(bytes != 0 && kernels::is_aligned(bytes, granule_of<Os>(kind)));
  INVARIANT(kernels::is_power_of_two(alignment) && kernels::is_aligned(alignment, granule_of<Os>(kind)));
  AlignedMapping refused;
  refused.status = {OsError::kOutOfMemory, ENOMEM};
  if (alignment > kernels::kMaxRequest || bytes > kernels::kMaxRequest - alignment) return refused;
  if (kind != MapKind::kReserve) return AlignedMapper(kind, leftovers).run(hint, bytes, alignment);
  if (!leftovers.enter()) return refused;
  AlignedMapping const result = AlignedMapper(kind, leftovers).run(hint, bytes, alignment);
  leftovers.leave();
  return result;
}

}  // namespace hakmem
