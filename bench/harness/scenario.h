// What it owns: what a benchmark scenario is, and the table of all of them.
// A scenario is run as: prepare, an optional warm-up, two measured passes of the same length (cold,
// warm), finish, and - where the loop itself is worth subtracting - the same pass without allocator.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace CLI {
class App;
}

namespace hakmem::bench {

constexpr std::uint64_t kMostIterations = 1'000'000'000'000;

// What one pass did. One operation is one allocation or one release, unless the scenario says otherwise.
struct Work {
  std::uint64_t operations = 0;
  std::uint64_t allocations = 0;
  std::uint64_t remote_frees = 0;
  double idle_seconds = 0;  // slept on purpose; not part of the time per operation

  Work& operator+=(Work const& other) {
    operations += other.operations;
    allocations += other.allocations;
    remote_frees += other.remote_frees;
    idle_seconds += other.idle_seconds;
    return *this;
  }
};

class Scenario {
 public:
  virtual ~Scenario() = default;
  virtual void declare_options(CLI::App& command) = 0;
  virtual void prepare() = 0;  // makes and touches all memory of the harness
  virtual void warm_up() {}    // runs before anything is measured
  virtual Work pass() = 0;
  virtual void finish() {}  // frees every block that is left
  virtual bool has_baseline() const { return false; }
  virtual Work baseline_pass() { return {}; }  // after finish(): the pass with pre-made blocks
  virtual unsigned threads() const { return 1; }
};

struct ScenarioEntry {
  char const* name;
  char const* summary;
  std::unique_ptr<Scenario> (*make)();
};

std::span<ScenarioEntry const> all_scenarios();

}  // namespace hakmem::bench
