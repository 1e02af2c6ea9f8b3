// What it owns: the tests of the test doubles themselves: what no correct caller does is caught.
#include "property_tests/simulated_os.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <utility>
#include <vector>

#include "property_tests/os/systems.h"

namespace hakmem::testing {
namespace {

constexpr std::size_t kPage = 4 * kKiB;

std::byte* map(std::size_t pages, MapKind kind = MapKind::kNormal) {
  return static_cast<std::byte*>(SimulatedOs::map(nullptr, pages * kPage, kind).address);
}

TEST(OsSimulated, a_page_goes_through_its_states) {
  SimulatedOs::reset();
  std::byte* const page = map(2);
  EXPECT_EQ(SimulatedOs::state_of(page), PageState::kMapped);
  EXPECT_TRUE(SimulatedOs::populate_write(page, kPage).ok());
  EXPECT_EQ(SimulatedOs::state_of(page), PageState::kPopulated);
  page[5] = std::byte{1};
  EXPECT_TRUE(SimulatedOs::purge(page, kPage).ok());
  EXPECT_EQ(SimulatedOs::state_of(page), PageState::kPurged);
  EXPECT_EQ(page[5], std::byte{0});
  SimulatedOs::touch(page);
  EXPECT_EQ(SimulatedOs::state_of(page), PageState::kPopulated);
  EXPECT_TRUE(SimulatedOs::protect_none(page, kPage).ok());
  EXPECT_FALSE(SimulatedOs::accessible(page));
  EXPECT_EQ(SimulatedOs::vmas(), 2u);
  EXPECT_DEATH(page[0] = std::byte{1}, "");
  EXPECT_TRUE(SimulatedOs::unmap(page, 2 * kPage).ok());
  EXPECT_EQ(SimulatedOs::state_of(page), PageState::kReleased);
  EXPECT_EQ(SimulatedOs::violation(), "");
}

TEST(OsSimulated, wrong_calls_are_refused_and_recorded) {
  std::byte outside[kPage];
  std::vector<std::pair<char const*, std::function<OsStatus(std::byte*)>>> const wrongs = {
      {"double unmap",
       [](std::byte* page) {
         SimulatedOs::unmap(page, kPage);
         return SimulatedOs::unmap(page, kPage);
       }},
      {"foreign unmap", [&](std::byte*) { return SimulatedOs::unmap(outside, kPage); }},
      {"unmap of a partial page", [](std::byte* page) { return SimulatedOs::unmap(page, kPage / 2); }},
      {"unmap beyond the end", [](std::byte* page) { return SimulatedOs::unmap(page, 3 * kPage); }},
      {"populate of a hole", [](std::byte* page) { return SimulatedOs::populate_write(page, 3 * kPage); }},
      {"purge of a hole", [](std::byte* page) { return SimulatedOs::purge(page - kPage, 2 * kPage); }},
      {"advice for a hole", [](std::byte* page) { return SimulatedOs::advise_huge(page, 3 * kPage); }},
      {"populate without access",
       [](std::byte* page) {
         SimulatedOs::protect_none(page, kPage);
         return SimulatedOs::populate_write(page, kPage);
       }},
      {"map of a partial page",
       [](std::byte*) { return SimulatedOs::map(nullptr, kPage + 1, MapKind::kNormal).status; }},
  };
  for (auto const& [name, wrong] : wrongs) {
    SimulatedOs::reset();
    map(4);
    std::byte* const page = map(2);
    SimulatedOs::unmap(page + 2 * kPage, kPage);
    ASSERT_EQ(SimulatedOs::violation(), "");
    EXPECT_FALSE(wrong(page).ok()) << name;
    EXPECT_NE(SimulatedOs::violation(), "") << name;
  }
}

TEST(OsSimulated, limits_refuse_what_exceeds_them_and_change_nothing) {
  SimulatedOs::reset({.populate_pages = 3, .vma_limit = 1});
  std::byte* const range = map(5);
  EXPECT_EQ(SimulatedOs::populate_write(range, 5 * kPage).error, OsError::kOutOfMemory);
  EXPECT_EQ(SimulatedOs::pages(PageState::kPopulated, range, 5 * kPage), 3u);
  EXPECT_EQ(SimulatedOs::unmap(range + kPage, kPage).code, ENOMEM);
  EXPECT_EQ(SimulatedOs::protect_none(range + kPage, kPage).code, ENOMEM);
  EXPECT_EQ(SimulatedOs::mapped_bytes(), 5 * kPage);
  EXPECT_TRUE(SimulatedOs::accessible(range + kPage));
  EXPECT_TRUE(SimulatedOs::unmap(range, kPage).ok());
  EXPECT_EQ(SimulatedOs::violation(), "");
}

TEST(OsSimulated, a_mapping_grows_in_place_or_moves_with_its_contents) {
  SimulatedOs::reset();
  std::byte* const target = map(8);
  std::byte* const gap = map(2);
  std::byte* const range = map(2);
  EXPECT_EQ(SimulatedOs::resize(range, 2 * kPage, 3 * kPage).error, OsError::kOutOfMemory);
  EXPECT_TRUE(SimulatedOs::unmap(gap, 2 * kPage).ok());
  EXPECT_TRUE(SimulatedOs::resize(range, 2 * kPage, 4 * kPage).ok());
  range[3 * kPage] = std::byte{7};
  EXPECT_TRUE(SimulatedOs::move(range, 4 * kPage, 6 * kPage, target).ok());
  EXPECT_EQ(target[3 * kPage], std::byte{7});
  EXPECT_EQ(SimulatedOs::mapped_bytes(), 8 * kPage);
  EXPECT_TRUE(SimulatedOs::resize(target, 8 * kPage, kPage).ok());
  EXPECT_EQ(SimulatedOs::mapped_bytes(), kPage);
  EXPECT_EQ(SimulatedOs::violation(), "");
}

TEST(OsFaulty, exactly_the_planned_calls_fail) {
  start_simulation({}, {only(OsCall::kMap) | only(OsCall::kPurge), 0b101, false, EAGAIN});
  using Os = FaultySimulation;
  EXPECT_EQ(Os::map(nullptr, kPage, MapKind::kNormal).status.code, EAGAIN);
  void* const page = Os::map(nullptr, kPage, MapKind::kNormal).address;
  EXPECT_TRUE(Os::populate_write(page, kPage).ok());
  EXPECT_EQ(Os::purge(page, kPage).error, OsError::kInterrupted);
  EXPECT_TRUE(Os::purge(page, kPage).ok());
  EXPECT_EQ(Os::failed(), 2u);
  EXPECT_EQ(Os::calls(), 5u);
  EXPECT_EQ(Os::ledger().bytes(), kPage);
  EXPECT_EQ(Os::violation(), "");
}

TEST(OsFaulty, calls_on_memory_that_is_not_held_are_recorded) {
  start_simulation();
  using Os = FaultySimulation;
  void* const page = Os::map(nullptr, kPage, MapKind::kNormal).address;
  EXPECT_TRUE(Os::unmap(page, kPage).ok());
  EXPECT_EQ(Os::violation(), "");
  EXPECT_FALSE(Os::unmap(page, kPage).ok());
  EXPECT_NE(Os::violation(), "");
}

TEST(OsRangeLedger, ranges_merge_and_split) {
  RangeLedger ledger;
  auto const at = [](std::size_t page) { return reinterpret_cast<void*>(page * kPage); };
  EXPECT_TRUE(ledger.add(at(10), 2 * kPage));
  EXPECT_TRUE(ledger.add(at(14), 2 * kPage));
  EXPECT_FALSE(ledger.add(at(11), 2 * kPage));
  EXPECT_FALSE(ledger.add(at(9), 8 * kPage));
  EXPECT_TRUE(ledger.add(at(12), 2 * kPage));
  EXPECT_EQ(ledger.runs(), 1u);
  EXPECT_TRUE(ledger.contains(at(10), 6 * kPage));
  EXPECT_FALSE(ledger.contains(at(10), 7 * kPage));
  EXPECT_TRUE(ledger.remove(at(12), kPage));
  EXPECT_FALSE(ledger.remove(at(12), kPage));
  EXPECT_FALSE(ledger.remove(at(11), 3 * kPage));
  EXPECT_EQ(ledger.runs(), 2u);
  ledger.remove_any(at(0), 14 * kPage);
  EXPECT_EQ(ledger.bytes(), 2 * kPage);
}

}  // namespace
}  // namespace hakmem::testing
