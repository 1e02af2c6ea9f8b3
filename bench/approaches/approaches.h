// What it owns: the `approaches` command - what each way to have pages ready (prefault policy, huge
// pages, warm-up) costs and gains, where it matters: cold start, growth, steady state, bursts with idle time.
#pragma once

namespace CLI {
class App;
}

namespace hakmem::bench {

void add_approaches_command(CLI::App& app);

}  // namespace hakmem::bench
