// What it owns: the tests on the real kernel of what becomes resident, at how many faults (M2 of
// the design): every policy, huge or not, on every way to get an aligned mapping.
#include <gtest/gtest.h>

#include <string>

#include "core/base/geometry.h"
#include "core/os/huge.h"
#include "property_tests/kernel_view.h"
#include "property_tests/os/systems.h"

namespace hakmem::testing {
namespace {

constexpr std::size_t kSuper = 2 * kMiB;
// Faults of the test's own code and stack between two readings.
constexpr std::uint64_t kSlack = 2;

using Os = FaultyLinux;

// Ways to an aligned mapping on the real kernel.
enum class Way { kAsItComes, kExtended, kOverMapped };

struct Case {
  PrefaultPolicy prefault;
  HugePolicy huge;
  Way way;
  std::size_t supers;
};

std::string show(Case const& c) {
  return "prefault " + std::to_string(static_cast<int>(c.prefault)) + ", huge " +
         std::to_string(static_cast<int>(c.huge)) + ", way " + std::to_string(static_cast<int>(c.way)) + ", " +
         std::to_string(c.supers) + " SuperSlabs";
}

std::size_t whole_process_bytes() { return kernel_mapped_bytes(nullptr, ~std::size_t{0} >> 1); }

struct OsPopulation : ::testing::Test {
  OsPopulation() {
    Os::reset();
    forget_the_kernel<Os>();
    run({PrefaultPolicy::kTouch, HugePolicy::kNever, Way::kOverMapped, 1});  // so that code and books are warm
  }

  // A hint one page above an aligned address in the middle of free space.
  static void* unaligned_hint(std::size_t bytes) {
    OsMapping const area = Linux::map(nullptr, bytes + 4 * kSuper, MapKind::kReserve);
    Linux::unmap(area.address, bytes + 4 * kSuper);
    auto const base = kernels::align_up(reinterpret_cast<std::uintptr_t>(area.address), kSuper);
    return reinterpret_cast<void*>(base + kSuper + Linux::page_bytes());
  }

  struct Outcome {
    AlignedMapping mapping;
    PrefaultResult prefault;
    std::uint64_t faults;
  };

  Outcome acquire(Case const& c) {
    std::size_t const bytes = c.supers * kSuper;
    void* const hint = c.way == Way::kAsItComes ? nullptr : unaligned_hint(bytes);
    // Over-mapping follows when the space below is refused.
    Os::reset(c.way == Way::kOverMapped ? FaultPlan::nth(1, ENOMEM, only(OsCall::kMap)) : FaultPlan::none());
    std::uint64_t const before = minor_faults();
    AlignedMapping const mapping = map_data<Os>(hint, bytes, kSuper, c.huge, leftovers);
    PrefaultResult const result = prefault<Os>({mapping.base, mapping.kept}, c.prefault);
    return {mapping, result, minor_faults() - before};
  }

  static std::uint64_t faults_of_writing(void* base, std::size_t bytes) {
    std::uint64_t const before = minor_faults();
    auto* const bytes_of = static_cast<char volatile*>(base);
    for (std::size_t i = 0; i < bytes; i += Linux::page_bytes()) bytes_of[i] = 1;
    return minor_faults() - before;
  }

  void run(Case const& c) {
    SCOPED_TRACE(show(c));
    std::size_t const before = whole_process_bytes();
    Outcome const got = acquire(c);
    std::size_t const kept = c.supers * kSuper;
    ASSERT_TRUE(got.mapping.ok());
    EXPECT_EQ(got.mapping.path == TrimPath::kExact, c.way == Way::kAsItComes && got.mapping.calls == 1);
    if (c.way == Way::kOverMapped) {
      EXPECT_GE(got.mapping.calls, 5u);
    }
    EXPECT_EQ(whole_process_bytes() - before, kept);

    bool const populated = c.prefault != PrefaultPolicy::kOff;
    EXPECT_EQ(got.prefault.populated_bytes, populated ? kept : 0);
    EXPECT_EQ(kernel_resident_bytes(got.mapping.base, kept), got.prefault.populated_bytes);
    EXPECT_LE(got.faults, (populated ? kept / Linux::page_bytes() : 0) + kSlack);
    for (std::size_t i = 0; populated && i < kept; i += 8)
      ASSERT_EQ(*(static_cast<long*>(got.mapping.base) + i / 8), 0);
    if (populated) {
      EXPECT_LE(faults_of_writing(got.mapping.base, kept), 0u);
    }
    EXPECT_EQ(release<Os>(got.mapping.base, kept, leftovers).disposal, Disposal::kUnmapped);
    EXPECT_EQ(Os::ledger().bytes(), 0u);
    EXPECT_EQ(whole_process_bytes(), before);
  }

