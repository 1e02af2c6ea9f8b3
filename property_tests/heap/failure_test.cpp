// Every operating-system call of every scenario fails in turn, with every errno, once or from then
// on: requests are refused with null, the heap stays valid, earlier blocks stay intact, nothing
// leaks, and afterwards the heap serves again.
#include <gtest/gtest.h>

#include "property_tests/model/allocators.h"
#include "property_tests/model/build_kind.h"
#include "property_tests/model/shadow_heap.h"

namespace hakmem::testing {
namespace {

template <class B>
class Scenario {
  using Alloc = typename B::Alloc;
  using Heap = typename Alloc::Heap;
  using G = typename B::G;

 public:
  static constexpr unsigned kCount = 6;

  // Runs scenario `number` under `plan` and checks all that must hold after it. Returns how many
  // calls could have failed, the same in each run.
  static std::uint64_t run(unsigned number, FaultPlan plan) {
    hardened::own.random = hardened::own.leaving = 0;
    FaultyLinux::reset(plan);
    Scenario scenario;
    scenario.allocator_->configure(without_quarantine());
    scenario.attach();
    scenario.perform(number);
    std::uint64_t const calls = FaultyLinux::calls();
    scenario.recover();
    return calls;
  }

 private:
  // Only a system without memory for a heap at all may leave a thread without one.
  void attach() {
    for (Heap*& heap : heaps_) {
      heap = allocator_->attach();
      if (heap) continue;
      EXPECT_GT(FaultyLinux::failed(), 0u);
      FaultyLinux::set_plan({});
      heap = allocator_->attach();
    }
  }

  void perform(unsigned number) {
    switch (number) {
      case 0:
        return grow_small();
      case 1:
        return use_spans();
      case 2:
        return use_large();
      case 3:
        return zero_after_use();
      case 4:
        return hand_over();
      default:
        return age();
    }
  }

  void grow_small() {
    for (unsigned i = 0; i < 70; ++i) shadow_.allocate(heaps_[0], G::kClassMax - 32);
    for (unsigned i = 0; i < 200; ++i) shadow_.allocate(heaps_[0], i);
  }
  void use_spans() {
    for (unsigned i = 0; i < 6; ++i) {
      shadow_.allocate(heaps_[0], G::kMediumMax / 2 + i);
      shadow_.allocate_aligned(heaps_[0], 100, G::kMediumMax / 4);
    }
    for (std::size_t i = 0; i < shadow_.blocks().size(); i += 2) {
      shadow_.reallocate(heaps_[0], i, G::kMediumMax);
      shadow_.reallocate(heaps_[0], i, G::kMediumMax / 3);
    }
  }
  void use_large() {
    shadow_.allocate(heaps_[0], 2 * G::kSuperSlabBytes);
    shadow_.allocate_aligned(heaps_[0], 100, 4 * G::kSuperSlabBytes);
    shadow_.allocate(heaps_[0], G::kSuperSlabBytes);
    for (std::size_t const bytes : {3 * G::kSuperSlabBytes, G::kSuperSlabBytes, 5 * G::kSuperSlabBytes})
      for (std::size_t i = 0; i < shadow_.blocks().size(); ++i) shadow_.reallocate(heaps_[0], i, bytes);
    shadow_.release_all(heaps_[0]);
    shadow_.allocate_zeroed(heaps_[0], 5 * G::kSuperSlabBytes);
  }
  void zero_after_use() {
    for (unsigned i = 0; i < 3; ++i) shadow_.allocate(heaps_[0], G::kMediumMax);
    shadow_.allocate(heaps_[0], 2 * G::kSuperSlabBytes);
    shadow_.release_all(heaps_[0]);
    allocator_->trim(heaps_[0]);
    for (unsigned i = 0; i < 3; ++i) shadow_.allocate_zeroed(heaps_[0], G::kMediumMax);
    shadow_.allocate_zeroed(heaps_[0], 2 * G::kSuperSlabBytes);
  }
  void hand_over() {
    for (unsigned i = 0; i < 8; ++i) shadow_.allocate(heaps_[0], G::kMediumMax / 2);
    allocator_->detach(heaps_[0]);
    while (shadow_.blocks().size() > 1) shadow_.release(heaps_[1], 0);
    for (unsigned i = 0; i < 8; ++i) shadow_.allocate(heaps_[1], G::kMediumMax / 2);
    heaps_[0] = allocator_->attach();
    EXPECT_TRUE(heaps_[0]) << "adoption needs no memory";
  }
  void age() {
    for (unsigned i = 0; i < 8; ++i) shadow_.allocate(heaps_[0], G::kMediumMax);
    while (shadow_.blocks().size() > 2) shadow_.release(heaps_[0], 2);
    for (unsigned i = 0; i < 4; ++i) {
      FaultyLinux::advance_ms(1000);
      shadow_.allocate(heaps_[0], G::kMediumMax + 1);
    }
  }

