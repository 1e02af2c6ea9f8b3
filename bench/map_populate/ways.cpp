#include "bench/map_populate/ways.h"

#include <chrono>
#include <cstring>
#include <stdexcept>

#include "bench/harness/counters.h"
#include "bench/map_populate/counting_os.h"
#include "core/os/aligned_map.h"
#include "core/os/huge.h"
#include "property_tests/kernel_view.h"

namespace hakmem::bench {
namespace {

using Os = CountingLinux;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kAlignment = DefaultGeometry::kSuperSlabBytes;

constexpr Way kWays[] = {
    {Acquisition::kExactPopulated, PrefaultPolicy::kOff, HugePolicy::kNever},
    {Acquisition::kOverMapPopulated, PrefaultPolicy::kOff, HugePolicy::kNever},
    {Acquisition::kOverMap, PrefaultPolicy::kOff, HugePolicy::kNever},
    {Acquisition::kOverMap, PrefaultPolicy::kPopulate, HugePolicy::kNever},
    {Acquisition::kOverMap, PrefaultPolicy::kTouch, HugePolicy::kNever},
    {Acquisition::kEngine, PrefaultPolicy::kOff, HugePolicy::kNever},
    {Acquisition::kEngine, PrefaultPolicy::kPopulate, HugePolicy::kNever},
    {Acquisition::kEngine, PrefaultPolicy::kTouch, HugePolicy::kNever},
    {Acquisition::kEngine, PrefaultPolicy::kOff, HugePolicy::kAdvise},
    {Acquisition::kEngine, PrefaultPolicy::kPopulate, HugePolicy::kAdvise},
    {Acquisition::kEngine, PrefaultPolicy::kTouch, HugePolicy::kAdvise},
    {Acquisition::kEngine, PrefaultPolicy::kPopulate, HugePolicy::kCollapse},
    {Acquisition::kEngine, PrefaultPolicy::kTouch, HugePolicy::kCollapse},
    {Acquisition::kEngine, PrefaultPolicy::kOff, HugePolicy::kHugetlb},
    {Acquisition::kEngine, PrefaultPolicy::kPopulate, HugePolicy::kHugetlb},
    {Acquisition::kEngine, PrefaultPolicy::kTouch, HugePolicy::kHugetlb},
};

char const* name_of(Acquisition acquisition) {
  switch (acquisition) {
    case Acquisition::kExactPopulated:
      return "exact + MAP_POPULATE";
    case Acquisition::kOverMapPopulated:
      return "over-map + MAP_POPULATE + trim";
    case Acquisition::kOverMap:
      return "over-map + trim";
    case Acquisition::kEngine:
      return "engine";
  }
  return "";
}

char const* name_of(PrefaultPolicy policy) {
  return policy == PrefaultPolicy::kOff ? "off" : policy == PrefaultPolicy::kPopulate ? "populate" : "touch";
}

char const* name_of(HugePolicy policy) {
  constexpr char const* kNames[] = {"never", "advise", "collapse", "hugetlb"};
  return kNames[static_cast<std::size_t>(policy)];
}

void* require(void* base, OsStatus status) {
  if (!status.ok()) throw std::runtime_error(std::string("cannot map memory: ") + std::strerror(status.code));
  return base;
}

void* over_map(std::size_t bytes, MapKind kind) {
  std::size_t const wide_bytes = bytes + kAlignment - Os::page_bytes();
  OsMapping const wide = Os::map(nullptr, wide_bytes, kind);
  auto const raw = reinterpret_cast<kernels::Word>(require(wide.address, wide.status));
  kernels::TrimPlan const plan = kernels::plan_trim(raw, wide_bytes, bytes, kAlignment);
  auto const cut = [](kernels::Word start, kernels::Word length) {
    if (length != 0) require(nullptr, Os::unmap(reinterpret_cast<void*>(start), length));
  };
  cut(raw, plan.prefix);
  cut(plan.base + bytes, plan.suffix);
  return reinterpret_cast<void*>(plan.base);
}

// An aligned place of `bytes` that is free now; found before the clock starts.
void* free_place(std::size_t bytes) {
  void* const base = over_map(bytes, MapKind::kReserve);
  require(nullptr, Os::unmap(base, bytes));
  return base;
}

void* set_up(Way const& way, std::size_t bytes, void* place, Leftovers<Os>& leftovers) {
  if (way.acquisition == Acquisition::kExactPopulated) {
    OsMapping const mapping = Os::map(place, bytes, MapKind::kPopulate);
    return require(mapping.address, mapping.status);
  }
  if (way.acquisition == Acquisition::kOverMapPopulated) return over_map(bytes, MapKind::kPopulate);
  void* base = nullptr;
  if (way.acquisition == Acquisition::kOverMap) {
    base = over_map(bytes, MapKind::kNormal);
  } else {
    AlignedMapping const mapping = map_data<Os>(nullptr, bytes, kAlignment, way.huge, leftovers);
    base = require(mapping.base, mapping.status);
  }
  prefault<Os>({base, bytes}, way.prefault);
  if (way.huge == HugePolicy::kCollapse) collapse_huge<Os>({base, bytes});
  return base;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

std::string Way::name() const {
  std::string text = name_of(acquisition);
  if (acquisition == Acquisition::kOverMap || acquisition == Acquisition::kEngine)
    text += std::string(" + ") + name_of(prefault);
  return huge == HugePolicy::kNever ? text : text + ", huge " + name_of(huge);
}

std::span<Way const> all_ways() { return kWays; }

bool is_offered(HugePolicy huge, std::size_t bytes) {
  if (huge == HugePolicy::kNever) return true;
  if (Os::huge_page_bytes() == 0) return false;
  if (huge != HugePolicy::kHugetlb) return true;
  OsMapping const mapping = Os::map(nullptr, bytes, MapKind::kHugetlb);
  if (mapping.ok()) Os::unmap(mapping.address, bytes);
  return mapping.ok();
}

WayCost measure(Way const& way, std::size_t bytes) {
  ProcessCounters const counters;
  Leftovers<Os> leftovers;
  void* const place = way.acquisition == Acquisition::kExactPopulated ? free_place(bytes) : nullptr;
  WayCost cost;
  Os::calls = 0;
  Counters const before = counters.read();
  Clock::time_point start = Clock::now();
  void* const base = set_up(way, bytes, place, leftovers);
  cost.setup_seconds = seconds_since(start);
  Counters const setup = counters.read() - before;
  cost.setup_traps = setup.traps;
  cost.setup_minflt = setup.minflt;
  cost.calls = Os::calls;
  cost.resident_bytes = testing::kernel_resident_bytes(base, bytes);
  cost.huge_bytes = testing::kernel_huge_bytes(base, bytes);

  Counters const ready = counters.read();
  start = Clock::now();
  touch_pages<Os>({base, bytes});
  cost.touch_seconds = seconds_since(start);
  cost.touch_traps = (counters.read() - ready).traps;
  release<Os>(base, bytes, leftovers);
  leftovers.retry();
  return cost;
}

}  // namespace hakmem::bench
