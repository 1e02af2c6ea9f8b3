// What it owns: that simulated pages and those of the real kernel change state as the table says and in no other way,
// by calls that succeed, that the kernel refuses and that are made to fail.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bitset>
#include <iostream>
#include <string>
#include <tuple>
#include <vector>

#include "property_tests/kernel_view.h"
#include "property_tests/model/page_life.h"
#include "property_tests/os/systems.h"

namespace hakmem::testing {
namespace {

constexpr std::size_t kPages = 6;
using Seen = std::bitset<kPageEdgeCount>;

// The same calls on both systems, at the same offsets.
class Twins {
 public:
  Twins() : page_(Linux::page_bytes()) {
    start_simulation({.page_bytes = page_});
    FaultyLinux::reset();
    // Free space on both sides: a hint at an offset in it is honoured.
    simulated_ = static_cast<std::byte*>(SimulatedOs::map(nullptr, kPages * page_, MapKind::kNormal).address);
    start_simulation({.page_bytes = page_});
    // The kernel maps downwards: what others map meanwhile lies far above the start of this range.
    real_ = static_cast<std::byte*>(Linux::map(nullptr, kGiB, MapKind::kReserve).address);
    Linux::unmap(real_, kGiB);
  }
  ~Twins() { Linux::unmap(real_, kPages * page_); }
  Twins(Twins const&) = delete;
  Twins& operator=(Twins const&) = delete;

  // Makes the step on both if a correct caller might, or if it fails without effect.
  void perform(PageStep step, std::size_t first, std::size_t count, bool failing, Seen& seen) {
    if (first + count > kPages || !sensible(step, first, count, failing)) return;
    if (step == PageStep::kTouch) count = 1;
    FaultPlan const plan = failing ? FaultPlan::always(ENOMEM) : FaultPlan::none();
    FaultySimulation::set_plan(plan);
    FaultyLinux::set_plan(plan);
    PageLife before[kPages];
    for (std::size_t i = 0; i < kPages; ++i) before[i] = life(i);
    OsStatus const simulated = call<FaultySimulation>(step, simulated_ + first * page_, count * page_, failing);
    OsStatus const real = call<FaultyLinux>(step, real_ + first * page_, count * page_, failing);
    RC_ASSERT(simulated.code == real.code);
    int const outcome = failing && call_of(step) ? kFailed : real.code;
    for (std::size_t i = 0; i < kPages; ++i) {
      if (i < first || i >= first + count)
        RC_ASSERT(life(i) == before[i]);
      else
        mark({step, before[i], life(i), outcome}, seen);
      compare(i);
    }
  }

 private:
  PageLife life(std::size_t page) const {
    std::byte* const address = simulated_ + page * page_;
    return page_life_of(SimulatedOs::state_of(address), SimulatedOs::accessible(address));
  }
  bool mapped(std::size_t page) const { return life(page) != PageLife::kNever && life(page) != PageLife::kReleased; }
  bool sensible(PageStep step, std::size_t first, std::size_t count, bool failing) const {
    std::size_t found = 0;
    for (std::size_t i = 0; i < count; ++i) found += mapped(first + i);
    if (step == PageStep::kMap || step == PageStep::kReserve) return found == 0;
    if (step == PageStep::kUnmap) return found == count;
    if (step == PageStep::kTouch) return found == count && SimulatedOs::accessible(simulated_ + first * page_);
    return found == count || (found == 0 && !failing);
  }
  // The real page is mapped and resident as the simulated one is.
  void compare(std::size_t page) const {
    std::byte* const real = real_ + page * page_;
    bool const resident = SimulatedOs::state_of(simulated_ + page * page_) == PageState::kPopulated;
    RC_ASSERT(kernel_resident_bytes(real, page_) == (resident ? page_ : 0));
    RC_ASSERT(kernel_mapped_bytes(real, page_) == (mapped(page) ? page_ : 0));
  }