  void recover() {
    shadow_.expect_all_contents();
    for (Heap* heap : heaps_) EXPECT_TRUE(allocator_->validate(heap));
    EXPECT_TRUE(nothing_leaked(*allocator_));
    FaultyLinux::set_plan({});
    for (std::size_t const bytes : {std::size_t{100}, G::kMediumMax, 2 * G::kSuperSlabBytes})
      EXPECT_TRUE(shadow_.allocate(heaps_[0], bytes));
    shadow_.release_all(heaps_[0]);
    for (Heap* heap : heaps_) allocator_->detach(heap);
    EXPECT_TRUE(all_given_back(*allocator_));
  }

  std::unique_ptr<Alloc> allocator_ = std::make_unique<Alloc>();
  ShadowHeap<Alloc> shadow_{*allocator_};
  Heap* heaps_[2] = {};
};

template <class B>
class HeapFailure : public ::testing::Test {};
using FailingBuilds = ::testing::Types<Build<ProbeMode, TinyGeometry>, Build<FastMode, DefaultGeometry>,
                                       Build<HardenedMode, DefaultGeometry>>;
TYPED_TEST_SUITE(HeapFailure, FailingBuilds, BuildName);

TYPED_TEST(HeapFailure, of_any_call_leaves_the_heap_and_every_block_intact) {
  // Runs of the default geometry map and fill up to a hundred megabytes: what follows from the errno is seen on the
  // tiny one. One thread: the thread sanitizer has little to see.
  constexpr bool kSlow = !kTiny<TypeParam>;
  constexpr unsigned kStride = kThreadSanitizer ? 4 : kSanitized && kSlow ? 2 : 1;
  std::vector<int> const codes =
      kSanitized || kSlow ? std::vector<int>{ENOMEM} : std::vector<int>{ENOMEM, EINVAL, EAGAIN, EPERM, EFAULT};
  for (unsigned number = 0; number < Scenario<TypeParam>::kCount; ++number) {
    auto const calls = static_cast<unsigned>(Scenario<TypeParam>::run(number, {}));
    ASSERT_TRUE(calls > 0 && calls <= kNamedCalls)
        << "a plan names the first 128 calls; scenario " << number << " makes " << calls;
    for (unsigned k = number % kStride; k < calls; k += kStride) {
      for (int const code : codes) {
        SCOPED_TRACE(::testing::Message() << "scenario " << number << ", call " << k << ", errno " << code);
        Scenario<TypeParam>::run(number, FaultPlan::nth(k, code));
        Scenario<TypeParam>::run(number, {kEveryCall, ~CallBits{0} << k, true, code});
        if (this->HasFailure()) return;
      }
    }
  }
}

TYPED_TEST(HeapFailure, of_all_mapping_gives_null_and_nothing_else) {
  for (int const code : {ENOMEM, EAGAIN, EPERM}) {
    FaultyLinux::reset();
    auto const allocator = std::make_unique<typename TypeParam::Alloc>();
    auto* const heap = allocator->attach();
    FaultyLinux::set_plan(FaultPlan::always(code, only(OsCall::kMap)));
    for (std::size_t const bytes : {std::size_t{1}, std::size_t{100000}, kMiB, 10 * kMiB}) {
      EXPECT_EQ(allocator->allocate(heap, bytes), nullptr);
      EXPECT_EQ(allocator->allocate_zeroed(heap, bytes), nullptr);
      EXPECT_EQ(allocator->allocate_aligned(heap, bytes, 4096), nullptr);
    }
    EXPECT_TRUE(allocator->validate(heap));
    EXPECT_TRUE(nothing_leaked(*allocator));
    EXPECT_EQ(FaultyLinux::ledger().bytes(), allocator->global().space.arena().mapped_bytes());
  }
}

}  // namespace
}  // namespace hakmem::testing