  Leftovers<Os> leftovers;
};

TEST_F(OsPopulation, what_is_kept_is_resident_and_nothing_else_is_on_every_path) {
  for (auto const prefault : {PrefaultPolicy::kOff, PrefaultPolicy::kPopulate, PrefaultPolicy::kTouch})
    for (auto const huge : {HugePolicy::kNever, HugePolicy::kAdvise})
      for (auto const way : {Way::kAsItComes, Way::kExtended, Way::kOverMapped})
        for (std::size_t const supers : {1ul, 4ul}) run({prefault, huge, way, supers});
}

TEST_F(OsPopulation, touching_alone_populates_as_well) {
  KernelLacks<Os>::populate_write = true;
  for (auto const way : {Way::kAsItComes, Way::kExtended, Way::kOverMapped})
    run({PrefaultPolicy::kPopulate, HugePolicy::kNever, way, 2});
}

TEST_F(OsPopulation, a_zero_page_under_the_range_does_not_count_as_resident) {
  Outcome const got = acquire({PrefaultPolicy::kOff, HugePolicy::kNever, Way::kAsItComes, 1});
  auto* const bytes = static_cast<char volatile*>(got.mapping.base);
  for (std::size_t i = 0; i < kSuper; i += Linux::page_bytes()) EXPECT_EQ(bytes[i], 0);
  std::size_t const resident = kernel_resident_bytes(got.mapping.base, kSuper);
  EXPECT_EQ(smaps_resident_bytes(got.mapping.base, kSuper), resident);
  for (auto const lacking : {false, true}) {
    KernelLacks<Os>::populate_write = lacking;
    Os::purge(got.mapping.base, kSuper);
    for (std::size_t i = 0; i < kSuper; i += Linux::page_bytes()) EXPECT_EQ(bytes[i], 0);
    prefault<Os>({got.mapping.base, kSuper}, PrefaultPolicy::kPopulate);
    EXPECT_EQ(kernel_resident_bytes(got.mapping.base, kSuper), kSuper);
    EXPECT_EQ(faults_of_writing(got.mapping.base, kSuper), 0u);
  }
  release<Os>(got.mapping.base, kSuper, leftovers);
  if (resident == kSuper) GTEST_SKIP() << "this kernel has no shared zero page";
  EXPECT_EQ(resident, 0u);
}

// What the kernel does at best: the advice given and the range populated by hand.
bool huge_pages_are_to_be_had() {
  static constinit Leftovers<Linux> leftovers;
  AlignedMapping const mapping = map_aligned<Linux>(nullptr, kSuper, kSuper, MapKind::kNormal, leftovers);
  Linux::advise_huge(mapping.base, kSuper);
  Linux::populate_write(mapping.base, kSuper);
  bool const huge = kernel_huge_bytes(mapping.base, kSuper) == kSuper;
  release<Linux>(mapping.base, kSuper, leftovers);
  return huge;
}

TEST_F(OsPopulation, advised_ranges_take_one_fault_for_each_huge_page) {
  if (!huge_pages_are_to_be_had()) GTEST_SKIP() << "this kernel gives no huge pages now";
  for (auto const prefault : {PrefaultPolicy::kPopulate, PrefaultPolicy::kTouch}) {
    Outcome const got = acquire({prefault, HugePolicy::kAdvise, Way::kExtended, 2});
    EXPECT_EQ(kernel_huge_bytes(got.mapping.base, 2 * kSuper), 2 * kSuper);
    EXPECT_LE(got.faults, 2 + kSlack);
    release<Os>(got.mapping.base, 2 * kSuper, leftovers);
  }
}

TEST_F(OsPopulation, collapsing_makes_huge_pages_of_small_ones_and_keeps_contents) {
  if (!huge_pages_are_to_be_had()) GTEST_SKIP() << "this kernel gives no huge pages now";
  Outcome const got = acquire({PrefaultPolicy::kPopulate, HugePolicy::kCollapse, Way::kAsItComes, 1});
  auto* const bytes = static_cast<unsigned char*>(got.mapping.base);
  Linux::advise_no_huge(bytes, kSuper);
  Linux::purge(bytes, kSuper);
  for (std::size_t i = 0; i < kSuper; ++i) bytes[i] = static_cast<unsigned char>(i * 7);
  EXPECT_EQ(kernel_huge_bytes(bytes, kSuper), 0u);
  Linux::advise_huge(bytes, kSuper);
  OsStatus const status = collapse_huge<Os>({bytes, kSuper});
  if (status.error == OsError::kUnsupported) GTEST_SKIP() << "this kernel cannot collapse";
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(kernel_huge_bytes(bytes, kSuper), kSuper);
  for (std::size_t i = 0; i < kSuper; ++i) ASSERT_EQ(bytes[i], static_cast<unsigned char>(i * 7));
  release<Os>(bytes, kSuper, leftovers);
}

}  // namespace
}  // namespace hakmem::testing
