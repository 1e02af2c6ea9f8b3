// What it owns: the command line of the models.
// Thread-safety: none.
#include "property_tests/concurrency/run_models.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <string>
#include <vector>

#include "core/base/check.h"

namespace hakmem {

// An internal check that fails is a failure of the execution that broke it.
void panic(char const* file, int line, char const* text) noexcept {
  rl::ctx().fail_test(text, rl::test_result_user_assert_failed,
                      rl::debug_info(text, file, static_cast<unsigned>(line)));
  std::abort();
}

namespace model {
namespace {

struct Search {
  char const* name;
  rl::scheduler_type_e scheduler;
  unsigned bound;
  unsigned executions;  // of a random search; others go on until they end
};

// Times the random executions under --deep.
constexpr unsigned kDeepRandom = 20;

std::vector<Search> searches_of(Effort const& effort, unsigned factor, bool deep) {
  std::vector<Search> searches = {{"random", rl::sched_random, 0, effort.random * factor * (deep ? kDeepRandom : 1)}};
  if (unsigned const bound = deep ? effort.deep_bound : effort.bound)
    searches.push_back({"bound", rl::sched_bound, bound, 0});
  if (deep && effort.deep_full) searches.push_back({"full", rl::sched_full, 0, 0});
  return searches;
}

bool run(Registered const& model, Search const& search, bool explain) {
  rl::test_params parameters;
  parameters.search_type = search.scheduler;
  parameters.context_bound = search.bound;
  parameters.iteration_count = search.executions;
  parameters.execution_depth_limit = 20000;
  auto const begin = std::chrono::steady_clock::now();
  Outcome const outcome = model.run(parameters);
  std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - begin;
  std::printf("%-16s %-6s %u %10llu %8.2f %s\n", model.name, search.name, search.bound, outcome.executions,
              seconds.count(), outcome.held ? "held" : "FAILED");
  if (!outcome.held && explain) std::fputs(outcome.report, stdout);
  std::fflush(stdout);
  return outcome.held;
}

// FILE:LINE:N:ORDER
bool parse_weakened(std::string const& text) {
  std::smatch fields;
  if (!std::regex_match(text, fields, std::regex("([^:]+):(\\d+):(\\d):(relaxed|acquire|release)"))) return false;
  static std::string file;  // what the view refers to
  file = fields[1];
  weakened.file = file;
  weakened.line = static_cast<unsigned>(std::stoul(fields[2]));
  weakened.argument = static_cast<unsigned>(std::stoul(fields[3]));
  weakened.to = fields[4] == "acquire"   ? std::memory_order_acquire
                : fields[4] == "release" ? std::memory_order_release
                                         : std::memory_order_relaxed;
  return true;
}

}  // namespace
}  // namespace model
}  // namespace hakmem

int main(int argc, char** argv) {
  using namespace hakmem::model;
  CLI::App app("Run the concurrency models. Each line: model, search, preemptions, executions, seconds, verdict.");
  std::vector<std::string> names;
  std::string weaken;
  unsigned factor = 1;
  bool explain = false, deep = false;
  app.add_option("models", names, "models to run (default: all)");
  app.add_option("--weaken", weaken, "FILE:LINE:N:ORDER - take the Nth order of the call in that line as ORDER");
  app.add_option("--factor", factor, "times the random executions")->check(CLI::Range(1, 10000));
  app.add_flag("--deep", deep, "more preemptions, and full searches");
  app.add_flag("--explain", explain, "print the failing execution");
  CLI11_PARSE(app, argc, argv);

  if (!weaken.empty() && !parse_weakened(weaken)) {
    std::fprintf(stderr, "run_models: --weaken wants FILE:LINE:N:ORDER with ORDER relaxed, acquire or release\n");
    return 2;
  }

  bool held = true;
  unsigned found = 0;
  for (Registered* model = Registered::first; model; model = model->next) {
    if (!names.empty() && std::find(names.begin(), names.end(), model->name) == names.end()) continue;
    ++found;
    for (Search const& search : searches_of(model->effort, factor, deep)) {
      held = run(*model, search, explain) && held;
      if (!held && !weaken.empty()) return 1;
    }
  }
  if (found < (names.empty() ? 1 : names.size())) {
    std::fprintf(stderr, "run_models: no such model\n");
    return 2;
  }
  if (!weaken.empty() && !weakened.reached) std::printf("order never reached\n");
  return held ? 0 : 1;
}
