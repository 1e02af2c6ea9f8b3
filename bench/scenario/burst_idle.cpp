// Bursts: a number of MiB is allocated, touched and freed, then the program only sleeps. The
// resident memory at the end tells whether the allocator gives back without being called.
#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>
#include <thread>

#include "bench/harness/block_pile.h"
#include "bench/scenario/scenarios.h"

namespace hakmem::bench {
namespace {

class BurstIdle final : public Scenario {
 public:
  void declare_options(CLI::App& command) override {
    command.add_option("mebibytes", mebibytes_, "live at the peak of a burst")->check(CLI::Range(1U, 1U << 20));
    command.add_option("--bursts", bursts_, "bursts in each phase")->check(CLI::Range(1U, 1'000'000U));
    command.add_option("--idle-ms", idle_ms_, "time without any call after each burst")
        ->check(CLI::Range(0U, 600'000U));
    command.add_option("--seed", seed_, "of the random numbers");
  }

  void prepare() override { pile_.emplace(std::size_t{mebibytes_} << 20); }

  Work pass() override {
    Work work;
    Random random(seed_);
    for (unsigned burst = 0; burst < bursts_; ++burst) {
      std::size_t const blocks = pile_->grow(random);
      pile_->clear();
      work += {.operations = 2 * blocks, .allocations = blocks, .remote_frees = 0, .idle_seconds = sleep()};
    }
    return work;
  }

 private:
  // Returns the seconds really slept.
  double sleep() const {
    auto const start = std::chrono::steady_clock::now();
    std::this_thread::sleep_for(std::chrono::milliseconds(idle_ms_));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  unsigned mebibytes_ = 64;
  unsigned bursts_ = 3;
  unsigned idle_ms_ = 200;
  std::uint64_t seed_ = 42;
  std::optional<BlockPile> pile_;
};

}  // namespace

std::unique_ptr<Scenario> make_burst_idle() { return std::make_unique<BurstIdle>(); }

}  // namespace hakmem::bench
