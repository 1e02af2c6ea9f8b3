// Real threads: remote frees, thread exit, scavenging and purging at the same time (invariants R1
// and R2, bounds of memory).
#include <gtest/gtest.h>

#include <vector>

#include "property_tests/heap/traffic.h"
#include "property_tests/model/build_kind.h"
#include "property_tests/model/rss.h"
#include "property_tests/model/shadow_heap.h"

namespace hakmem::testing {
namespace {

template <class B>
class HeapThreads : public ::testing::Test {
 public:
  using Alloc = typename B::Alloc;
  using Heap = typename Alloc::Heap;

  template <class Body>
  void on_threads(unsigned count, Body body) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
    for (std::thread& thread : threads) thread.join();
  }

  // Attaches, runs `body(worker)`, frees what the worker kept, detaches.
  template <class Body>
  void with_worker(std::uint64_t seed, Body body) {
    Heap* const heap = subject->attach();
    Worker<Alloc> worker(*subject, heap, exchange, seed);
    body(worker);
    worker.finish();
    broken += worker.broken;
    subject->detach(heap);
  }

  void TearDown() override {
    exchange.drain([this](void* block) { subject->release(Alloc::unattached(), block); });
    EXPECT_EQ(broken.load(), 0u) << "blocks with broken contents";
    subject->trim(Alloc::unattached());
    EXPECT_TRUE(subject->validate(Alloc::unattached()));
    EXPECT_TRUE(all_released(*subject));
    Statistics const now = subject->statistics();
    EXPECT_EQ(now.heaps_now, now.heaps_parked_now);
  }

