// What it owns: the tests of aligned mappings: the four ways to cut, hints, and every failure of
// every call (M1 and M3 of the design).
#include "core/os/aligned_map.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/geometry.h"
#include "core/os/linux.h"
#include "property_tests/kernel_view.h"
#include "property_tests/os/systems.h"

namespace hakmem::testing {
namespace {

constexpr std::size_t kSuper = 2 * kMiB;
constexpr std::size_t kPage = 4 * kKiB;
using Os = FaultySimulation;

// Where the mappings of a request land, as offsets from an aligned address.
struct Scenario {
  char const* name;
  std::vector<std::size_t> skews;
  TrimPath path;
  unsigned calls;
};

// The second mapping, asked for below the first, comes to lie below it only by its own choice.
std::vector<Scenario> const kScenarios = {
    {"aligned as it comes", {0}, TrimPath::kExact, 1},
    {"over-mapped, aligned start", {kPage, kPage, 0}, TrimPath::kSuffix, 6},
    {"over-mapped, aligned end", {kPage, kPage, kPage}, TrimPath::kPrefix, 6},
    {"over-mapped, between", {kPage, kPage, 5 * kPage}, TrimPath::kBoth, 7},
};

struct Fixture : ::testing::Test {
  Fixture() { start_simulation(); }
  ~Fixture() override { EXPECT_EQ(Os::violation() + SimulatedOs::violation(), ""); }

  static void place(std::vector<std::size_t> const& skews) {
    for (std::size_t const skew : skews) SimulatedOs::place_next(kSuper, skew);
  }
  AlignedMapping map(std::size_t bytes, MapKind kind = MapKind::kNormal, void* hint = nullptr) {
    return map_aligned<Os>(hint, bytes, kSuper, kind, leftovers);
  }
  // M1 and M3 for the one mapping made so far.
  void check(AlignedMapping const& mapping, std::size_t bytes) {
    EXPECT_EQ(mapping.prefix + mapping.kept + mapping.suffix, mapping.mapped);
    EXPECT_EQ(Os::ledger().bytes(), mapping.kept + leftovers.bytes());
    EXPECT_EQ(SimulatedOs::mapped_bytes(), Os::ledger().bytes());
    if (!mapping.ok()) {
      EXPECT_EQ(mapping.kept, 0u);
      return;
    }
    EXPECT_EQ(mapping.kept, bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mapping.base) % kSuper, 0u);
    EXPECT_TRUE(Os::ledger().contains(mapping.base, bytes));
    EXPECT_EQ(mapping.path, static_cast<TrimPath>((mapping.prefix != 0) + 2 * (mapping.suffix != 0)));
  }

  Leftovers<Os> leftovers;
};

struct OsAlignedMap : Fixture {};

TEST_F(OsAlignedMap, every_outcome_of_the_cut_keeps_exactly_what_was_asked) {
  for (Scenario const& scenario : kScenarios)
    for (MapKind const kind : {MapKind::kNormal, MapKind::kPopulate, MapKind::kReserve})
      for (std::size_t count = 1; count <= 16; count *= 2) {
        SCOPED_TRACE(scenario.name);
        start_simulation();
        place(scenario.skews);
        AlignedMapping const mapping = map(count * kSuper, kind);
        ASSERT_TRUE(mapping.ok());
        EXPECT_EQ(mapping.path, scenario.path);
        EXPECT_EQ(mapping.calls, scenario.calls);
        EXPECT_EQ(SimulatedOs::accessible(mapping.base), kind != MapKind::kReserve);
        check(mapping, count * kSuper);
        EXPECT_EQ(SimulatedOs::mapped_bytes(), count * kSuper);
      }
}

TEST_F(OsAlignedMap, an_unaligned_mapping_is_extended_downwards_and_cut_once) {
  SimulatedOs::place_next(kSuper, 3 * kPage);
  AlignedMapping const mapping = map(kSuper);
  check(mapping, kSuper);
  EXPECT_EQ(mapping.path, TrimPath::kSuffix);
  EXPECT_EQ(mapping.suffix, 3 * kPage);
  EXPECT_EQ(mapping.calls, 3u);
}

TEST_F(OsAlignedMap, a_hint_that_is_free_costs_one_call) {
  AlignedMapping const first = map(kSuper);
  auto* const below = static_cast<std::byte*>(first.base) - 4 * kSuper;
  AlignedMapping const second = map(4 * kSuper, MapKind::kNormal, below);
  EXPECT_EQ(second.base, below);
  EXPECT_EQ(second.path, TrimPath::kExact);
  EXPECT_EQ(second.calls, 1u);
}

TEST_F(OsAlignedMap, a_hint_that_is_taken_still_gives_an_aligned_mapping) {
  AlignedMapping const first = map(kSuper);
  AlignedMapping const second = map(kSuper, MapKind::kNormal, first.base);
  ASSERT_TRUE(second.ok());
  EXPECT_NE(second.base, first.base);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second.base) % kSuper, 0u);
  EXPECT_EQ(Os::ledger().bytes(), 2 * kSuper);
}

