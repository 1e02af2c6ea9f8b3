// What it owns: the `cost` command - what each mitigation costs in time, instructions and memory, each alone
// and all together, on the same work.
#pragma once

namespace CLI {
class App;
}

namespace hakmem::bench {

void add_cost_command(CLI::App& app);

}  // namespace hakmem::bench
