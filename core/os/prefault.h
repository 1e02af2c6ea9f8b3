// What it owns: how pages become present before the program touches them. One engine for every
// policy; when it runs is the caller's choice.
// Invariants: no failure here fails the allocation that asked; a result never claims more than is
// populated; memory is populated only inside the range given.
// Thread-safety: all functions may be called by any thread; the memory belongs to the caller.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/base/geometry.h"
#include "core/base/settings.h"
#include "core/os/os.h"

namespace hakmem {

// Whole pages, mapped and writable.
struct PageRange {
  void* base = nullptr;
  std::size_t bytes = 0;
};

enum class PrefaultMethod : std::uint8_t { kNone, kPopulate, kTouch };

struct PrefaultResult {
  std::size_t asked_bytes = 0;      // 0 under PrefaultPolicy::kOff
  std::size_t populated_bytes = 0;  // at least these are resident, from the start of the range
  PrefaultMethod method = PrefaultMethod::kNone;
  OsStatus status;  // why populated_bytes < asked_bytes
};

// What this kernel turned out not to know; asked once per process.
// protocol: any thread sets it, none clears it (tests do, alone); relaxed, for nothing is published.
template <OperatingSystem Os>
struct KernelLacks {
  static inline constinit std::atomic<bool> populate_write{false};
  static inline constinit std::atomic<bool> huge_advice{false};
};

// A failing populate does not say how far it came, so it is asked for in steps.
inline constexpr std::size_t kPopulateStepBytes = 2 * kMiB;
// A signal or a page that is locked for a moment interrupts; this often in a row is no accident.
inline constexpr unsigned kPopulateRetries = 8;

template <OperatingSystem Os>
OsStatus populate_step(void* base, std::size_t bytes) noexcept {
  OsStatus status = Os::populate_write(base, bytes);
  for (unsigned retry = 0; retry < kPopulateRetries && status.error == OsError::kInterrupted; ++retry)
    status = Os::populate_write(base, bytes);
  return status;
}

template <OperatingSystem Os>
PrefaultResult populate(PageRange range) noexcept {
  PrefaultResult result{range.bytes, 0, PrefaultMethod::kPopulate, {}};
  auto* const base = static_cast<std::byte*>(range.base);
  while (result.populated_bytes < range.bytes) {
    std::size_t const left = range.bytes - result.populated_bytes;
    std::size_t const step = left < kPopulateStepBytes ? left : kPopulateStepBytes;
    result.status = populate_step<Os>(base + result.populated_bytes, step);
    if (!result.status.ok()) break;
    result.populated_bytes += step;
  }
  return result;
}

template <OperatingSystem Os>
PrefaultResult touch_pages(PageRange range) noexcept {
  std::size_t const page = Os::page_bytes();
  auto* const base = static_cast<std::byte*>(range.base);
  for (std::size_t offset = 0; offset < range.bytes; offset += page) Os::touch(base + offset);
  return {range.bytes, range.bytes, PrefaultMethod::kTouch, {}};
}

// Makes the range resident as the policy says (kAhead and kBackground: as kPopulate; they differ
// in who calls, and when). A kernel without MADV_POPULATE_WRITE is found out once; there, every
// policy touches. Any other failure stops: touching would meet the same lack of memory, or fault.
template <OperatingSystem Os>
PrefaultResult prefault(PageRange range, PrefaultPolicy policy) noexcept {
  if (policy == PrefaultPolicy::kOff || range.bytes == 0) return {};
  std::atomic<bool>& lacking = KernelLacks<Os>::populate_write;
  if (lacking.load(std::memory_order_relaxed)) return touch_pages<Os>(range);
  PrefaultResult const result = populate<Os>(range);
  if (result.status.error == OsError::kUnsupported) {
    lacking.store(true, std::memory_order_relaxed);
    return touch_pages<Os>(range);
  }
  return result.status.ok() && policy == PrefaultPolicy::kTouch ? touch_pages<Os>(range) : result;
}

}  // namespace hakmem
