// What it owns: what the kernel says about our memory, as an oracle: what is mapped, what is
// resident, how often it trapped.
// Invariants: resident means present and not the shared zero page, so a write will not fault.
// (mincore is no such oracle: it counts the zero page.)
// Thread-safety: all functions may be called by any thread; faults are the calling thread's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hakmem::testing {

// Of a range: bytes that are mapped, that are resident, that are resident as huge pages.
std::size_t kernel_mapped_bytes(void const* base, std::size_t bytes);
std::size_t kernel_resident_bytes(void const* base, std::size_t bytes);
std::size_t kernel_huge_bytes(void const* base, std::size_t bytes);

// The same as kernel_resident_bytes() from /proc/self/smaps, for kernels without PAGEMAP_SCAN;
// right only if the range is made of whole mappings.
std::size_t smaps_resident_bytes(void const* base, std::size_t bytes);

// Lines of /proc/self/maps.
std::size_t kernel_mappings();

// Minor faults of the calling thread so far (a page populated by a call counts as one too).
std::uint64_t minor_faults();

}  // namespace hakmem::testing
