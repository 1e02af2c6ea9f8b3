// What it owns: the systems that the OS layer's tests run on, and starting them fresh.
// Thread-safety: none; one test at a time.
#pragma once

#include "core/os/huge.h"
#include "core/os/leftovers.h"
#include "core/os/prefault.h"
#include "property_tests/faulty_os.h"
#include "property_tests/simulated_os.h"

namespace hakmem::testing {

// Failing calls over simulated pages: every step can be seen and made to fail.
using FaultySimulation = FaultyOs<SimulatedOs>;
static_assert(OperatingSystem<FaultySimulation>);

// What a process remembers of its kernel, as if it had just started.
template <class Os>
void forget_the_kernel() {
  KernelLacks<Os>::populate_write = false;
  KernelLacks<Os>::huge_advice = false;
  HugetlbFallbacks<Os>::count = 0;
  HugetlbFallbacks<Os>::warned = false;
}

inline void start_simulation(Simulation simulation = {}, FaultPlan plan = {}) {
  SimulatedOs::reset(simulation);
  FaultySimulation::reset(plan);
  forget_the_kernel<FaultySimulation>();
}

}  // namespace hakmem::testing
