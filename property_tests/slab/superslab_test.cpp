// The set of slabs of a SuperSlab against a model of one flag per slab, and the place of in-band
// metadata.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "property_tests/model/allocators.h"
#include "property_tests/slab/slab_fixture.h"

namespace hakmem::testing {
namespace {

template <class C>
class SuperSlabRuns : public ::testing::Test {};
TYPED_TEST_SUITE(SuperSlabRuns, SlabConfigs);

// What a SuperSlab's word should say. The last slab is in no set where the mode keeps it out of use.
template <class C>
struct Model {
  static constexpr unsigned kSlabs = C::Geo::kSlabsPerSuperSlab - (C::Mode::kGuardsSuperSlabs ? 1 : 0);
  std::vector<bool> free = std::vector<bool>(kSlabs, true);
  std::vector<bool> dirty = std::vector<bool>(kSlabs, false);

  unsigned find(unsigned count, unsigned step, bool whole, bool dirty_only) const {
    for (unsigned first = 0; first + count <= free.size(); first += step) {
      if (first == 0 && (whole || count > 1)) continue;
      bool fits = true;
      for (unsigned i = first; i < first + count; ++i) fits = fits && free[i] && (dirty[i] || !dirty_only);
      if (fits) return first;
    }
    return kernels::kNoRun;
  }
  std::uint64_t word() const {
    SlabSets sets;
    for (unsigned i = 0; i < free.size(); ++i) {
      sets.free |= std::uint32_t{free[i]} << i;
      sets.dirty |= std::uint32_t{dirty[i]} << i;
    }
    return sets.word();
  }
};

TYPED_TEST(SuperSlabRuns, taking_and_returning_agrees_with_a_model) {
  using G = typename TypeParam::Geo;
  LoneSuperSlab<TypeParam> lone;
  Model<TypeParam> model;
  struct Run {
    unsigned first, count;
  };
  std::vector<Run> taken;
  Random random(11);
  for (int step = 0; step < 20000; ++step) {
    bool const take = random.one_in(2);
    if (take) {
      unsigned const count = 1 + static_cast<unsigned>(random.below(random.one_in(4) ? G::kSlabsPerSuperSlab / 2 : 3));
      unsigned const align = 1u << random.below(3);
      bool const whole = random.one_in(2);
      unsigned expected = model.find(count, align, whole, true);
      if (expected == kernels::kNoRun) expected = model.find(count, align, whole, false);
      bool zeroed = false;
      unsigned const first = lone.super.take_run(count, align, whole, zeroed);
      ASSERT_EQ(first, expected);
      if (first == kernels::kNoRun) continue;
      bool clean = true;
      for (unsigned i = first; i < first + count; ++i) {
        clean = clean && !model.dirty[i];
        model.free[i] = false;
        model.dirty[i] = true;
      }
      ASSERT_EQ(zeroed, clean);
      taken.push_back({first, count});
    } else if (!taken.empty()) {
      std::size_t const which = random.below(taken.size());
      Run const run = taken[which];
      taken[which] = taken.back();
      taken.pop_back();
      lone.super.return_run(kernels::run_of_slabs(run.first, run.count));
      for (unsigned i = run.first; i < run.first + run.count; ++i) model.free[i] = true;
    } else {  // everything is back: purged as a whole
      std::fill(model.dirty.begin(), model.dirty.end(), false);
      lone.super.slabs.store(model.word());
    }
    unsigned used = 0;
    for (bool const is_free : model.free) used += !is_free;
    ASSERT_EQ(lone.super.slabs.load(), model.word());
    ASSERT_EQ(lone.super.used_slabs, used);
    ASSERT_EQ(lone.super.exhausted(), used == model.kSlabs);
  }
}

TYPED_TEST(SuperSlabRuns, taking_exactly_is_all_or_nothing) {
  LoneSuperSlab<TypeParam> lone;
  ASSERT_TRUE(lone.super.take_exactly(kernels::run_of_slabs(2, 2)));
  std::uint64_t const before = lone.super.slabs.load();
  EXPECT_FALSE(lone.super.take_exactly(kernels::run_of_slabs(3, 2)));
  EXPECT_EQ(lone.super.slabs.load(), before);
  EXPECT_EQ(lone.super.used_slabs, 2u);
  EXPECT_TRUE(lone.super.take_exactly(kernels::run_of_slabs(4, 1)));
  EXPECT_EQ(SlabSets::from(lone.super.slabs.load()).dirty, kernels::run_of_slabs(2, 3));
}

template <class C>
class InBandMetadata : public ::testing::Test {};
using InBandConfigs = ::testing::Types<SlabConfig<FastMode, TinyGeometry>, SlabConfig<FastMode, DefaultGeometry>>;
TYPED_TEST_SUITE(InBandMetadata, InBandConfigs);

TYPED_TEST(InBandMetadata, lies_in_the_windows_once_per_slab_in_slab_order) {
  using C = TypeParam;
  using G = typename C::Geo;
  for (std::uintptr_t number = 1; number <= 2 * G::kColours; ++number) {
    std::uintptr_t const base = number << G::kSuperSlabShift;
    std::uintptr_t const first =
        reinterpret_cast<std::uintptr_t>(SuperSlab<C>::in_band_slab_of(reinterpret_cast<void*>(base)));
    EXPECT_EQ(first % G::kWindowBytes, base % G::kWindowBytes);
    for (unsigned i = 0; i < G::kSlabsPerSuperSlab; ++i) {
      for (std::size_t const offset : {std::size_t{0}, std::size_t{16}, G::kSlabBytes / 2, G::kSlabBytes - 1}) {
        auto const slab = reinterpret_cast<std::uintptr_t>(
            SuperSlab<C>::in_band_slab_of(reinterpret_cast<void*>(base + i * G::kSlabBytes + offset)));
        ASSERT_EQ(slab, first + i * kSlabMetaBytes);
        ASSERT_TRUE(slab >= base && slab + kSlabMetaBytes <= base + G::kWindowsBytes);
      }
    }
  }
}

TYPED_TEST(InBandMetadata, of_neighbouring_superslabs_has_different_colours) {
  using C = TypeParam;
  using G = typename C::Geo;
  std::set<std::uintptr_t> offsets;
  for (std::uintptr_t number = 1; number <= G::kColours; ++number) {
    std::uintptr_t const base = number << G::kSuperSlabShift;
    offsets.insert(reinterpret_cast<std::uintptr_t>(SuperSlab<C>::in_band_slab_of(reinterpret_cast<void*>(base))) -
                   base);
  }
  EXPECT_EQ(offsets.size(), G::kColours);
}

}  // namespace
}  // namespace hakmem::testing
