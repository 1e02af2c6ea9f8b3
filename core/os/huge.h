// What it owns: huge pages - the advice for a range, collapsing it, and mappings from the
// huge-page pool with their fallback.
// Invariants: no failure to get huge pages fails the allocation that asked.
// Thread-safety: all functions may be called by any thread; the memory belongs to the caller.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/base/kernels.h"
#include "core/base/settings.h"
#include "core/os/aligned_map.h"
#include "core/os/line.h"
#include "core/os/os.h"
#include "core/os/prefault.h"

namespace hakmem {

// Under HugePolicy::kCollapse, for a range whose pages are in use: replaces them by huge pages now.
template <OperatingSystem Os>
OsStatus collapse_huge(PageRange range) noexcept {
  OsStatus status = Os::collapse_huge(range.base, range.bytes);
  for (unsigned retry = 0; retry < kPopulateRetries && status.error == OsError::kInterrupted; ++retry)
    status = Os::collapse_huge(range.base, range.bytes);
  return status;
}

// How often the huge-page pool could not serve.
// protocol: any thread adds; relaxed, for it is a figure.
template <OperatingSystem Os>
struct HugetlbFallbacks {
  static inline constinit std::atomic<std::uint64_t> count{0};
  static inline constinit std::atomic<bool> warned{false};
};

template <OperatingSystem Os>
void advise_huge_pages(AlignedMapping const& mapping) noexcept {
  std::atomic<bool>& lacking = KernelLacks<Os>::huge_advice;
  if (lacking.load(std::memory_order_relaxed)) return;
  OsStatus const status = Os::advise_huge(mapping.base, mapping.kept);
  if (status.error == OsError::kUnsupported) lacking.store(true, std::memory_order_relaxed);
}

// map_aligned() for memory that blocks are carved from. kHugetlb: from the huge-page pool, or
// normal when the pool cannot serve. kAdvise: advised before any page is there, because an advice
// that comes later finds small pages in place. kNever, kCollapse: normal.
template <OperatingSystem Os, class Sync>
AlignedMapping map_data(void* hint, std::size_t bytes, std::size_t alignment, HugePolicy policy,
                        Leftovers<Os, Sync>& leftovers) noexcept {
  if (policy == HugePolicy::kHugetlb) {
    std::size_t const huge = Os::huge_page_bytes();
    if (huge != 0 && kernels::is_aligned(bytes, huge) && kernels::is_aligned(alignment, huge)) {
      AlignedMapping const mapping = map_aligned<Os>(hint, bytes, alignment, MapKind::kHugetlb, leftovers);
      if (mapping.ok()) return mapping;
    }
    HugetlbFallbacks<Os>::count.fetch_add(1, std::memory_order_relaxed);
    warn_once<Os>(HugetlbFallbacks<Os>::warned,
                  "HAKMEM_HUGE=hugetlb: the huge-page pool (vm.nr_hugepages) cannot serve; using normal pages");
  }
  AlignedMapping const mapping = map_aligned<Os>(hint, bytes, alignment, MapKind::kNormal, leftovers);
  if (mapping.ok() && policy == HugePolicy::kAdvise) advise_huge_pages<Os>(mapping);
  return mapping;
}

}  // namespace hakmem
