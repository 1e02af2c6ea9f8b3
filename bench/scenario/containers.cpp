// What C++ programs do: an ordered map of strings, a growing vector of strings, a hash map of
// vectors. One operation is one container operation, not one call of the allocator.
#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "bench/harness/random.h"
#include "bench/scenario/scenarios.h"

namespace hakmem::bench {
namespace {

class Containers final : public Scenario {
 public:
  void declare_options(CLI::App& command) override {
    command.add_option("iterations", iterations_, "container operations in each phase")
        ->check(CLI::Range(std::uint64_t{1}, kMostIterations));
    command.add_option("--keys", keys_, "different keys")->check(CLI::Range(1U, 100'000'000U));
    command.add_option("--seed", seed_, "of the random numbers");
  }

  void prepare() override {}

  Work pass() override {
    Random random(seed_);
    std::uint64_t const share = iterations_ / 3;
    ordered_strings(random, share);
    growing_strings(random, share);
    hashed_vectors(random, share);
    return {.operations = 3 * share};
  }

 private:
  void ordered_strings(Random& random, std::uint64_t operations) const {
    std::map<std::uint32_t, std::string> map;
    for (; operations > 0; --operations) {
      std::uint32_t const key = random.below(keys_);
      if (map.erase(key) == 0) map.emplace(key, std::string(8 + key % 120, 'x'));
    }
  }

  void growing_strings(Random& random, std::uint64_t operations) const {
    std::vector<std::string> strings;
    for (; operations > 0; --operations) {
      strings.emplace_back(random.below(100), 'y');
      if (strings.size() == keys_) strings = {};
    }
  }

  void hashed_vectors(Random& random, std::uint64_t operations) const {
    std::unordered_map<std::uint32_t, std::vector<std::uint64_t>> table;
    for (; operations > 0; --operations) {
      std::vector<std::uint64_t>& values = table[random.below(keys_ / 16 + 1)];
      values.push_back(operations);
      if (values.size() == 64) values = {};
    }
  }

  std::uint64_t iterations_ = 3'000'000;
  std::uint32_t keys_ = 20'000;
  std::uint64_t seed_ = 42;
};

}  // namespace

std::unique_ptr<Scenario> make_containers() { return std::make_unique<Containers>(); }

}  // namespace hakmem::bench
