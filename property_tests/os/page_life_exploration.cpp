// What it owns: the reachable states of the OS layer, all of them up to a bound: mappings at every landing, cut,
// populated, given back and unmapped, each of their system calls succeeding or failing. The code explored is the one
// that ships; its pages are simulated, and what it did to them is held against the table of page_life.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <bitset>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "property_tests/model/page_life.h"
#include "property_tests/model/violation.h"
#include "property_tests/os/systems.h"

namespace hakmem::testing {
namespace {

using Os = FaultySimulation;

constexpr std::size_t kPage = 64 * kKiB;
constexpr std::size_t kUnit = 2 * kPage;  // what is mapped, and its alignment
constexpr std::size_t kWindow = 32;       // pages at the end of the arena, where mappings land
constexpr std::size_t kMostHeld = 2, kMostLeft = 3;
constexpr unsigned kMostCalls = 16;  // of one operation

// `landing`: where the mappings of one request are placed, in pages from an aligned address; then as the kernel likes.
struct Action {
  enum Kind { kMap, kReserve, kRelease, kRetry, kPrefault, kPurge } kind;
  std::vector<std::size_t> landing = {};
  std::size_t which = 0;  // of the mappings held
};
std::vector<Action> const kActions = {
    {Action::kMap, {0}},     {Action::kMap, {1}},           {Action::kMap, {1, 1, 0}}, {Action::kMap, {1, 1, 1}},
    {Action::kReserve, {1}}, {Action::kReserve, {1, 1, 1}}, {Action::kRelease, {}, 0}, {Action::kRelease, {}, 1},
    {Action::kRetry},        {Action::kPrefault, {}, 0},    {Action::kPurge, {}, 0},   {Action::kPurge, {}, 1},
};

// An action, and which of its calls fail.
struct Move {
  std::size_t action;
  unsigned failing;
};
using Path = std::vector<Move>;

bool leads_to(PageLife from, PageLife to) {
  static std::bitset<kPageLives* kPageLives> const closure = [] {
    std::bitset<kPageLives * kPageLives> pairs;
    for (unsigned life = 0; life < kPageLives; ++life) pairs.set(life * kPageLives + life);
    for (unsigned round = 0; round < kPageLives; ++round)
      for (PageEdge const& edge : kPageEdges)
        for (unsigned life = 0; life < kPageLives; ++life)
          if (pairs.test(life * kPageLives + static_cast<unsigned>(edge.from)))
            pairs.set(life * kPageLives + static_cast<unsigned>(edge.to));
    return pairs;
  }();
  return closure.test(static_cast<unsigned>(from) * kPageLives + static_cast<unsigned>(to));
}

class World {
 public:
  // `lying`: calls of this kind do nothing and say that they did.
  explicit World(std::optional<OsCall> lying) : lying_(lying) {
    static std::byte* const end = [] {
      start_simulation({.page_bytes = kPage});
      return static_cast<std::byte*>(SimulatedOs::map(nullptr, kPage, MapKind::kNormal).address) + kPage;
    }();
    end_ = end;
    start_simulation({.page_bytes = kPage});
  }

  bool possible(Action const& action) const {
    switch (action.kind) {
      case Action::kMap:
      case Action::kReserve:
        return held_.size() < kMostHeld && leftovers_.ranges() <= kMostLeft;
      case Action::kRetry:
        return leftovers_.ranges() > 0;
      case Action::kPrefault:
        return action.which < held_.size() && SimulatedOs::accessible(held_[action.which]);
      default:
        return action.which < held_.size();
    }
  }

  // Returns the number of calls it made.
  unsigned perform(Action const& action, unsigned failing) {
    std::vector<PageLife> const before = pages();
    FaultPlan const lies = lying_ ? FaultPlan::always(FaultPlan::kLies, only(*lying_)) : FaultPlan{};
    Os::set_plan(lying_ ? lies : FaultPlan{kEveryCall, failing, false, ENOMEM});
    std::uint64_t const calls = Os::calls();
    act(action);
    std::vector<PageLife> const after = pages();
    for (std::size_t i = 0; i < kWindow; ++i)
      require(leads_to(before[i], after[i]), "pages that change as the table says");
    check_books();
    return static_cast<unsigned>(Os::calls() - calls);
  }

  // What tells this state from others.
  std::string signature() const {
    std::ostringstream text;
    for (PageLife const life : pages()) text << static_cast<unsigned>(life);
    for (std::byte* const base : held_) text << ' ' << (end_ - base) / static_cast<std::ptrdiff_t>(kPage);
    text << '+' << leftovers_.ranges();
    return text.str();
  }

  // With calls that succeed everything goes back to the system.
  void give_back() {
    Os::set_plan({});
    while (!held_.empty()) act({Action::kRelease, {}, 0});
    for (unsigned tries = 0; leftovers_.ranges() != 0 && tries < 2 * kMostLeft + 8; ++tries) leftovers_.retry();
    require(leftovers_.ranges() == 0 && SimulatedOs::mapped_bytes() == 0, "everything back with the system");
  }

