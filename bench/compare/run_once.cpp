#include "bench/compare/run_once.h"

#include <filesystem>
#include <stdexcept>

#include "bench/compare/child.h"
#include "bench/harness/output.h"

namespace hakmem::bench {
namespace {

namespace fs = std::filesystem;

// A report that was made with another allocator than the preloaded one is worth nothing.
void require_identity(Candidate const& candidate, nlohmann::json const& report) {
  nlohmann::json const& measured = report.at("allocator");
  bool const right = candidate.library.empty() ? measured.at("soname") == "libc.so.6"
                                               : measured.at("file") == fs::canonical(candidate.library).string();
  if (right && !measured.at("complete").get<bool>()) {
    throw std::runtime_error(candidate.name + ": malloc, free, calloc and realloc come from different objects");
  }
  if (!right) {
    throw std::runtime_error(candidate.name + ": the child measured " + measured.at("file").get<std::string>() +
                             ", not " + (candidate.library.empty() ? "the C library" : candidate.library));
  }
}

}  // namespace

nlohmann::json run_once(Candidate const& candidate, std::vector<std::string> const& arguments, std::string& failure,
                        std::vector<std::string> const& variables) {
  std::vector<std::string> words = {this_program()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  words.push_back("--json");
  ChildResult const child = run_child(words, candidate.library, variables);
  if (!child.failure.empty()) {
    failure = child.failure;
    return nullptr;
  }
  nlohmann::json report = nlohmann::json::parse(child.output);
  require_identity(candidate, report);
  report["process_seconds"] = child.seconds;
  report["process_system_seconds"] = child.system_seconds;
  return report;
}

}  // namespace hakmem::bench
