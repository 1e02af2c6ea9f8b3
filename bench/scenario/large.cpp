// Large blocks, 64 KiB to 8 MiB, spread evenly over the powers of two: allocate, realloc to another
// size, free. Every page of a new or grown part is touched.
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "bench/harness/heap_under_test.h"
#include "bench/harness/page_buffer.h"
#include "bench/harness/random.h"
#include "bench/scenario/scenarios.h"

namespace hakmem::bench {
namespace {

constexpr std::size_t kSmallestBytes = 64 << 10;
constexpr std::uint32_t kDoublings = 7;

struct LargeBlock {
  unsigned char* memory = nullptr;
  std::size_t bytes = 0;
};

class Large final : public Scenario {
 public:
  void declare_options(CLI::App& command) override {
    command.add_option("iterations", iterations_, "operations in each phase")
        ->check(CLI::Range(std::uint64_t{1}, kMostIterations));
    command.add_option("--slots", slots_, "slots, half of them taken in the mean")->check(CLI::Range(1U, 100'000U));
    command.add_option("--seed", seed_, "of the random numbers");
  }

  void prepare() override {
    blocks_ = PageBuffer<LargeBlock>(slots_);
    page_bytes_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    random_ = Random(seed_);
  }

  Work pass() override {
    Work work{.operations = iterations_};
    for (std::uint64_t left = iterations_; left > 0; --left) {
      LargeBlock& block = blocks_[random_.below(slots_)];
      if (block.memory == nullptr) {
        resize(block);
        ++work.allocations;
      } else if (random_.below(2) == 0) {
        resize(block);
      } else {
        release(block);
      }
    }
    return work;
  }

  void finish() override {
    for (LargeBlock& block : blocks_.items()) release(block);
  }

 private:
  std::size_t random_bytes() {
    std::size_t const octave = kSmallestBytes << random_.below(kDoublings);
    return octave + random_.below(static_cast<std::uint32_t>(octave));
  }

  void resize(LargeBlock& block) {
    std::size_t const bytes = random_bytes();
    void* const memory = block.memory == nullptr ? ProcessHeap::allocate(bytes) : std::realloc(block.memory, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    std::size_t const untouched = block.bytes;
    block = {static_cast<unsigned char*>(memory), bytes};
    for (std::size_t offset = untouched; offset < bytes; offset += page_bytes_) block.memory[offset] = 1;
  }

  static void release(LargeBlock& block) {
    ProcessHeap::release(block.memory);
    block = {};
  }

  std::uint64_t iterations_ = 10'000;
  std::uint32_t slots_ = 16;
  std::uint64_t seed_ = 42;
  std::size_t page_bytes_ = 0;
  Random random_{0};
  PageBuffer<LargeBlock> blocks_;
};

}  // namespace

std::unique_ptr<Scenario> make_large() { return std::make_unique<Large>(); }

}  // namespace hakmem::bench