 private:
  void act(Action const& action) {
    switch (action.kind) {
      case Action::kMap:
      case Action::kReserve: {
        for (std::size_t const landing : action.landing) SimulatedOs::place_next(kUnit, landing * kPage);
        MapKind const kind = action.kind == Action::kMap ? MapKind::kNormal : MapKind::kReserve;
        AlignedMapping const mapping = map_aligned<Os>(nullptr, kUnit, kUnit, kind, leftovers_);
        SimulatedOs::forget_placements();
        if (!mapping.ok()) return;
        require(mapping.kept == kUnit && reinterpret_cast<std::uintptr_t>(mapping.base) % kUnit == 0,
                "an aligned mapping");
        held_.push_back(static_cast<std::byte*>(mapping.base));
        return;
      }
      case Action::kRelease: {
        std::byte* const base = held_[action.which];
        Released const released = release<Os>(base, kUnit, leftovers_, SimulatedOs::accessible(base) ? base : nullptr);
        if (released.disposal != Disposal::kRefused)
          held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(action.which));
        return;
      }
      case Action::kRetry:
        leftovers_.retry(1);
        return;
      case Action::kPrefault: {
        std::byte* const base = held_[action.which];
        PrefaultResult const result = prefault<Os>({base, kUnit}, PrefaultPolicy::kPopulate);
        require(result.populated_bytes <= SimulatedOs::pages(PageState::kPopulated, base, kUnit) * kPage,
                "no more claimed than is resident");
        return;
      }
      case Action::kPurge: {
        std::byte* const base = held_[action.which];
        bool const gone = Os::purge(base, kUnit).ok();
        require(!gone || SimulatedOs::pages(PageState::kPopulated, base, kUnit) == 0, "nothing resident after a purge");
        return;
      }
    }
  }

  void check_books() const {
    require(Os::ledger().bytes() == held_.size() * kUnit + leftovers_.bytes(), "what is mapped is held or left over");
    require(SimulatedOs::mapped_bytes() == Os::ledger().bytes(), "the system's books");
    require((Os::violation() + SimulatedOs::violation()).empty(), "no call that no correct caller makes");
    for (std::byte* const base : held_) require(Os::ledger().contains(base, kUnit), "what is held is mapped");
  }

  std::vector<PageLife> pages() const {
    std::vector<PageLife> lives;
    for (std::size_t i = kWindow; i > 0; --i) {
      std::byte* const address = end_ - i * kPage;
      lives.push_back(page_life_of(SimulatedOs::state_of(address), SimulatedOs::accessible(address)));
    }
    return lives;
  }

  std::optional<OsCall> lying_;
  std::byte* end_;
  Leftovers<Os> leftovers_;
  std::vector<std::byte*> held_;
};

struct Found {
  std::size_t states = 0, moves = 0;
  std::string failure;
};

// After a run of so many calls, of which these failed: the next choice in a tree whose leaves are all runs.
std::optional<unsigned> next_choice(unsigned failing, unsigned calls) {
  for (unsigned call = calls; call-- > 0;)
    if ((failing >> call & 1) == 0) return (failing & ((1u << call) - 1)) | 1u << call;
  return std::nullopt;
}

// Breadth first; a state is reached again by the same moves. `depth`: moves from the start, at most.
Found explore(std::size_t depth, std::optional<OsCall> lying = std::nullopt) {
  Found found;
  std::map<std::string, Path> known;
  std::vector<Path> frontier = {{}};
  auto const reach = [](World& world, Path const& path) {
    for (Move const& move : path) world.perform(kActions[move.action], move.failing);
  };
  try {
    for (std::size_t level = 0; level < depth && !frontier.empty(); ++level) {
      std::vector<Path> next;
      for (Path const& path : frontier) {
        for (std::size_t action = 0; action < kActions.size(); ++action) {
          for (std::optional<unsigned> failing = 0; failing;) {
            World world(lying);
            reach(world, path);
            if (!world.possible(kActions[action])) break;
            unsigned const made = world.perform(kActions[action], *failing);
            require(made <= kMostCalls, "an operation of a few calls");
            ++found.moves;
            Path longer = path;
            longer.push_back({action, *failing});
            failing = next_choice(*failing, made);
            if (known.emplace(world.signature(), longer).second) next.push_back(longer);
            world.give_back();
          }
        }
      }
      frontier = std::move(next);
    }
  } catch (std::exception const& failure) {
    found.failure = failure.what();
  }
  found.states = known.size();
  return found;
}

// covers: M1 M3
// seeded: core/os/aligned_map.h: if (plan.suffix != 0) unmap(plan.base + keep, plan.suffix); => ;
// seeded: core/os/aligned_map.h: leftovers_.keep(range, bytes, kind_ == MapKind::kReserve ? nullptr : range); => ;
// seeded: core/os/leftovers.h: append(taken.place); => ;
TEST(OsPageLife, no_page_is_lost_in_any_state_whatever_call_fails) {
  Found const found = explore(3);
  EXPECT_EQ(found.failure, "");
  EXPECT_GT(found.states, 100u);
  std::cout << found.states << " states of the OS layer, " << found.moves << " moves\n";
}

TEST(OsPageLife, a_system_that_lies_is_found_out) {
  for (OsCall const call : {OsCall::kUnmap, OsCall::kPopulateWrite, OsCall::kPurge})
    EXPECT_NE(explore(3, call).failure, "") << "call " << static_cast<unsigned>(call);
}

}  // namespace
}  // namespace hakmem::testing