TEST_F(OsAlignedMap, an_alignment_of_one_page_is_always_exact) {
  SimulatedOs::place_next(kSuper, 7 * kPage);
  AlignedMapping const mapping = map_aligned<Os>(nullptr, 3 * kPage, kPage, MapKind::kNormal, leftovers);
  EXPECT_EQ(mapping.calls, 1u);
  EXPECT_EQ(mapping.path, TrimPath::kExact);
}

TEST_F(OsAlignedMap, a_request_beyond_the_address_space_makes_no_call) {
  constexpr std::size_t kHalf = std::size_t{1} << 63;
  for (auto [bytes, alignment] :
       {std::pair{kHalf - kPage, kSuper}, {~std::size_t{0} - kPage + 1, kPage}, {kPage, kHalf}}) {
    AlignedMapping const mapping = map_aligned<Os>(nullptr, bytes, alignment, MapKind::kNormal, leftovers);
    EXPECT_EQ(mapping.status.error, OsError::kOutOfMemory);
    EXPECT_EQ(mapping.calls, 0u);
  }
  EXPECT_EQ(Os::calls(), 0u);
}

TEST_F(OsAlignedMap, pages_of_any_size_are_cut_at_page_boundaries) {
  for (std::size_t const page : {4 * kKiB, 16 * kKiB, 64 * kKiB}) {
    start_simulation({.page_bytes = page});
    place({page, page, 3 * page});
    AlignedMapping const mapping = map(2 * kSuper);
    EXPECT_EQ(mapping.path, TrimPath::kBoth);
    EXPECT_EQ(mapping.mapped, 3 * kSuper - page);
    check(mapping, 2 * kSuper);
  }
}

TEST_F(OsAlignedMap, no_failure_of_any_call_leaks_or_loses_memory) {
  std::size_t faults = 0;
  for (Scenario const& scenario : kScenarios)
    for (MapKind const kind : {MapKind::kNormal, MapKind::kReserve})
      for (int const code : {ENOMEM, EINVAL, EAGAIN, EINTR, EPERM, EFAULT, EIO})
        for (unsigned k = 0; k < 16; ++k) {
          SCOPED_TRACE(std::string(scenario.name) + ", call " + std::to_string(k) + " fails: " + strerror(code));
          start_simulation({}, FaultPlan::nth(k, code));
          place(scenario.skews);
          AlignedMapping const mapping = map(2 * kSuper, kind);
          check(mapping, 2 * kSuper);
          if (!mapping.ok()) {
            EXPECT_EQ(mapping.status.code, code);
          }
          faults += Os::failed();
          Os::set_plan(FaultPlan::none());
          if (mapping.ok()) {
            EXPECT_EQ(release<Os>(mapping.base, mapping.kept, leftovers, nullptr).disposal, Disposal::kUnmapped);
          }
          leftovers.retry();
          EXPECT_EQ(leftovers.ranges(), 0u);
          EXPECT_EQ(Os::ledger().bytes(), 0u);
          EXPECT_EQ(SimulatedOs::mapped_bytes(), 0u);
        }
  EXPECT_GE(faults, 200u);
}

TEST_F(OsAlignedMap, when_every_unmap_fails_nothing_is_lost) {
  Os::set_plan(FaultPlan::always(ENOMEM, only(OsCall::kUnmap)));
  std::vector<AlignedMapping> mappings;
  for (int i = 0; i < 8; ++i) {
    place(kScenarios[3].skews);
    mappings.push_back(map(kSuper));
    ASSERT_TRUE(mappings.back().ok());
  }
  EXPECT_EQ(leftovers.ranges(), 8u * 4);
  EXPECT_EQ(Os::ledger().bytes(), 8 * kSuper + leftovers.bytes());
  for (AlignedMapping const& mapping : mappings)
    EXPECT_EQ(release<Os>(mapping.base, mapping.kept, leftovers).disposal, Disposal::kLeftover);
  EXPECT_EQ(Os::ledger().bytes(), leftovers.bytes());
  Os::set_plan(FaultPlan::none());
  while (leftovers.ranges() != 0) EXPECT_NE(leftovers.retry(), 0u);
  EXPECT_EQ(SimulatedOs::mapped_bytes(), 0u);
}

