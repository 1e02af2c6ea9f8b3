// hak-bench: measures whatever allocator the process has. It is not linked to ours: the allocator
// under test comes by LD_PRELOAD, so one binary measures all, and every report proves which it was.
#include <CLI/CLI.hpp>
#include <iostream>

#include "bench/approaches/approaches.h"
#include "bench/compare/compare.h"
#include "bench/cost/cost.h"
#include "bench/harness/report.h"
#include "bench/harness/scenario.h"
#include "bench/map_populate/map_populate.h"

namespace {

using namespace hakmem::bench;

void run_scenario(ScenarioEntry const& entry, Scenario& scenario, std::vector<std::string> arguments, bool json) {
  Report report = measure(entry, scenario);
  report.arguments = std::move(arguments);
  std::cout << (json ? to_json(report).dump() + "\n" : to_text(report));
}

void add_scenario(CLI::App& app, ScenarioEntry const& entry, std::vector<std::string> const& words) {
  CLI::App* const command = app.add_subcommand(entry.name, entry.summary);
  auto const scenario = std::shared_ptr<Scenario>(entry.make());
  auto const json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print the report as one line of JSON");
  scenario->declare_options(*command);
  command->callback([&entry, scenario, json, words] {
    run_scenario(entry, *scenario, {words.begin() + 1, words.end()}, *json);
  });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures the memory allocator of this process (LD_PRELOAD chooses it).");
  app.require_subcommand(1);
  app.failure_message(
      [](CLI::App const*, CLI::Error const& error) { return "hak-bench: " + std::string(error.what()) + "\n"; });
  std::vector<std::string> const words(argv + 1, argv + argc);
  for (ScenarioEntry const& entry : all_scenarios()) add_scenario(app, entry, words);
  add_compare_command(app);
  add_allocators_command(app);
  add_map_populate_command(app);
  add_approaches_command(app);
  add_cost_command(app);
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    return app.exit(error);
  } catch (std::exception const& error) {
    std::cerr << "hak-bench: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
