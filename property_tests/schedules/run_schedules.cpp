// What it owns: the command line of the schedules.
// Thread-safety: none.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "property_tests/schedules/enumeration.h"
#include "property_tests/schedules/schedule_world.h"

namespace hakmem::testing {
namespace {

struct Outcome {
  unsigned long long schedules = 0;
  std::string failure;  // empty: held
};

// The first schedule that fails ends the search: what it leaves behind is not to be relied on.
Outcome enumerate(Registered const& program, Enumeration& enumeration) {
  Outcome outcome;
  try {
    do {
      enumeration.begin();
      ++outcome.schedules;
      Fibers::guarded([&] { program.run(enumeration); });
    } while (enumeration.advance());
  } catch (std::exception const& failure) {
    outcome.failure = failure.what();
  }
  return outcome;
}

bool run(Registered const& program, unsigned preemptions) {
  Enumeration enumeration(preemptions);
  auto const begin = std::chrono::steady_clock::now();
  Outcome const outcome = enumerate(program, enumeration);
  std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - begin;
  bool const held = outcome.failure.empty();
  std::printf("%-12s %-8s %u %10llu %8.2f %s\n", program.name, program.mode, preemptions, outcome.schedules,
              seconds.count(), held ? "held" : "FAILED");
  if (held)
    std::printf("  %llu switch points, at most %zu choices in one run\n", enumeration.points(), enumeration.longest());
  else
    std::printf("  %s\n  run_schedules %s --mode %s --replay %s\n", outcome.failure.c_str(), program.name, program.mode,
                enumeration.token().c_str());
  std::fflush(stdout);
  return held;
}

int replay(Registered const& program, std::string const& token) {
  Enumeration enumeration(0);
  if (!enumeration.replay(token)) {
    std::fprintf(stderr, "run_schedules: --replay wants what a failing run printed, such as 2/17:1,40:2,\n");
    return 2;
  }
  enumeration.begin();
  try {
    Fibers::guarded([&] { program.run(enumeration); });
  } catch (std::exception const& failure) {
    std::printf("%s\n", failure.what());
    return 1;
  }
  std::printf("held\n");
  return 0;
}

}  // namespace
}  // namespace hakmem::testing

int main(int argc, char** argv) {
  using namespace hakmem::testing;
  CLI::App app(
      "Run small programs on the whole allocator under all schedules with a few preemptions.\n"
      "Each line: program, build, preemptions, schedules, seconds, verdict.");
  std::vector<std::string> names;
  std::string mode, token;
  unsigned preemptions = 0;
  bool deep = false;
  app.add_option("programs", names, "programs to run (default: all)");
  app.add_option("--mode", mode, "only on this build: fast or hardened");
  app.add_option("--replay", token, "the one schedule that a failing run printed; needs one program and --mode");
  app.add_option("--preemptions", preemptions, "instead of those of each program")->check(CLI::Range(1, 9));
  app.add_flag("--deep", deep, "more preemptions");
  CLI11_PARSE(app, argc, argv);

  bool held = true;
  std::vector<Registered const*> chosen;
  for (Registered const* program = Registered::first; program; program = program->next)
    if ((names.empty() || std::find(names.begin(), names.end(), program->name) != names.end()) &&
        (mode.empty() || mode == program->mode))
      chosen.push_back(program);
  if (chosen.empty() || (!token.empty() && chosen.size() != 1)) {
    std::fprintf(stderr, "run_schedules: %s\n", chosen.empty() ? "no such program" : "--replay needs one program");
    return 2;
  }
  if (!token.empty()) return replay(*chosen[0], token);
  for (Registered const* program : chosen) {
    unsigned const bound = deep ? program->deep_preemptions : program->preemptions;
    held = run(*program, preemptions != 0 ? preemptions : bound) && held;
  }
  return held ? 0 : 1;
}