  static void mark(PageEdge const& edge, Seen& seen) {
    for (std::size_t i = 0; i < kPageEdgeCount; ++i) {
      if (kPageEdges[i] != edge) continue;
      seen.set(i);
      return;
    }
    RC_FAIL(std::string(kPageStepNames[static_cast<unsigned>(edge.step)]) + " (" + std::to_string(edge.outcome) +
            ") took a page from " + kPageLifeNames[static_cast<unsigned>(edge.from)] + " to " +
            kPageLifeNames[static_cast<unsigned>(edge.to)]);
  }

  template <class System>
  static OsStatus call(PageStep step, std::byte* address, std::size_t bytes, bool failing) {
    switch (step) {
      case PageStep::kMap:
      case PageStep::kReserve: {
        MapKind const kind = step == PageStep::kMap ? MapKind::kNormal : MapKind::kReserve;
        OsMapping const mapping = System::map(address, bytes, kind);
        RC_ASSERT(static_cast<std::byte*>(mapping.address) == (failing ? nullptr : address));
        return mapping.status;
      }
      case PageStep::kUnmap:
        return System::unmap(address, bytes);
      case PageStep::kClose:
        return System::protect_none(address, bytes);
      case PageStep::kOpen:
        return System::protect_read_write(address, bytes);
      case PageStep::kPopulate:
        return System::populate_write(address, bytes);
      case PageStep::kPurge:
        return System::purge(address, bytes);
      case PageStep::kTouch:
        System::touch(address);
        return {};
    }
    return {};
  }

  std::size_t const page_;
  std::byte* simulated_;
  std::byte* real_;
};

// covers: M2 M3
// seeded: property_tests/simulated_os.cpp: if (state.pages[part.first].state == PageState::kPopulated) state.pages.enter(part, PageState::kPurged); => state.pages.enter(part, PageState::kPurged);
// seeded: property_tests/model/page_life.h: {PageStep::kPopulate, PageLife::kOpenPurged, PageLife::kOpenPopulated, EINVAL}, => {PageStep::kPopulate, PageLife::kOpenPurged, PageLife::kReleased, EINVAL},
TEST(OsPageLife, simulated_and_real_pages_change_as_the_table_says_and_take_every_edge) {
  Seen seen;
  unsigned round = 0;
  auto const live = [&seen, &round] {
    Twins twins;
    auto const steps = *rc::gen::resize(
        rc::kNominalSize,
        rc::gen::container<std::vector<std::tuple<unsigned, std::size_t, std::size_t, int>>>(
            120, rc::gen::tuple(rc::gen::inRange(0u, kPageSteps), rc::gen::inRange<std::size_t>(0, kPages),
                                rc::gen::inRange<std::size_t>(1, 4), rc::gen::inRange(0, 6))));
    for (auto const& [step, first, count, fate] : steps)
      twins.perform(static_cast<PageStep>((step + round) % kPageSteps), first, count, fate == 0, seen);
  };
  // Every edge is taken in the first round almost always; that it is taken is not left to luck. All
  // rounds draw the same numbers, and each reads them as other steps.
  for (; round < 20 && !seen.all(); ++round)
    ASSERT_TRUE(rc::check("pages change as the table says, " + std::to_string(round), live));
  for (std::size_t i = 0; i < kPageEdgeCount; ++i) {
    PageEdge const& edge = kPageEdges[i];
    EXPECT_TRUE(seen.test(i)) << "never: " << kPageStepNames[static_cast<unsigned>(edge.step)] << " (" << edge.outcome
                              << ") from " << kPageLifeNames[static_cast<unsigned>(edge.from)] << " to "
                              << kPageLifeNames[static_cast<unsigned>(edge.to)];
  }
  std::cout << seen.count() << " of " << kPageEdgeCount << " edges of the life of a page\n";
}

}  // namespace
}  // namespace hakmem::testing
