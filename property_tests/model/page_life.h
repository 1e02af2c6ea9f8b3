// What it owns: the life of a page as one table: which call takes it from which state to which, and with which error
// the kernel refuses. The property test of the simulated and the real pages holds both against it, and the
// exploration of the OS layer knows by it what a call may have done.
// Thread-safety: constants only.
#pragma once

#include <array>
#include <cerrno>
#include <optional>

#include "property_tests/faulty_os.h"
#include "property_tests/page_table.h"

namespace hakmem::testing {

// Mapped pages with access (open) or without (closed): not populated yet, populated, or given back.
enum class PageLife : unsigned {
  kNever,
  kReleased,
  kOpenMapped,
  kOpenPopulated,
  kOpenPurged,
  kClosedMapped,
  kClosedPopulated,
  kClosedPurged,
};
inline constexpr std::array kPageLifeNames = {"never",  "released",      "mapped",           "populated",
                                              "purged", "closed mapped", "closed populated", "closed purged"};
inline constexpr unsigned kPageLives = kPageLifeNames.size();

constexpr PageLife page_life_of(PageState state, bool access) {
  switch (state) {
    case PageState::kNever:
      return PageLife::kNever;
    case PageState::kReleased:
      return PageLife::kReleased;
    case PageState::kMapped:
      return access ? PageLife::kOpenMapped : PageLife::kClosedMapped;
    case PageState::kPopulated:
      return access ? PageLife::kOpenPopulated : PageLife::kClosedPopulated;
    case PageState::kPurged:
      return access ? PageLife::kOpenPurged : PageLife::kClosedPurged;
  }
  return PageLife::kNever;
}

enum class PageStep : unsigned { kMap, kReserve, kUnmap, kClose, kOpen, kPopulate, kPurge, kTouch };
inline constexpr std::array kPageStepNames = {"map", "reserve", "unmap", "close", "open", "populate", "purge", "touch"};
inline constexpr unsigned kPageSteps = kPageStepNames.size();

// The call that a step is; none for a touch, which cannot fail.
constexpr std::optional<OsCall> call_of(PageStep step) {
  switch (step) {
    case PageStep::kMap:
    case PageStep::kReserve:
      return OsCall::kMap;
    case PageStep::kUnmap:
      return OsCall::kUnmap;
    case PageStep::kClose:
      return OsCall::kProtectNone;
    case PageStep::kOpen:
      return OsCall::kProtectReadWrite;
    case PageStep::kPopulate:
      return OsCall::kPopulateWrite;
    case PageStep::kPurge:
      return OsCall::kPurge;
    case PageStep::kTouch:
      return std::nullopt;
  }
  return std::nullopt;
}

// How a step ends: done; refused by the kernel, for what the range is, with an error number; or failed, as every
// call may for want of memory or mappings, and then the page is as it was.
inline constexpr int kDone = 0, kFailed = -1;

struct PageEdge {
  PageStep step;
  PageLife from, to;
  int outcome = kDone;

