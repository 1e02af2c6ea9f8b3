// The life of SuperSlabs: the pool makes exactly the changes that the table allows, whatever call
// fails (invariants M1-M3, P1); and what follows from the table for any number of steps.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <bitset>
#include <iostream>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "property_tests/global/global_fixture.h"
#include "property_tests/model/super_slab_life.h"

namespace hakmem::testing {
namespace {

using Os = FaultySimulation;
using C = Config<FastMode, Os, StdSync, DefaultGeometry>;
using G = DefaultGeometry;
constexpr std::size_t kEdgeCount = std::size(kLifeEdges);
constexpr std::uint64_t kMostMapped = 24;
constexpr std::uint64_t kNever = std::uint64_t{1} << 62;

using Lives = std::map<std::byte*, Life>;

class LifeOfAPool {
 public:
  LifeOfAPool() {
    SimulatedOs::reset();
    Os::reset();
    KernelLacks<Os>::populate_write = false;
    space().settings.prefault = *rc::gen::element(PrefaultPolicy::kOff, PrefaultPolicy::kPopulate);
    space().settings.batch_max = 4;
  }

  void perform(LifeStep step, std::size_t argument, std::optional<OsCall> failing, std::bitset<kEdgeCount>& seen) {
    Os::set_plan(failing ? FaultPlan::always(ENOMEM, only(*failing)) : FaultPlan::none());
    Lives const before = observe();
    act(step, argument);
    Os::set_plan(FaultPlan::none());
    Lives const after = observe();
    RC_ASSERT(pool().validate());
    RC_ASSERT(Os::violation() + SimulatedOs::violation() == "");
    Lives everything = before;
    everything.insert(after.begin(), after.end());
    for (auto const& [base, unused] : everything) {
      LifeEdge edge{step, life(before, base), life(after, base)};
      bool const maps = step == LifeStep::kMap || step == LifeStep::kWarmUp || step == LifeStep::kPrepare;
      if (maps && edge.from == Life::kLeft && edge.to != Life::kLeft) {  // mapping retries first
        RC_ASSERT(mark({LifeStep::kRetry, Life::kLeft, Life::kGone}, failing, seen));
        edge.from = Life::kGone;
      }
      if (edge.from != edge.to) RC_ASSERT(mark(edge, failing, seen));
    }
  }

 private:
  AddressSpace<C>& space() { return global_->space; }
  SuperSlabPool<C>& pool() { return global_->pool; }

  void act(LifeStep step, std::size_t argument) {
    bool const room = pool().counts().mapped_now < kMostMapped;
    switch (step) {
      case LifeStep::kMap:
        if (SuperSlab<C>* const super = room ? pool().map_new(space()) : nullptr) held_.push_back(super);
        return;
      case LifeStep::kTake:
        if (SuperSlab<C>* const super = pool().take_pooled(space())) held_.push_back(super);
        return;
      case LifeStep::kUse:
        if (!held_.empty()) use(held_[argument % held_.size()]);
        return;
      case LifeStep::kPutBack:
        if (held_.empty()) return;
        pool().put_back(held_[argument % held_.size()], ++now_ms_);
        held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(argument % held_.size()));
        return;
      case LifeStep::kCool:
        pool().purge(space(), ++now_ms_, 0, ~0u, static_cast<unsigned>(argument));
        return;
      case LifeStep::kRelease:
        pool().purge(space(), now_ms_, kNever, argument == 0 ? 2 : 0, 2);
        return;
      case LifeStep::kRetry:
        space().leftovers().retry();
        return;
      case LifeStep::kWarmUp:
        if (room) pool().warm_up(space(), argument * G::kSuperSlabBytes, ++now_ms_);
        return;
      case LifeStep::kPrepare:
        if (room || pool().counts().cold > 0) pool().prepare_one(space(), ++now_ms_);
        return;
    }
  }

  // A heap takes a slab, writes to it and gives it back.
  static void use(SuperSlab<C>* super) {
    bool zeroed = false;
    unsigned const slab = super->take_run(1, 1, false, zeroed);
    std::byte* const start = super->base + slab * G::kSlabBytes;
    Os::touch(start);
    if (zeroed) RC_ASSERT(*start == std::byte{0});
    *start = std::byte{0xff};
    super->return_run(kernels::run_of_slabs(slab, 1));
  }

