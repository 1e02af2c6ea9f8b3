// What it owns: the `map-populate` command - what each way to get aligned, ready SuperSlabs costs.
#pragma once

namespace CLI {
class App;
}

namespace hakmem::bench {

void add_map_populate_command(CLI::App& app);

}  // namespace hakmem::bench
