// What it owns: the systems that the OS layer's tests run on, and starting them fresh.
// Thread-safety: none; one test at a time.
#pragma once

#include "core/os/huge.h"
#include "core/os/leftovers.h"
#include "core/os/prefault.h"
#include "property_tests/faulty_os.h"
#include "property_tests/model/fresh_kernel.h"
#include "property_tests/simulated_os.h"

namespace hakmem::testing {

// Failing calls over simulated pages: every step can be seen and made to fail.
using FaultySimulation = FaultyOs<SimulatedOs>;
static_assert(OperatingSystem<FaultySimulation>);

inline void start_simulation(Simulation simulation = {}, FaultPlan plan = {}) {
  SimulatedOs::reset(simulation);
  FaultySimulation::reset(plan);
  forget_the_kernel<FaultySimulation>();
}

}  // namespace hakmem::testing
