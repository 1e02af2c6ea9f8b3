// What it owns: the properties of mappings and their pages over random placements, failures,
// policies and page sizes; and that the simulated pages behave as the kernel's do.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <cerrno>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/geometry.h"
#include "core/os/huge.h"
#include "property_tests/kernel_view.h"
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

// --- the simulated pages against the kernel's ---------------------------------------------------

enum class Step { kMap, kReserve, kUnmap, kProtectNone, kProtectReadWrite, kPopulate, kPurge, kTouch };
constexpr std::array kStepNames = {"map", "reserve", "unmap", "protect", "unprotect", "populate", "purge", "touch"};
constexpr std::array kStateNames = {"never", "mapped", "populated", "purged", "released"};
constexpr std::size_t kPages = 6;
// Unmapped pages take 6 steps (2 states), accessible ones 6 (3 states), those without access 5 (3 states).
constexpr std::size_t kEdges = 2 * 6 + 3 * 6 + 3 * 5;

// Each state and step that was tried, with what came of it.
using Edges = std::map<std::string, std::set<std::string>>;

// The same calls on both systems, at the same offsets.
class Twins {
 public:
  Twins() : page_(Linux::page_bytes()) {
    SimulatedOs::reset({.page_bytes = page_});
    // Free space on both sides: a hint at an offset in it is honoured.
    simulated_ = static_cast<std::byte*>(SimulatedOs::map(nullptr, kPages * page_, MapKind::kNormal).address);
    SimulatedOs::reset({.page_bytes = page_});
    // The kernel maps downwards: what others map meanwhile lies far above the start of this range.
    real_ = static_cast<std::byte*>(Linux::map(nullptr, kGiB, MapKind::kReserve).address);
    Linux::unmap(real_, kGiB);
  }
  ~Twins() { Linux::unmap(real_, kPages * page_); }

  // Makes the step on both if a correct caller might, or if it fails without effect.
  void perform(Step step, std::size_t first, std::size_t count, Edges& edges) {
    if (first + count > kPages || !sensible(step, first, count)) return;
    std::string const edge = describe(first) + " --" + kStepNames[static_cast<std::size_t>(step)] + "-->";
    OsStatus const simulated = call<SimulatedOs>(step, simulated_ + first * page_, count * page_);
    OsStatus const real = call<Linux>(step, real_ + first * page_, count * page_);
    RC_ASSERT(simulated.code == real.code);
    edges[edge].insert(real.ok() ? describe(first) : "errno " + std::to_string(real.code));
    for (std::size_t i = 0; i < kPages; ++i) compare_residency(i);
    RC_ASSERT(kernel_mapped_bytes(real_, kPages * page_) == SimulatedOs::mapped_bytes());
    bool const there = mapped(first);
    RC_ASSERT(kernel_mapped_bytes(real_ + first * page_, count * page_) == (there ? count * page_ : 0));
  }

 private:
  bool mapped(std::size_t page) const {
    PageState const state = SimulatedOs::state_of(simulated_ + page * page_);
    return state != PageState::kNever && state != PageState::kReleased;
  }
  bool sensible(Step step, std::size_t first, std::size_t count) const {
    std::size_t found = 0;
    for (std::size_t i = 0; i < count; ++i) found += mapped(first + i);
    if (step == Step::kMap || step == Step::kReserve) return found == 0;
    if (step == Step::kUnmap) return found == count;
    if (step == Step::kTouch) return found == count && SimulatedOs::accessible(simulated_ + first * page_);
    return found == count || found == 0;
  }
  std::string describe(std::size_t page) const {
    std::byte* const address = simulated_ + page * page_;
    std::string const state = kStateNames[static_cast<std::size_t>(SimulatedOs::state_of(address))];
    return mapped(page) && !SimulatedOs::accessible(address) ? state + " without access" : state;
  }
  void compare_residency(std::size_t page) const {
    bool const resident = SimulatedOs::state_of(simulated_ + page * page_) == PageState::kPopulated;
    RC_ASSERT(kernel_resident_bytes(real_ + page * page_, page_) == (resident ? page_ : 0));
  }

  template <class System>
  static OsStatus call(Step step, std::byte* address, std::size_t bytes) {
    switch (step) {
      case Step::kMap:
      case Step::kReserve: {
        MapKind const kind = step == Step::kMap ? MapKind::kNormal : MapKind::kReserve;
        OsMapping const mapping = System::map(address, bytes, kind);
        RC_ASSERT(static_cast<std::byte*>(mapping.address) == address);
        return mapping.status;
      }
      case Step::kUnmap:
        return System::unmap(address, bytes);
      case Step::kProtectNone:
        return System::protect_none(address, bytes);
      case Step::kProtectReadWrite:
        return System::protect_read_write(address, bytes);
      case Step::kPopulate:
        return System::populate_write(address, bytes);
      case Step::kPurge:
        return System::purge(address, bytes);
      case Step::kTouch:
        System::touch(address);
        return {};
    }
    return {};
  }

  std::size_t const page_;
  std::byte* simulated_;
  std::byte* real_;
};

TEST(OsSimulated, pages_change_state_as_the_kernels_do) {
  Edges edges;
  bool const held = rc::check("the simulated pages behave as the kernel's", [&edges] {
    Twins twins;
    auto const steps = *rc::gen::resize(
        rc::kNominalSize, rc::gen::container<std::vector<std::tuple<int, std::size_t, std::size_t>>>(
                              120, rc::gen::tuple(rc::gen::inRange(0, 8), rc::gen::inRange<std::size_t>(0, kPages),
                                                  rc::gen::inRange<std::size_t>(1, 4))));
    for (auto const& [step, first, count] : steps) twins.perform(static_cast<Step>(step), first, count, edges);
  });
  EXPECT_TRUE(held);
  for (auto const& [edge, outcomes] : edges)
    for (std::string const& outcome : outcomes) std::cout << edge << ' ' << outcome << '\n';
  std::cout << edges.size() << " of " << kEdges << " edges of the page-state machine\n";
  EXPECT_EQ(edges.size(), kEdges);
}

}  // namespace
}  // namespace hakmem::testing
