// What it owns: the `symbolize` command - names the functions in a report of the checked build.
#pragma once

namespace CLI {
class App;
}

namespace hakmem::tools {

void add_symbolize_command(CLI::App& app);

}  // namespace hakmem::tools