  // Every SuperSlab that is somewhere; those that were released and are held by the kernel only.
  Lives observe() {
    Lives lives;
    for (SuperSlab<C>* super : held_) lives[super->base] = life_of(super, Life::kHeldFresh);
    std::vector<std::pair<SuperSlab<C>*, bool>> pooled;
    pool().for_each_pooled([&pooled](SuperSlab<C>* super, bool warm) { pooled.emplace_back(super, warm); });
    for (auto const& [super, warm] : pooled)
      lives[super->base] = life_of(super, warm ? Life::kWarmFresh : Life::kColdFresh);
    for (SuperSlab<C>* super = pool().all(); super; super = super->all_next) bases_.insert(super->base);
    for (std::byte* base : bases_)
      if (!lives.contains(base) && Os::ledger().contains(base, G::kSuperSlabBytes)) lives[base] = Life::kLeft;
    return lives;
  }

  // `fresh`, or the ready or used state that follows it; and that its pages agree.
  static Life life_of(SuperSlab<C>* super, Life fresh) {
    std::uint32_t const dirty = SlabSets::from(super->slabs.load()).dirty;
    std::size_t const resident = SimulatedOs::pages(PageState::kPopulated, super->base, G::kSuperSlabBytes);
    RC_ASSERT((dirty == 0) == (resident == 0));
    for (unsigned slab = 0; slab < G::kSlabsPerSuperSlab; ++slab) {
      bool const known_zero = ((dirty & ~super->populated) >> slab & 1) == 0;
      if (known_zero) RC_ASSERT(super->base[slab * G::kSlabBytes] == std::byte{0});
    }
    unsigned const content = dirty == 0 ? 0 : (dirty & ~super->populated) == 0 ? 1 : 2;
    return static_cast<Life>(static_cast<unsigned>(fresh) + content);
  }

  static Life life(Lives const& lives, std::byte* base) {
    auto const found = lives.find(base);
    return found == lives.end() ? Life::kGone : found->second;
  }

  static bool mark(LifeEdge const& edge, std::optional<OsCall> failing, std::bitset<kEdgeCount>& seen) {
    for (std::size_t i = 0; i < kEdgeCount; ++i) {
      if (!(kLifeEdges[i] == edge)) continue;
      if (kLifeEdges[i].failed && kLifeEdges[i].failed != failing) continue;
      seen.set(i);
      return true;
    }
    RC_FAIL(std::string(kLifeStepNames[static_cast<unsigned>(edge.step)]) + " took a SuperSlab from " +
            kLifeNames[static_cast<unsigned>(edge.from)] + " to " + kLifeNames[static_cast<unsigned>(edge.to)]);
  }

