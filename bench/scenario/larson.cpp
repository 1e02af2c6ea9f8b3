// Thread churn as in a server whose workers come and go: a generation of threads replaces random
// blocks of its slots, ends, and leaves the blocks to the next generation. Most frees are therefore of
// blocks whose allocating thread is gone.
#include <CLI/CLI.hpp>
#include <thread>

#include "bench/harness/heap_under_test.h"
#include "bench/harness/page_buffer.h"
#include "bench/harness/random.h"
#include "bench/scenario/scenarios.h"

namespace hakmem::bench {
namespace {

constexpr std::uint32_t kSmallestBytes = 16;
constexpr std::uint32_t kSizes = 1025;

class Larson final : public Scenario {
 public:
  void declare_options(CLI::App& command) override {
    command.add_option("iterations", iterations_, "replaced blocks of each thread in each phase")
        ->check(CLI::Range(std::uint64_t{1}, kMostIterations));
    command.add_option("--threads", thread_count_, "threads alive at a time")->check(CLI::Range(1U, 1024U));
    command.add_option("--slots", slots_, "live blocks of each thread")->check(CLI::Range(1U, 100'000'000U));
    command.add_option("--generations", generations_, "generations of threads in each phase")
        ->check(CLI::Range(1U, 1'000'000U));
    command.add_option("--seed", seed_, "of the random numbers");
  }

  void prepare() override {
    slots_of_.resize(thread_count_);
    for (PageBuffer<void*>& slots : slots_of_) slots = PageBuffer<void*>(slots_);
    threads_.reserve(thread_count_);
  }

  Work pass() override {
    for (unsigned generation = 0; generation < generations_; ++generation) run_generation();
    std::uint64_t const replaced = iterations_ / generations_ * generations_ * thread_count_;
    return {.operations = 2 * replaced, .allocations = replaced};
  }

  void finish() override {
    for (PageBuffer<void*> const& slots : slots_of_) {
      for (void*& block : slots.items()) ProcessHeap::release(std::exchange(block, nullptr));
    }
  }

  unsigned threads() const override { return thread_count_; }

 private:
  void run_generation() {
    for (unsigned thread = 0; thread < thread_count_; ++thread) {
      // Each generation moves on by one: the blocks come from a thread with another number.
      void** const slots = slots_of_[(thread + generation_) % thread_count_].items().data();
      threads_.emplace_back([this, slots, seed = seed_++] { replace(slots, seed); });
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    ++generation_;
  }

  void replace(void** slots, std::uint64_t seed) const {
    Random random(seed);
    for (std::uint64_t left = iterations_ / generations_; left > 0; --left) {
      std::uint64_t const draw = random.next();
      void*& slot = slots[Random::scale(draw, slots_)];
      ProcessHeap::release(slot);
      std::size_t const bytes = kSmallestBytes + (draw >> 32) % kSizes;
      slot = ProcessHeap::allocate(bytes);
      write_both_ends(slot, bytes);
    }
  }

  std::uint64_t iterations_ = 1'000'000;
  unsigned thread_count_ = 2;
  std::uint32_t slots_ = 1000;
  unsigned generations_ = 100;
  std::uint64_t seed_ = 42;
  unsigned generation_ = 0;
  std::vector<PageBuffer<void*>> slots_of_;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Scenario> make_larson() { return std::make_unique<Larson>(); }

}  // namespace hakmem::bench
