// What it owns: the properties of mappings and their pages over random placements, failures,
// policies and page sizes.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cerrno>
#include <tuple>
#include <vector>

#include "core/base/geometry.h"
#include "core/os/huge.h"
#include "property_tests/os/systems.h"

namespace hakmem::testing {
namespace {

constexpr std::size_t kSuper = 2 * kMiB;
using Os = FaultySimulation;

// A mask that fails few calls, many, or none.
rc::Gen<std::uint64_t> any_mask() {
  auto const any = rc::gen::arbitrary<std::uint64_t>();
  return rc::gen::oneOf(rc::gen::just(std::uint64_t{0}), any,
                        rc::gen::map(rc::gen::inRange(0, 16), [](int k) { return std::uint64_t{1} << k; }));
}

// M1, M3 for what is held: the ledger is what the mappings and the leftovers hold, and no more.
void check_books(std::vector<AlignedMapping> const& held, Leftovers<Os> const& leftovers) {
  std::size_t kept = 0;
  for (AlignedMapping const& mapping : held) {
    kept += mapping.kept;
    RC_ASSERT(mapping.prefix + mapping.kept + mapping.suffix == mapping.mapped);
    RC_ASSERT(reinterpret_cast<std::uintptr_t>(mapping.base) % kSuper == 0u);
    RC_ASSERT(Os::ledger().contains(mapping.base, mapping.kept));
  }
  RC_ASSERT(Os::ledger().bytes() == kept + leftovers.bytes());
  RC_ASSERT(SimulatedOs::mapped_bytes() == Os::ledger().bytes());
  RC_ASSERT(Os::violation() + SimulatedOs::violation() == "");
}

struct Requested {
  std::size_t count, page;
  PrefaultPolicy prefault;
  HugePolicy huge;
};

// M2: what the result claims is resident, what is resident was asked for.
void check_population(AlignedMapping const& mapping, PrefaultResult const& result, Requested const& request,
                      std::uint64_t populations) {
  std::size_t const resident = SimulatedOs::pages(PageState::kPopulated, mapping.base, mapping.kept) * request.page;
  RC_ASSERT(result.populated_bytes <= resident);
  RC_ASSERT(result.status.ok() == (result.populated_bytes == result.asked_bytes));
  RC_ASSERT(result.asked_bytes == (request.prefault == PrefaultPolicy::kOff ? 0 : mapping.kept));
  RC_ASSERT(resident <= result.asked_bytes);
  RC_ASSERT(populations * request.page == resident);  // no page outside, none twice
  RC_ASSERT(SimulatedOs::late_advices() == 0u);
  bool const touched = result.method == PrefaultMethod::kTouch;
  RC_ASSERT(Os::touches() == (touched ? mapping.kept / request.page : 0));
}

RC_GTEST_PROP(OsProperties, mappings_are_aligned_populated_and_never_lost_whatever_fails, ()) {
  auto const page = *rc::gen::element(4 * kKiB, 16 * kKiB, 64 * kKiB);
  Requested const request{*rc::gen::inRange<std::size_t>(1, 17), page,
                          static_cast<PrefaultPolicy>(*rc::gen::inRange(0, 5)),
                          static_cast<HugePolicy>(*rc::gen::inRange(0, 4))};
  bool const hugetlb = *rc::gen::arbitrary<bool>();
  start_simulation({.page_bytes = page,
                    .populate_pages = *rc::gen::element<std::size_t>(~std::size_t{0}, 700, 3),
                    .hugetlb = hugetlb});
  HugetlbFallbacks<Os>::warned = true;  // the warning itself has its own test
  auto const landings = *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, 4));
  for (std::size_t const landing : landings) SimulatedOs::place_next(kSuper, landing * page);
  int const code = *rc::gen::element(ENOMEM, EINVAL, EAGAIN, EINTR, EFAULT, EHWPOISON, EPERM, EIO);
  Os::set_plan({kEveryCall, *any_mask(), *rc::gen::arbitrary<bool>(), code});

  Leftovers<Os> leftovers;
  std::vector<AlignedMapping> held;
  AlignedMapping const mapping = map_data<Os>(nullptr, request.count * kSuper, kSuper, request.huge, leftovers);
  if (mapping.ok()) {
    RC_ASSERT(mapping.kept == request.count * kSuper);
    RC_ASSERT(SimulatedOs::populations() == 0u);  // nothing is populated before the cut
    held.push_back(mapping);
    PrefaultResult const result = prefault<Os>({mapping.base, mapping.kept}, request.prefault);
    check_population(mapping, result, request, SimulatedOs::populations());
    RC_TAG(static_cast<int>(mapping.path));
  } else {
    RC_ASSERT(mapping.kept == 0u);
    RC_TAG("refused");
  }
  check_books(held, leftovers);

  if (mapping.ok()) release<Os>(mapping.base, mapping.kept, leftovers);
  check_books({}, leftovers);
  Os::set_plan(FaultPlan::none());
  while (leftovers.ranges() != 0) RC_ASSERT(leftovers.retry() != 0u);
  RC_ASSERT(SimulatedOs::mapped_bytes() == 0u);
}

RC_GTEST_PROP(OsProperties, a_heap_of_mappings_keeps_its_books_through_failures, ()) {
  start_simulation();
  Leftovers<Os> leftovers;
  std::vector<AlignedMapping> held;
  auto const steps = *rc::gen::container<std::vector<std::tuple<int, std::size_t, std::uint64_t>>>(
      rc::gen::tuple(rc::gen::inRange(0, 4), rc::gen::inRange<std::size_t>(0, 4), any_mask()));
  for (auto const& [step, argument, mask] : steps) {
    Os::set_plan({kEveryCall, mask, false, ENOMEM});
    if (step <= 1) {
      for (std::size_t i = 0; i < argument; ++i) SimulatedOs::place_next(kSuper, argument * 4 * kKiB);
      MapKind const kind = step == 0 ? MapKind::kNormal : MapKind::kReserve;
      AlignedMapping const mapping = map_aligned<Os>(nullptr, (argument + 1) * kSuper, kSuper, kind, leftovers);
      if (mapping.ok()) held.push_back(mapping);
    } else if (step == 2 && !held.empty()) {
      AlignedMapping const mapping = held[argument % held.size()];
      void* const record_at = SimulatedOs::accessible(mapping.base) ? mapping.base : nullptr;
      Released const released = release<Os>(mapping.base, mapping.kept, leftovers, record_at);
      if (released.disposal != Disposal::kRefused) {
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(argument % held.size()));
      }
    } else {
      leftovers.retry(static_cast<unsigned>(argument));
    }
    check_books(held, leftovers);
  }
}

}  // namespace
}  // namespace hakmem::testing
