// No allocation at all: its faults and resident memory are those of the process itself under the
// given allocator, to be compared with those of the other scenarios.
#include "bench/scenario/scenarios.h"

namespace hakmem::bench {
namespace {

class Empty final : public Scenario {
 public:
  void declare_options(CLI::App&) override {}
  void prepare() override {}
  Work pass() override { return {.operations = 1}; }
};

}  // namespace

std::unique_ptr<Scenario> make_empty() { return std::make_unique<Empty>(); }

}  // namespace hakmem::bench
