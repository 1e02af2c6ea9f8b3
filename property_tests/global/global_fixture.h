// What it owns: the global layer on its own, without heaps, on a system whose calls fail on demand.
// Thread-safety: one test at a time.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>

#include "core/global/global.h"
#include "property_tests/model/allocators.h"
#include "property_tests/simulated_os.h"

namespace hakmem::testing {

using FaultySimulation = FaultyOs<SimulatedOs>;

template <class Os>
void reset_system(FaultPlan plan = {}) {
  if constexpr (std::is_same_v<Os, FaultySimulation>) SimulatedOs::reset();
  Os::reset(plan);
}

template <class OsT, class ModeT = FastMode>
class GlobalTest : public ::testing::Test {
 public:
  using Os = OsT;
  using C = Config<ModeT, Os, StdSync, DefaultGeometry>;
  using G = DefaultGeometry;

  GlobalTest() { reset_system<Os>(); }

  ::testing::AssertionResult nothing_leaked() {
    auto const books = space().ledger();
    std::uint64_t const known = books.held_bytes + books.leftover_bytes + space().arena().mapped_bytes();
    if (known != Os::ledger().bytes())
      return ::testing::AssertionFailure() << "known " << known << ", mapped " << Os::ledger().bytes();
    if (!Os::violation().empty()) return ::testing::AssertionFailure() << Os::violation();
    return ::testing::AssertionSuccess();
  }

  AddressSpace<C>& space() { return global_->space; }
  SuperSlabPool<C>& pool() { return global_->pool; }
  LargeBlocks<C>& large() { return global_->large; }
  Global<C>& global() { return *global_; }

 private:
  std::unique_ptr<Global<C>> global_ = std::make_unique<Global<C>>();
};

using Systems = ::testing::Types<FaultyLinux, FaultySimulation>;
struct SystemName {
  template <class Os>
  static std::string GetName(int) {
    return std::is_same_v<Os, FaultyLinux> ? "linux" : "simulated";
  }
};

}  // namespace hakmem::testing
