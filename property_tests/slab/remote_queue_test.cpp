// The inbox: invariant R1 - what is pushed is taken exactly once.
#include "core/slab/remote_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "property_tests/model/build_kind.h"
#include "property_tests/slab/slab_fixture.h"

namespace hakmem::testing {
namespace {

template <class C>
class SlabRemoteQueue : public ::testing::Test {};
using QueueConfigs = ::testing::Types<SlabConfig<FastMode, DefaultGeometry>, SlabConfig<ProbeMode, DefaultGeometry>,
                                      SlabConfig<HardenedMode, DefaultGeometry>>;
TYPED_TEST_SUITE(SlabRemoteQueue, QueueConfigs);

struct alignas(16) Cell {
  void* link = nullptr;
  std::uint32_t producer = 0;
  std::uint32_t taken = 0;
};

template <class C>
Block<C>* block_of(Cell& cell) {
  return reinterpret_cast<Block<C>*>(&cell);
}

TYPED_TEST(SlabRemoteQueue, returns_batches_newest_first_and_each_in_its_order) {
  using C = TypeParam;
  Cell cells[5];
  RemoteQueue<C> queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.take_all(), nullptr);
  BlockChain<C> first, second;
  first.push(block_of<C>(cells[0]));
  first.push(block_of<C>(cells[1]));
  second.push(block_of<C>(cells[2]));
  EXPECT_EQ(first.last, block_of<C>(cells[0]));
  queue.push(first);
  queue.push(second);
  EXPECT_FALSE(queue.empty());
  std::vector<Block<C>*> taken;
  for (Block<C>* block = queue.take_all(); block; block = block->next()) taken.push_back(block);
  EXPECT_EQ(taken, (std::vector{block_of<C>(cells[2]), block_of<C>(cells[1]), block_of<C>(cells[0])}));
  EXPECT_TRUE(queue.empty());
}

TYPED_TEST(SlabRemoteQueue, delivers_every_block_once_while_threads_push) {
  using C = TypeParam;
  constexpr unsigned kProducers = 3;
  unsigned const each = scaled(300000);
  std::vector<Cell> cells(kProducers * each);
  RemoteQueue<C> queue;
  std::atomic<unsigned> finished{0};
  std::vector<std::thread> producers;
  for (unsigned producer = 0; producer < kProducers; ++producer)
    producers.emplace_back([&, producer] {
      BlockChain<C> chain;
      for (unsigned i = 0; i < each; ++i) {
        Cell& cell = cells[producer * each + i];
        cell.producer = producer + 1;  // published by the push
        chain.push(block_of<C>(cell));
        if (i % 3 != 0 && i + 1 != each) continue;
        queue.push(chain);
        chain = {};
      }
      ++finished;
    });
  unsigned taken = 0;
  auto const take = [&] {
    for (Block<C>* block = queue.take_all(); block;) {
      Block<C>* const following = block->next();
      Cell& cell = *reinterpret_cast<Cell*>(block);
      ASSERT_NE(cell.producer, 0u);
      ASSERT_EQ(++cell.taken, 1u);
      ++taken;
      block = following;
    }
  };
  while (finished.load() != kProducers) take();
  take();
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(taken, kProducers * each);
}

// Few blocks go round and round, so that nearly every push meets a take.
TYPED_TEST(SlabRemoteQueue, loses_no_block_that_is_pushed_while_another_is_taken) {
  using C = TypeParam;
  struct Ball {
    Cell cell;
    std::atomic<bool> home{true};
  };
  constexpr unsigned kProducers = 2, kBalls = 2;
  unsigned const throws = scaled(40000);
  Ball balls[kProducers][kBalls];
  RemoteQueue<C> queue;
  std::atomic<unsigned> finished{0}, lost{0};
  auto const throw_all = [&](unsigned producer) {
    for (unsigned i = 0; i < throws && lost.load(std::memory_order_relaxed) == 0; ++i) {
      Ball& ball = balls[producer][i % kBalls];
      auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
      while (!ball.home.load(std::memory_order_acquire) && std::chrono::steady_clock::now() < deadline)
        std::this_thread::yield();
      if (!ball.home.exchange(false, std::memory_order_acquire)) ++lost;
      BlockChain<C> chain;
      chain.push(block_of<C>(ball.cell));
      queue.push(chain);
    }
    ++finished;
  };
  std::thread first(throw_all, 0u), second(throw_all, 1u);
  while (finished.load(std::memory_order_relaxed) != kProducers) {
    Block<C>* block = queue.take_all();
    if (!block) std::this_thread::yield();
    while (block) {
      Block<C>* const following = block->next();
      reinterpret_cast<Ball*>(block)->home.store(true, std::memory_order_release);
      block = following;
    }
  }
  first.join();
  second.join();
  EXPECT_EQ(lost.load(), 0u);
}

}  // namespace
}  // namespace hakmem::testing