TEST_F(OsAlignedMap, at_the_limit_of_mappings_what_cannot_be_cut_is_kept) {
  // A mapping that the system merged with its neighbours: a cut in the middle needs one VMA more.
  AlignedMapping const neighbour = map(8 * kSuper);
  ASSERT_TRUE(neighbour.ok());
  SimulatedOs::set_limits(~std::size_t{0}, SimulatedOs::vmas());
  auto* const middle = static_cast<std::byte*>(neighbour.base) + 2 * kSuper;
  Released const released = release<Os>(middle, kSuper, leftovers);
  EXPECT_EQ(released.disposal, Disposal::kLeftover);
  EXPECT_EQ(released.status.error, OsError::kOutOfMemory);
  EXPECT_EQ(leftovers.bytes(), kSuper);
  SimulatedOs::set_limits(~std::size_t{0}, ~std::size_t{0});
  EXPECT_EQ(leftovers.retry(), kSuper);
  EXPECT_EQ(SimulatedOs::mapped_bytes(), 7 * kSuper);
}

TEST(OsAlignedMapKernel, sixteen_neighbours_downwards_cost_one_call_each) {
  static constinit Leftovers<Linux> leftovers;
  std::vector<AlignedMapping> mappings{map_aligned<Linux>(nullptr, kSuper, kSuper, MapKind::kNormal, leftovers)};
  unsigned calls = 0;
  for (int i = 0; i < 16; ++i) {
    void* const hint = static_cast<std::byte*>(mappings.back().base) - kSuper;
    mappings.push_back(map_aligned<Linux>(hint, kSuper, kSuper, MapKind::kNormal, leftovers));
    ASSERT_TRUE(mappings.back().ok());
    calls += mappings.back().calls;
  }
  EXPECT_LE(calls, 16u + 2);  // one neighbour may be something else's
  for (AlignedMapping const& mapping : mappings) {
    EXPECT_EQ(kernel_mapped_bytes(mapping.base, kSuper), kSuper);
    EXPECT_EQ(release<Linux>(mapping.base, kSuper, leftovers).disposal, Disposal::kUnmapped);
  }
}

TEST(OsAlignedMapKernel, a_hint_that_leads_to_an_unaligned_place_is_mended_in_three_calls) {
  static constinit Leftovers<Linux> leftovers;
  AlignedMapping const area = map_aligned<Linux>(nullptr, 8 * kSuper, kSuper, MapKind::kReserve, leftovers);
  ASSERT_TRUE(area.ok());
  ASSERT_TRUE(Linux::unmap(area.base, area.kept).ok());
  void* const hint = static_cast<std::byte*>(area.base) + 3 * kSuper + Linux::page_bytes();
  AlignedMapping const mapping = map_aligned<Linux>(hint, kSuper, kSuper, MapKind::kNormal, leftovers);
  EXPECT_EQ(mapping.path, TrimPath::kSuffix);
  EXPECT_EQ(mapping.calls, 3u);
  EXPECT_EQ(mapping.base, static_cast<std::byte*>(area.base) + 3 * kSuper);
  EXPECT_EQ(kernel_mapped_bytes(area.base, area.kept), kSuper);
  EXPECT_EQ(release<Linux>(mapping.base, kSuper, leftovers).disposal, Disposal::kUnmapped);
}

TEST(OsAlignedMapKernel, the_largest_alignment_is_served) {
  static constinit Leftovers<Linux> leftovers;
  AlignedMapping const mapping =
      map_aligned<Linux>(nullptr, Linux::page_bytes(), kMaxAlignment, MapKind::kNormal, leftovers);
  ASSERT_TRUE(mapping.ok());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mapping.base) % kMaxAlignment, 0u);
  *static_cast<char*>(mapping.base) = 1;
  EXPECT_EQ(release<Linux>(mapping.base, mapping.kept, leftovers).disposal, Disposal::kUnmapped);
}

}  // namespace
}  // namespace hakmem::testing
