#include "tools/hak/faults/command.h"

#include <poll.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "bench/harness/output.h"
#include "tools/hak/faults/report.h"

namespace hakmem::tools {
namespace {

struct Options {
  std::string json_file;
  std::string png_file;
  std::string preload;
  std::vector<std::string> command;
};

// Each stop is looked at after all events that led to it, while the thread stands still.
void follow(Tracee& tracee, FaultEvents& events, Attribution& attribution) {
  std::vector<pollfd> waited_for = events.descriptors();
  waited_for.push_back({tracee.descriptor(), POLLIN, 0});
  while (!tracee.ended()) {
    poll(waited_for.data(), waited_for.size(), -1);
    attribution.handle(events.drain());
    while (auto const stop = tracee.next_stop()) {
      attribution.handle(events.drain());
      attribution.note(*stop);
      tracee.resume(*stop);
    }
  }
  attribution.handle(events.drain());
  attribution.finish();
}

FaultReport observe(std::vector<std::string> const& command, std::string const& preload) {
  Tracee tracee(command, preload);
  FaultEvents events(tracee.process());
  std::signal(SIGINT, SIG_IGN);  // the command's to obey; its faults until then are still reported
  Attribution attribution;
  tracee.start();
  follow(tracee, events, attribution);
  if (!tracee.failure().empty()) throw std::runtime_error("cannot run " + command[0] + ": " + tracee.failure());
  return {command, tracee.exit_status(), events.sees_kernel(), events.lost(), attribution.counts()};
}

int faults(Options const& options) {
  for (std::string const& path : {options.json_file, options.png_file}) bench::require_writable(path);
  FaultReport const report = observe(options.command, options.preload);
  std::cout << to_text(report) << std::flush;
  nlohmann::json const document = to_json(report);
  if (!options.json_file.empty()) bench::write_json(options.json_file, document);
  if (!options.png_file.empty()) bench::write_png(options.png_file, document, "hak-faults-plot");
  return report.exit_status;
}

}  // namespace

void add_faults_command(CLI::App& app, int& exit_status) {
  CLI::App* const command = app.add_subcommand("faults", "Says where the page faults of a program come from");
  auto const options = std::make_shared<Options>();
  command->add_option("--json", options->json_file, "write every count to this file");
  command->add_option("--png", options->png_file, "draw the counts into this file");
  command->add_option("--preload", options->preload, "library for the command's LD_PRELOAD")->check(CLI::ExistingFile);
  command->add_option("COMMAND", options->command, "the program and its arguments, after --")->required();
  command->positionals_at_end();
  command->callback([options, &exit_status] { exit_status = faults(*options); });
}

}  // namespace hakmem::tools