  constexpr bool operator==(PageEdge const&) const noexcept = default;
};

inline constexpr PageEdge kPageEdges[] = {
    {PageStep::kMap, PageLife::kNever, PageLife::kOpenMapped},
    {PageStep::kMap, PageLife::kReleased, PageLife::kOpenMapped},
    {PageStep::kReserve, PageLife::kNever, PageLife::kClosedMapped},
    {PageStep::kReserve, PageLife::kReleased, PageLife::kClosedMapped},
    {PageStep::kMap, PageLife::kNever, PageLife::kNever, kFailed},
    {PageStep::kMap, PageLife::kReleased, PageLife::kReleased, kFailed},
    {PageStep::kReserve, PageLife::kNever, PageLife::kNever, kFailed},
    {PageStep::kReserve, PageLife::kReleased, PageLife::kReleased, kFailed},

    {PageStep::kUnmap, PageLife::kOpenMapped, PageLife::kReleased},
    {PageStep::kUnmap, PageLife::kOpenPopulated, PageLife::kReleased},
    {PageStep::kUnmap, PageLife::kOpenPurged, PageLife::kReleased},
    {PageStep::kUnmap, PageLife::kClosedMapped, PageLife::kReleased},
    {PageStep::kUnmap, PageLife::kClosedPopulated, PageLife::kReleased},
    {PageStep::kUnmap, PageLife::kClosedPurged, PageLife::kReleased},
    {PageStep::kUnmap, PageLife::kOpenMapped, PageLife::kOpenMapped, kFailed},
    {PageStep::kUnmap, PageLife::kOpenPopulated, PageLife::kOpenPopulated, kFailed},
    {PageStep::kUnmap, PageLife::kOpenPurged, PageLife::kOpenPurged, kFailed},
    {PageStep::kUnmap, PageLife::kClosedMapped, PageLife::kClosedMapped, kFailed},
    {PageStep::kUnmap, PageLife::kClosedPopulated, PageLife::kClosedPopulated, kFailed},
    {PageStep::kUnmap, PageLife::kClosedPurged, PageLife::kClosedPurged, kFailed},

    {PageStep::kClose, PageLife::kOpenMapped, PageLife::kClosedMapped},
    {PageStep::kClose, PageLife::kOpenPopulated, PageLife::kClosedPopulated},
    {PageStep::kClose, PageLife::kOpenPurged, PageLife::kClosedPurged},
    {PageStep::kClose, PageLife::kClosedMapped, PageLife::kClosedMapped},
    {PageStep::kClose, PageLife::kClosedPopulated, PageLife::kClosedPopulated},
    {PageStep::kClose, PageLife::kClosedPurged, PageLife::kClosedPurged},
    {PageStep::kClose, PageLife::kNever, PageLife::kNever, ENOMEM},
    {PageStep::kClose, PageLife::kReleased, PageLife::kReleased, ENOMEM},
    {PageStep::kClose, PageLife::kOpenMapped, PageLife::kOpenMapped, kFailed},
    {PageStep::kClose, PageLife::kOpenPopulated, PageLife::kOpenPopulated, kFailed},
    {PageStep::kClose, PageLife::kOpenPurged, PageLife::kOpenPurged, kFailed},
    {PageStep::kClose, PageLife::kClosedMapped, PageLife::kClosedMapped, kFailed},
    {PageStep::kClose, PageLife::kClosedPopulated, PageLife::kClosedPopulated, kFailed},
    {PageStep::kClose, PageLife::kClosedPurged, PageLife::kClosedPurged, kFailed},

    {PageStep::kOpen, PageLife::kOpenMapped, PageLife::kOpenMapped},
    {PageStep::kOpen, PageLife::kOpenPopulated, PageLife::kOpenPopulated},
    {PageStep::kOpen, PageLife::kOpenPurged, PageLife::kOpenPurged},
    {PageStep::kOpen, PageLife::kClosedMapped, PageLife::kOpenMapped},
    {PageStep::kOpen, PageLife::kClosedPopulated, PageLife::kOpenPopulated},
    {PageStep::kOpen, PageLife::kClosedPurged, PageLife::kOpenPurged},
    {PageStep::kOpen, PageLife::kNever, PageLife::kNever, ENOMEM},
    {PageStep::kOpen, PageLife::kReleased, PageLife::kReleased, ENOMEM},
    {PageStep::kOpen, PageLife::kOpenMapped, PageLife::kOpenMapped, kFailed},
    {PageStep::kOpen, PageLife::kOpenPopulated, PageLife::kOpenPopulated, kFailed},
    {PageStep::kOpen, PageLife::kOpenPurged, PageLife::kOpenPurged, kFailed},
    {PageStep::kOpen, PageLife::kClosedMapped, PageLife::kClosedMapped, kFailed},
    {PageStep::kOpen, PageLife::kClosedPopulated, PageLife::kClosedPopulated, kFailed},
    {PageStep::kOpen, PageLife::kClosedPurged, PageLife::kClosedPurged, kFailed},

    {PageStep::kPopulate, PageLife::kOpenMapped, PageLife::kOpenPopulated},
    {PageStep::kPopulate, PageLife::kOpenPopulated, PageLife::kOpenPopulated},
    {PageStep::kPopulate, PageLife::kOpenPurged, PageLife::kOpenPopulated},
    // The kernel goes on from the start of the range to the page that it cannot populate.
    {PageStep::kPopulate, PageLife::kOpenMapped, PageLife::kOpenPopulated, EINVAL},
    {PageStep::kPopulate, PageLife::kOpenMapped, PageLife::kOpenMapped, EINVAL},
    {PageStep::kPopulate, PageLife::kOpenPopulated, PageLife::kOpenPopulated, EINVAL},
    {PageStep::kPopulate, PageLife::kOpenPurged, PageLife::kOpenPopulated, EINVAL},
    {PageStep::kPopulate, PageLife::kOpenPurged, PageLife::kOpenPurged, EINVAL},
    {PageStep::kPopulate, PageLife::kClosedMapped, PageLife::kClosedMapped, EINVAL},
    {PageStep::kPopulate, PageLife::kClosedPopulated, PageLife::kClosedPopulated, EINVAL},
    {PageStep::kPopulate, PageLife::kClosedPurged, PageLife::kClosedPurged, EINVAL},
    {PageStep::kPopulate, PageLife::kNever, PageLife::kNever, ENOMEM},
    {PageStep::kPopulate, PageLife::kReleased, PageLife::kReleased, ENOMEM},
    {PageStep::kPopulate, PageLife::kOpenMapped, PageLife::kOpenMapped, kFailed},
    {PageStep::kPopulate, PageLife::kOpenPopulated, PageLife::kOpenPopulated, kFailed},
    {PageStep::kPopulate, PageLife::kOpenPurged, PageLife::kOpenPurged, kFailed},
    {PageStep::kPopulate, PageLife::kClosedMapped, PageLife::kClosedMapped, kFailed},
    {PageStep::kPopulate, PageLife::kClosedPopulated, PageLife::kClosedPopulated, kFailed},
    {PageStep::kPopulate, PageLife::kClosedPurged, PageLife::kClosedPurged, kFailed},

    {PageStep::kPurge, PageLife::kOpenMapped, PageLife::kOpenMapped},
    {PageStep::kPurge, PageLife::kOpenPopulated, PageLife::kOpenPurged},
    {PageStep::kPurge, PageLife::kOpenPurged, PageLife::kOpenPurged},
    {PageStep::kPurge, PageLife::kClosedMapped, PageLife::kClosedMapped},
    {PageStep::kPurge, PageLife::kClosedPopulated, PageLife::kClosedPurged},
    {PageStep::kPurge, PageLife::kClosedPurged, PageLife::kClosedPurged},
    {PageStep::kPurge, PageLife::kNever, PageLife::kNever, ENOMEM},
    {PageStep::kPurge, PageLife::kReleased, PageLife::kReleased, ENOMEM},
    {PageStep::kPurge, PageLife::kOpenMapped, PageLife::kOpenMapped, kFailed},
    {PageStep::kPurge, PageLife::kOpenPopulated, PageLife::kOpenPopulated, kFailed},
    {PageStep::kPurge, PageLife::kOpenPurged, PageLife::kOpenPurged, kFailed},
    {PageStep::kPurge, PageLife::kClosedMapped, PageLife::kClosedMapped, kFailed},
    {PageStep::kPurge, PageLife::kClosedPopulated, PageLife::kClosedPopulated, kFailed},
    {PageStep::kPurge, PageLife::kClosedPurged, PageLife::kClosedPurged, kFailed},

    {PageStep::kTouch, PageLife::kOpenMapped, PageLife::kOpenPopulated},
    {PageStep::kTouch, PageLife::kOpenPopulated, PageLife::kOpenPopulated},
    {PageStep::kTouch, PageLife::kOpenPurged, PageLife::kOpenPopulated},
};
inline constexpr std::size_t kPageEdgeCount = std::size(kPageEdges);

}  // namespace hakmem::testing
