// A heap grows to a number of MiB live, all of it touched, and is freed again: the cost of first
// touches, and what the allocator keeps.
#include <CLI/CLI.hpp>
#include <optional>

#include "bench/harness/block_pile.h"
#include "bench/scenario/scenarios.h"

namespace hakmem::bench {
namespace {

class Grow final : public Scenario {
 public:
  void declare_options(CLI::App& command) override {
    command.add_option("mebibytes", mebibytes_, "live at the peak")->check(CLI::Range(1U, 1U << 20));
    command.add_option("--seed", seed_, "of the random numbers");
  }

  void prepare() override { pile_.emplace(std::size_t{mebibytes_} << 20); }

  Work pass() override {
    Random random(seed_);
    std::size_t const blocks = pile_->grow(random);
    pile_->clear();
    return {.operations = 2 * blocks, .allocations = blocks};
  }

 private:
  unsigned mebibytes_ = 100;
  std::uint64_t seed_ = 42;
  std::optional<BlockPile> pile_;
};

}  // namespace

std::unique_ptr<Scenario> make_grow() { return std::make_unique<Grow>(); }

}  // namespace hakmem::bench
