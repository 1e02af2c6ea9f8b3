#include "tools/hak/trace/command.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "bench/harness/output.h"
#include "tools/hak/trace/compare.h"
#include "tools/hak/trace/fuzz_input.h"
#include "tools/hak/trace/record.h"
#include "tools/hak/trace/summary.h"

namespace hakmem::tools {
namespace {

constexpr std::uint64_t kDefaultLimit = 4'000'000;

void add_record(CLI::App& trace, int& exit_status) {
  CLI::App* const command = trace.add_subcommand("record", "Runs a program and writes down its allocation calls");
  auto const options = std::make_shared<RecordOptions>();
  options->output = "program.trace";
  options->limit = kDefaultLimit;
  command->add_option("-o,--output", options->output, "the trace")->capture_default_str();
  command->add_option("--limit", options->limit, "calls that are recorded, of all programs together")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--program", options->program,
                      "of the programs that the command runs, the one to keep; else that with the most calls");
  command->add_option("COMMAND", options->command, "the program and its arguments, after --")->required();
  command->positionals_at_end();
  command->callback([options, &exit_status] { exit_status = record(*options); });
}

void add_show(CLI::App& trace) {
  CLI::App* const command = trace.add_subcommand("show", "Says what calls a trace holds");
  auto const file = std::make_shared<std::string>();
  auto const json = std::make_shared<bool>(false);
  command->add_option("FILE", *file, "the trace")->required();
  command->add_flag("--json", *json, "as one JSON document");
  command->callback([file, json] {
    nlohmann::json const summary = summary_of(read_trace(*file));
    std::cout << (*json ? summary.dump() + "\n" : summary_text(summary));
  });
}

struct Replay : ReplayOptions {
  std::vector<std::string> allocators;
  bool compare = false;
};

int replay(Replay const& options) {
  read_trace(options.file);  // a wrong one is told once, not by each process
  bool const elsewhere = options.compare || !options.allocators.empty();
  std::vector<nlohmann::json> const results =
      elsewhere ? replay_on(options.allocators, options) : std::vector{replay_here(options)};
  bool sound = true;
  for (nlohmann::json const& result : results) {
    std::cout << (options.json ? result.dump() + "\n" : to_text(result));
    sound = sound && !result.contains("failure") && result.value("violation", "").empty();
  }
  return sound ? 0 : 1;
}

void add_replay(CLI::App& trace, int& exit_status) {
  CLI::App* const command =
      trace.add_subcommand("replay", "Makes the calls of a trace again, timed, on the allocator of this process");
  auto const options = std::make_shared<Replay>();
  command->add_option("FILE", options->file, "the trace")->required();
  command->add_flag("--check", options->check, "check contents, alignment and disjointness instead of timing");
  command->add_option("--allocator", options->allocators,
                      "glibc, jemalloc, mimalloc, tcmalloc, hakmem, hakmem-hardened or a library; may be repeated");
  command->add_flag("--compare", options->compare, "on every allocator that is installed");
  command->add_option("--repeat", options->repetitions, "timed repetitions; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", options->json, "one JSON document a line");
  command->callback([options, &exit_status] { exit_status = replay(*options); });
}

struct Convert : FuzzPart {
  std::string file, output;
};

void convert(Convert const& options) {
  std::string const input = fuzz_input_of(read_trace(options.file), options);
  std::ofstream file(options.output, std::ios::binary);
  file.write(input.data(), static_cast<std::streamsize>(input.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + options.output);
}

void add_convert(CLI::App& trace) {
  CLI::App* const command =
      trace.add_subcommand("convert", "Makes an input of the fuzz target api_sequence of a trace");
  auto const options = std::make_shared<Convert>();
  command->add_option("FILE", options->file, "the trace")->required();
  command->add_option("-o,--output", options->output, "the input")->required();
  command->add_option("--skip", options->skip, "calls of the trace before the first one used");
  command->add_option("--records", options->most_records, "calls, at most")->capture_default_str();
  command->add_flag("--checked", options->hardened, "for the checked build");
  command->callback([options] { convert(*options); });
}

}  // namespace

void add_trace_command(CLI::App& app, int& exit_status) {
  CLI::App* const trace = app.add_subcommand("trace", "Records and replays the allocation calls of programs");
  trace->require_subcommand(1);
  add_record(*trace, exit_status);
  add_show(*trace);
  add_replay(*trace, exit_status);
  add_convert(*trace);
}

}  // namespace hakmem::tools
