// What it owns: the command line of the models.
// Thread-safety: none.
#include "property_tests/concurrency/run_models.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "core/base/check.h"

namespace hakmem {

// An internal check that fails is a failure of the execution that broke it.
void panic(char const* file, int line, char const* text) noexcept {
  rl::ctx().fail_test(text, rl::test_result_user_assert_failed, rl::debug_info(text, file, static_cast<unsigned>(line)));
  std::abort();
}

namespace model {
namespace {

struct Search {
  char const* name;
  rl::scheduler_type_e scheduler;
  unsigned bound;
  unsigned executions;  // 0: until the search ends
};

std::vector<Search> searches_of(Effort const& effort, unsigned factor, unsigned deeper) {
  std::vector<Search> searches = {{"random", rl::sched_random, 0, effort.random * factor}};
  if (effort.bound) searches.push_back({"bound", rl::sched_bound, effort.bound + deeper, 0});
  if (effort.full && deeper) searches.push_back({"full", rl::sched_full, 0, 0});
  return searches;
}

bool run(Registered const& model, Search const& search, unsigned limit, bool explain) {
  rl::test_params parameters;
  parameters.search_type = search.scheduler;
  parameters.context_bound = search.bound;
  parameters.iteration_count = search.executions ? search.executions : limit;
  parameters.execution_depth_limit = 20000;
  auto const begin = std::chrono::steady_clock::now();
  Outcome const outcome = model.run(parameters);
  std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - begin;
  bool const cut = !search.executions && outcome.held && outcome.executions >= limit;
  std::printf("%-16s %-6s %u %10llu %8.2f %s\n", model.name, search.name, search.bound, outcome.executions,
              seconds.count(), !outcome.held ? "FAILED" : cut ? "held-cut" : "held");
  if (!outcome.held && explain) std::fputs(outcome.report.c_str(), stdout);
  std::fflush(stdout);
  return outcome.held;
}

}  // namespace
}  // namespace model
}  // namespace hakmem

int main(int argc, char** argv) {
  using namespace hakmem::model;
  CLI::App app("Run the concurrency models. Each line: model, search, preemptions, executions, seconds, verdict.");
  std::vector<std::string> names;
  std::string weaken;
  unsigned factor = 1, deeper = 0, limit = 400000;
  bool explain = false;
  app.add_option("models", names, "models to run (default: all)");
  app.add_option("--weaken", weaken, "FILE:LINE:N - take the Nth order of the call in that line as relaxed");
  app.add_option("--factor", factor, "times the random executions")->check(CLI::Range(1, 10000));
  app.add_option("--deeper", deeper, "preemptions more than usual, and full searches")->check(CLI::Range(0, 4));
  app.add_option("--limit", limit, "executions of an enumeration at most")->check(CLI::PositiveNumber);
  app.add_flag("--explain", explain, "print the failing execution");
  CLI11_PARSE(app, argc, argv);

  if (!weaken.empty()) {
    std::size_t const second = weaken.rfind(':');
    std::size_t const first = weaken.rfind(':', second - 1);
    if (second == std::string::npos || first == std::string::npos || first == 0) {
      std::fprintf(stderr, "run_models: --weaken wants FILE:LINE:N\n");
      return 2;
    }
    static std::string const file = weaken.substr(0, first);
    weakened = {file, static_cast<unsigned>(std::atoi(weaken.c_str() + first + 1)),
                static_cast<unsigned>(std::atoi(weaken.c_str() + second + 1))};
  }

  bool held = true;
  unsigned found = 0;
  for (Registered* model = Registered::first; model; model = model->next) {
    if (!names.empty() && std::find(names.begin(), names.end(), model->name) == names.end()) continue;
    ++found;
    for (Search const& search : searches_of(model->effort, factor, deeper)) {
      held = run(*model, search, limit, explain) && held;
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