  std::unique_ptr<Alloc> subject = std::make_unique<Alloc>();
  Exchange exchange;
  std::atomic<unsigned> broken{0};
};
using ThreadedBuilds =
    ::testing::Types<Build<FastMode, DefaultGeometry, Linux>, Build<ThreadedMode, DefaultGeometry, Linux>,
                     Build<FastMode, TinyGeometry, Linux>>;
TYPED_TEST_SUITE(HeapThreads, ThreadedBuilds, BuildName);

TYPED_TEST(HeapThreads, exchange_blocks_at_any_rate_without_losing_one) {
  for (unsigned const percent : {0u, 20u, 100u})
    this->on_threads(
        4, [&](unsigned i) { this->with_worker(i, [&](auto& worker) { worker.churn(scaled(60000), percent); }); });
}

TYPED_TEST(HeapThreads, blocks_freed_by_threads_without_a_heap_come_back) {
  std::atomic<bool> done{false};
  std::thread freer([&] {
    Worker<typename TestFixture::Alloc> worker(*this->subject, TestFixture::Alloc::unattached(), this->exchange, 0);
    while (!done.load()) this->exchange.drain([&](void* block) { worker.release(block); });
    this->broken += worker.broken;
  });
  this->on_threads(
      2, [&](unsigned i) { this->with_worker(i + 1, [&](auto& worker) { worker.churn(scaled(60000), 70); }); });
  done = true;
  freer.join();
}

TYPED_TEST(HeapThreads, a_storm_of_exits_leaves_no_more_than_its_widest_moment_needs) {
  constexpr unsigned kWidth = 16;
  unsigned const batches = scaled(20000) / kWidth;
  std::size_t const resident_before = resident_bytes();
  std::uint64_t most_super_slabs = 0;
  for (unsigned batch = 0; batch < batches; ++batch) {
    this->on_threads(kWidth, [&](unsigned i) {
      this->with_worker(batch * kWidth + i, [&](auto& worker) { worker.churn(60, 30); });
    });
    std::uint64_t const now = this->subject->statistics().super_slabs_now;
    most_super_slabs = std::max(most_super_slabs, now);
  }
  Statistics const now = this->subject->statistics();
  EXPECT_LE(now.heaps_now, kWidth);
  std::uint64_t const most_bytes = most_super_slabs * TypeParam::G::kSuperSlabBytes;
  EXPECT_LE(most_bytes, (kTiny<TypeParam> ? 64 : 256) * kMiB);
  if (!kSanitized) {
    EXPECT_LE(resident_bytes(), resident_before + 96 * kMiB);
  }
}

TYPED_TEST(HeapThreads, a_thread_that_only_frees_holds_little_back) {
  constexpr std::size_t kBytes = 256, kInFlight = 4096;
  std::vector<std::atomic<void*>> ring(kInFlight);
  unsigned const count = scaled(1'000'000);
  std::size_t const resident_before = resident_bytes();
  std::thread freer([&] {
    auto* const heap = this->subject->attach();
    for (unsigned i = 0; i < count; ++i) {
      void* block = nullptr;
      while (!(block = ring[i % kInFlight].exchange(nullptr, std::memory_order_acq_rel))) std::this_thread::yield();
      if (!sealed(block)) ++this->broken;
      this->subject->release(heap, block);
    }
    this->subject->detach(heap);
  });
  auto* const heap = this->subject->attach();
  for (unsigned i = 0; i < count; ++i) {
    void* const block = this->subject->allocate(heap, kBytes);
    seal(block, kBytes);
    while (ring[i % kInFlight].load(std::memory_order_acquire)) std::this_thread::yield();
    ring[i % kInFlight].store(block, std::memory_order_release);
  }
  freer.join();
  // In flight at most: the ring, the outbox, and what the owner has not yet taken in.
  EXPECT_LE(this->subject->statistics().super_slabs_mapped * TypeParam::G::kSuperSlabBytes, 16 * kMiB);
  if (!kSanitized) {
    EXPECT_LE(resident_bytes(), resident_before + 16 * kMiB);
  }
  this->subject->detach(heap);
}

TYPED_TEST(HeapThreads, what_consumers_free_is_what_producers_allocate) {
  constexpr unsigned kRounds = 40, kBlocks = 2000;
  std::vector<void*> blocks(kBlocks);
  auto* const producer = this->subject->attach();
  std::uint64_t after_first = 0;
  for (unsigned round = 0; round < kRounds; ++round) {
    for (unsigned i = 0; i < kBlocks; ++i) {
      blocks[i] = this->subject->allocate(producer, 64 + i % 900);
      seal(blocks[i], 64 + i % 900);
    }
    std::thread([&] {  // a new consumer each time, which dies with its outbox
      this->with_worker(round, [&](auto& worker) {
        for (void* block : blocks) worker.release(block);
      });
    })
        .join();
    if (round == 1) after_first = this->subject->statistics().super_slabs_mapped;
  }
  EXPECT_LE(this->subject->statistics().super_slabs_mapped, after_first + 2);
  this->subject->detach(producer);
}

TYPED_TEST(HeapThreads, memory_freed_to_dead_threads_is_used_again_by_the_living) {
  constexpr unsigned kHeaps = 6;
  auto const fill = [&](auto* heap, std::vector<void*>& blocks) {
    for (int i = 0; i < 600; ++i) blocks.push_back(this->subject->allocate(heap, 10000));
  };
  std::vector<void*> blocks;
  std::vector<typename TestFixture::Heap*> heaps(kHeaps);
  for (auto*& heap : heaps) fill(heap = this->subject->attach(), blocks);
  for (auto* heap : heaps) this->subject->detach(heap);
  std::uint64_t const mapped = this->subject->statistics().super_slabs_mapped;
  for (void* block : blocks) this->subject->release(TestFixture::Alloc::unattached(), block);
  this->on_threads(1, [&](unsigned) {
    auto* const heap = this->subject->attach();
    std::vector<void*> again;
    for (unsigned i = 0; i < kHeaps - 1; ++i) fill(heap, again);
    EXPECT_LE(this->subject->statistics().super_slabs_mapped, mapped);
    for (void* block : again) this->subject->release(heap, block);
    this->subject->detach(heap);
  });
}

TYPED_TEST(HeapThreads, purging_and_trimming_never_touch_what_another_thread_uses) {
  Settings settings;
  settings.purge_delay_ms = 0;
  this->subject->configure(settings);
  std::atomic<bool> done{false};
  std::thread purger([&] {
    for (unsigned i = 0; !done.load(); ++i) {
      this->subject->global().tick();
      if (i % 8 == 0) this->subject->trim(TestFixture::Alloc::unattached());
    }
  });
  this->on_threads(2, [&](unsigned number) {
    auto* const heap = this->subject->attach();
    ShadowHeap<typename TestFixture::Alloc> shadow(*this->subject);
    Random random(number);
    for (unsigned step = 0; step < scaled(6000); ++step) {
      std::size_t const bytes = random.one_in(20) ? random.below(800 * kKiB) : random.below(9000);
      if (shadow.live_bytes() < 8 * kMiB)
        random.one_in(2) ? shadow.allocate_zeroed(heap, bytes) : shadow.allocate(heap, bytes);
      if (random.one_in(2) && !shadow.blocks().empty()) shadow.release(heap, random.below(shadow.blocks().size()));
      if (random.one_in(64)) {
        EXPECT_TRUE(heap->validate());
      }
    }
    shadow.release_all(heap);
    this->subject->detach(heap);
  });
  done = true;
  purger.join();
}

TYPED_TEST(HeapThreads, statistics_add_up_when_all_stand_still) {
  constexpr unsigned kThreads = 3, kBlocks = 500;
  std::vector<void*> blocks[kThreads];
  this->on_threads(kThreads, [&](unsigned i) {
    auto* const heap = this->subject->attach();
    for (unsigned b = 0; b < kBlocks; ++b) blocks[i].push_back(this->subject->allocate(heap, 1 + b * 7));
    blocks[i].push_back(this->subject->allocate(heap, 4 * kMiB));
    this->subject->detach(heap);
  });
  Statistics const now = this->subject->statistics();
  EXPECT_EQ(now.small_blocks_now + now.large_blocks_now, kThreads * (kBlocks + 1));
  EXPECT_GE(now.small_blocks_handed_out + now.medium_blocks_allocated + now.large_blocks_allocated,
            kThreads * (kBlocks + 1));
  EXPECT_GE(now.large_bytes_now, kThreads * 4 * kMiB);
  EXPECT_EQ(now.super_slabs_mapped - now.super_slabs_released, now.super_slabs_now);
  for (auto const& list : blocks)
    for (void* block : list) this->subject->release(TestFixture::Alloc::unattached(), block);
}

}  // namespace
}  // namespace hakmem::testing
