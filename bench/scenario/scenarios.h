// The makers that the registry lists; each is defined in the file of its name.
#pragma once

#include <memory>

#include "bench/harness/scenario.h"

namespace hakmem::bench {

std::unique_ptr<Scenario> make_random_mixed();
std::unique_ptr<Scenario> make_larson();
std::unique_ptr<Scenario> make_producer_consumer();
std::unique_ptr<Scenario> make_grow();
std::unique_ptr<Scenario> make_large();
std::unique_ptr<Scenario> make_burst_idle();
std::unique_ptr<Scenario> make_containers();
std::unique_ptr<Scenario> make_empty();

}  // namespace hakmem::bench