  std::unique_ptr<Global<C>> global_ = std::make_unique<Global<C>>();
  std::vector<SuperSlab<C>*> held_;
  std::set<std::byte*> bases_;
  std::uint64_t now_ms_ = 1;
};

// The call that decides where a step leads, another one, or none.
std::optional<OsCall> failing_call(LifeStep step, int choice) {
  if (choice == 0) return OsCall::kMap;
  if (choice > 2) return std::nullopt;
  if (step == LifeStep::kCool) return OsCall::kPurge;
  return step == LifeStep::kRelease || step == LifeStep::kRetry ? OsCall::kUnmap : OsCall::kPopulateWrite;
}

// covers: M2 M3
// seeded: core/global/superslab_pool.h: if (space.purge(super->base, G::kSuperSlabBytes)) { => space.purge(super->base, G::kSuperSlabBytes); {
// seeded: core/global/superslab_pool.h: note(super, resident); => ;
TEST(GlobalSuperSlabLife, changes_as_the_table_says_whatever_fails_and_takes_every_edge) {
  std::bitset<kEdgeCount> seen;
  unsigned round = 0;
  auto const live = [&seen, &round] {
    LifeOfAPool pool;
    auto const steps = *rc::gen::container<std::vector<std::tuple<unsigned, std::size_t, int>>>(
        150,
        rc::gen::tuple(rc::gen::inRange(0u, kLifeSteps), rc::gen::inRange<std::size_t>(0, 5), rc::gen::inRange(0, 5)));
    for (auto const& [number, argument, choice] : steps) {
      auto const step = static_cast<LifeStep>((number + round) % kLifeSteps);
      pool.perform(step, (argument + round) % 5, failing_call(step, choice), seen);
    }
  };
  // Every edge is taken in the first round almost always; that it is taken is not left to luck. All
  // rounds draw the same numbers, and each reads them as other steps.
  for (; round < 20 && !seen.all(); ++round)
    ASSERT_TRUE(rc::check("the pool makes the changes of the table and no other, " + std::to_string(round), live));
  for (std::size_t i = 0; i < kEdgeCount; ++i) {
    LifeEdge const& edge = kLifeEdges[i];
    EXPECT_TRUE(seen.test(i)) << "never: " << kLifeStepNames[static_cast<unsigned>(edge.step)] << " from "
                              << kLifeNames[static_cast<unsigned>(edge.from)] << " to "
                              << kLifeNames[static_cast<unsigned>(edge.to)];
  }
  std::cout << seen.count() << " of " << kEdgeCount << " edges of the life of a SuperSlab\n";
}

// --- what follows from the table ----------------------------------------------------------------

using States = std::bitset<kLives>;

bool holds_data(Life life) { return life == Life::kColdUsed || life == Life::kHeldUsed || life == Life::kWarmUsed; }
bool known_zero(Life life) { return life != Life::kGone && life != Life::kLeft && !holds_data(life); }

// All states that edges lead to from `start`, with calls that fail or without.
States reachable(Life start, bool with_failures) {
  States found;
  found.set(static_cast<unsigned>(start));
  for (bool grew = true; grew;) {
    grew = false;
    for (LifeEdge const& edge : kLifeEdges) {
      if (edge.failed && !with_failures) continue;
      if (!found.test(static_cast<unsigned>(edge.from)) || found.test(static_cast<unsigned>(edge.to))) continue;
      found.set(static_cast<unsigned>(edge.to));
      grew = true;
    }
  }
  return found;
}

// covers: M3
// seeded: property_tests/model/super_slab_life.h: {LifeStep::kRetry, Life::kLeft, Life::kGone}, =>
TEST(GlobalSuperSlabLife, reaches_every_state_and_from_each_goes_back_to_the_system) {
  EXPECT_TRUE(reachable(Life::kGone, true).all());
  for (unsigned life = 0; life < kLives; ++life)
    EXPECT_TRUE(reachable(static_cast<Life>(life), false).test(static_cast<unsigned>(Life::kGone))) << kLifeNames[life];
}

// covers: M2
// seeded: property_tests/model/super_slab_life.h: Life::kColdUsed, OsCall::kPurge}, => Life::kColdReady, OsCall::kPurge},
TEST(GlobalSuperSlabLife, takes_what_was_written_for_zero_only_after_a_call_that_succeeded) {
  for (LifeEdge const& edge : kLifeEdges) {
    if (!holds_data(edge.from) || !known_zero(edge.to)) continue;
    EXPECT_EQ(edge.step, LifeStep::kCool) << kLifeNames[static_cast<unsigned>(edge.from)];
    EXPECT_FALSE(edge.failed.has_value());
  }
}

// covers: M3
// seeded: property_tests/model/super_slab_life.h: {LifeStep::kRelease, Life::kColdUsed, Life::kLeft, OsCall::kUnmap}, => {LifeStep::kRelease, Life::kColdUsed, Life::kGone, OsCall::kUnmap},
TEST(GlobalSuperSlabLife, loses_nothing_when_a_call_fails) {
  for (LifeEdge const& edge : kLifeEdges) {
    if (!edge.failed) continue;
    EXPECT_NE(edge.to, Life::kGone) << kLifeNames[static_cast<unsigned>(edge.from)];
  }
}

}  // namespace
}  // namespace hakmem::testing
