// The table of all scenarios: the command line and `compare` know them only through it.
#include "bench/scenario/scenarios.h"

namespace hakmem::bench {
namespace {

constexpr ScenarioEntry kScenarios[] = {
    {"random-mixed", "16 to 1040 bytes, a random slot: free if taken, else allocate and write both ends",
     make_random_mixed},
    {"larson", "threads end and hand their live blocks to their successors", make_larson},
    {"producer-consumer", "every block is freed by another thread than the one that allocated it",
     make_producer_consumer},
    {"grow", "a heap grows to a size, touched, and is freed", make_grow},
    {"large", "64 KiB to 8 MiB: allocate, realloc and free, every page touched", make_large},
    {"burst-idle", "bursts of live memory with idle time after each", make_burst_idle},
    {"containers", "std::map, std::vector and std::string", make_containers},
    {"empty", "no operation: what the process itself costs", make_empty},
};

}  // namespace

std::span<ScenarioEntry const> all_scenarios() { return kScenarios; }

}  // namespace hakmem::bench
