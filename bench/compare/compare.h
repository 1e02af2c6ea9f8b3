// What it owns: the `compare` command - hak-bench runs itself as a child process over every allocator
// that is there, interleaved, and reports the medians. `allocators` lists what it would preload.
#pragma once

namespace CLI {
class App;
}

namespace hakmem::bench {

void add_compare_command(CLI::App& app);
void add_allocators_command(CLI::App& app);

}  // namespace hakmem::bench
