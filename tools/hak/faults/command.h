// What it owns: the `faults` command - runs a program and says where its page faults come from.
#pragma once

namespace CLI {
class App;
}

namespace hakmem::tools {

// `exit_status` receives that of the program observed.
void add_faults_command(CLI::App& app, int& exit_status);

}  // namespace hakmem::tools
