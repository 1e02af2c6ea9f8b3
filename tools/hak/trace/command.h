// What it owns: the `trace` commands - record, show, replay and convert.
#pragma once

namespace CLI {
class App;
}

namespace hakmem::tools {

// `exit_status` receives that of the program recorded, or 1 where a replay finds a violation.
void add_trace_command(CLI::App& app, int& exit_status);

}  // namespace hakmem::tools
