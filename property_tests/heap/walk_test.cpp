// Random walks over every operation of an allocator, checked against the shadow model: invariants
// A1, A2 and A3 for both builds and both geometries. Several heaps are driven by one thread, so
// remote frees, parking, adoption and scavenging are part of every walk.
#include <gtest/gtest.h>

#include "property_tests/model/allocators.h"
#include "property_tests/model/build_kind.h"
#include "property_tests/model/shadow_heap.h"

namespace hakmem::testing {
namespace {

template <class B>
class Walk {
  using Alloc = typename B::Alloc;
  using Heap = typename Alloc::Heap;
  using G = typename B::G;

 public:
  // `refusing`: from time to time the system refuses some calls.
  Walk(Alloc& allocator, std::uint64_t seed, bool refusing)
      : allocator_(allocator), shadow_(allocator), random_(seed), refusing_(refusing) {
    Settings settings;
    settings.prefault = static_cast<PrefaultPolicy>(seed % 5);
    settings.huge = static_cast<HugePolicy>(seed / 2 % 3);
    settings.large_cache_bytes = random_.below(32) * kMiB;
    settings.quarantine_bytes = seed % 3 * 64 * kKiB;
    settings.seed = seed + 1;
    allocator.configure(settings);
    for (Heap*& heap : heaps_) heap = allocator.attach();
  }

  void run(unsigned steps, std::size_t most_bytes) {
    unsigned const check_every = kTiny<B> ? 1 : 128;
    for (unsigned number = 0; number < steps && !::testing::Test::HasFailure(); ++number) {
      bool const full = shadow_.live_bytes() > most_bytes;
      step(full ? kRelease : random_.below(kOperations));
      if (number % check_every == 0) check();
    }
  }

  void finish() {
    FaultyLinux::set_plan({});
    shadow_.expect_all_contents();
    shadow_.release_all(heaps_[0]);
    for (Heap* heap : heaps_) allocator_.detach(heap);
    EXPECT_TRUE(allocator_.validate(Alloc::unattached()));
    EXPECT_TRUE(all_given_back(allocator_));
  }

 private:
  static constexpr unsigned kOperations = 100, kRelease = 60;

  void step(std::uint64_t operation) {
    Heap* const heap = heaps_[random_.below(std::size(heaps_))];
    if (operation < 30) {
      shadow_.allocate(heap, size());
    } else if (operation < 38) {
      shadow_.allocate_zeroed(heap, size());
    } else if (operation < 46) {
      shadow_.allocate_aligned(heap, size(), alignment());
    } else if (operation < kRelease - 4) {
      if (!shadow_.blocks().empty()) shadow_.reallocate(heap, any_block(), size() + 1);
    } else if (operation < 96) {
      if (!shadow_.blocks().empty()) shadow_.release(random_.one_in(32) ? Alloc::unattached() : heap, any_block());
    } else {
      disturb();
    }
  }

  void disturb() {
    Heap*& heap = heaps_[random_.below(std::size(heaps_))];
    switch (random_.below(9)) {
      case 0:
        allocator_.trim(heap);
        break;
      case 1:
        allocator_.statistics();
        allocator_.global().background.prepare(allocator_.global().space, allocator_.global().pool);
        break;
      case 2:
      case 3:
        FaultyLinux::advance_ms(random_.below(1000));
        break;
      case 4:
        if (refusing_) refuse();
        break;
      default:
        allocator_.detach(heap);
        if (random_.one_in(2)) parked_round_trip();
        heap = allocator_.attach();
    }
  }

  void refuse() {
    constexpr int kCodes[] = {ENOMEM, EINVAL, EAGAIN, EPERM};
    FaultPlan plan{static_cast<OsCallSet>(random_.next()), random_.next() & random_.next(), random_.one_in(4),
                   kCodes[random_.below(std::size(kCodes))]};
    FaultyLinux::set_plan(random_.one_in(3) ? FaultPlan{} : plan);
  }

  // Two more heaps live for a moment, so that the number of parked heaps varies.
  void parked_round_trip() {
    Heap* const passing[] = {allocator_.attach(), allocator_.attach()};
    for (Heap* heap : passing) {
      if (!heap) continue;  // the system refuses memory
      shadow_.allocate(heap, size());
      allocator_.detach(heap);
    }
  }

  void check() {
    for (Heap* heap : heaps_) ASSERT_TRUE(allocator_.validate(heap));
    ASSERT_TRUE(nothing_leaked(allocator_));
  }

  std::size_t any_block() { return random_.below(shadow_.blocks().size()); }

  std::size_t size() {
    switch (random_.below(64)) {
      case 0:
        return random_.below(2 * G::kMediumMax);
      case 1:
      case 2:
      case 3:
        return random_.below(G::kMediumMax);
      case 4:
      case 5:
        return random_.below(3);
      default:
        return random_.below(random_.one_in(8) ? G::kClassMax : random_.one_in(2) ? G::kSmallMax : 600);
    }
  }

  std::size_t alignment() { return std::size_t{1} << random_.below(log2_exact(2 * G::kSuperSlabBytes) + 1); }

  Alloc& allocator_;
  ShadowHeap<Alloc> shadow_;
  Random random_;
  bool refusing_;
  Heap* heaps_[3];
};

template <class B>
class HeapWalk : public ::testing::Test {};
TYPED_TEST_SUITE(HeapWalk, AllBuilds, BuildName);

template <class B>
void walk_all(bool refusing) {
  unsigned const walks = kTiny<B> ? 20 : 5;
  for (unsigned seed = 0; seed < walks && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    FaultyLinux::reset();
    auto const allocator = std::make_unique<typename B::Alloc>();
    Walk<B> walk(*allocator, seed, refusing);
    walk.run(scaled(kTiny<B> ? 6000 : 12000), (seed % 4 + 1) * 12 * B::G::kMediumMax);
    walk.finish();
  }
}

TYPED_TEST(HeapWalk, keeps_blocks_apart_aligned_and_intact) { walk_all<TypeParam>(false); }

TYPED_TEST(HeapWalk, keeps_its_promises_while_the_system_refuses_calls) { walk_all<TypeParam>(true); }

}  // namespace
}  // namespace hakmem::testing
