// hak: tools around the allocator. They work on any program, with or without hakmem in it.
#include <CLI/CLI.hpp>
#include <iostream>

#include "tools/hak/faults/command.h"
#include "tools/hak/symbolize/command.h"
#include "tools/hak/trace/command.h"

int main(int argc, char** argv) {
  CLI::App app("Tools around the hakmem memory allocator.");
  app.require_subcommand(1);
  app.failure_message(
      [](CLI::App const*, CLI::Error const& error) { return "hak: " + std::string(error.what()) + "\n"; });
  int exit_status = 0;
  hakmem::tools::add_faults_command(app, exit_status);
  hakmem::tools::add_symbolize_command(app);
  hakmem::tools::add_trace_command(app, exit_status);
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    return app.exit(error);
  } catch (std::exception const& error) {
    std::cerr << "hak: " << error.what() << "\n";
    return 1;
  }
  return exit_status;
}
