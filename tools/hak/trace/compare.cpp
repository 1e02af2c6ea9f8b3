#include "tools/hak/trace/compare.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "bench/compare/child.h"
#include "bench/compare/peers.h"
#include "bench/harness/identity.h"
#include "bench/harness/output.h"
#include "tools/hak/trace/replay.h"

namespace hakmem::tools {
namespace {

bench::Candidate candidate(std::string const& name, bench::Candidates const& known) {
  for (bench::Candidate const& found : known.found)
    if (found.name == name) return found;
  if (std::filesystem::is_regular_file(name)) return {name, std::filesystem::canonical(name)};
  throw std::runtime_error("--allocator " + name +
                           ": neither the name of an allocator that is installed nor a library");
}

std::vector<bench::Candidate> candidates(std::vector<std::string> const& names) {
  bench::Candidates const known = bench::find_candidates(true);
  if (names.empty()) return known.found;
  std::vector<bench::Candidate> chosen;
  for (std::string const& name : names) chosen.push_back(candidate(name, known));
  return chosen;
}

nlohmann::json replay_with(bench::Candidate const& allocator, ReplayOptions const& options) {
  std::vector<std::string> words = {bench::this_program(),
                                    "trace",
                                    "replay",
                                    options.file,
                                    "--json",
                                    "--repeat",
                                    std::to_string(options.repetitions)};
  if (options.check) words.push_back("--check");
  bench::ChildResult const child = bench::run_child(words, allocator.library);
  nlohmann::json replayed = nlohmann::json::parse(child.output, nullptr, false);
  if (!replayed.is_object()) return {{"allocator", allocator.name}, {"failure", child.failure}};
  std::string const served_by = replayed["allocator"];
  if (!allocator.library.empty() && served_by != std::filesystem::canonical(allocator.library))
    return {{"allocator", allocator.name}, {"failure", "the calls were served by " + served_by}};
  replayed["allocator"] = allocator.name;
  return replayed;
}

std::string formatted(char const* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

nlohmann::json replay_here(ReplayOptions const& options) {
  Trace const trace = read_trace(options.file);
  nlohmann::json replayed = {{"allocator", bench::identify_allocator().file},
                             {"program", trace.program},
                             {"calls", trace.calls.size()},
                             {"threads", trace.threads}};
  if (options.check) {
    ReplayCheck const check = check_replay(trace);
    replayed["checked_bytes"] = check.checked_bytes;
    replayed["digest"] = check.digest;
    replayed["violation"] = check.violation;
  } else {
    ReplayTiming const timing = time_replay(trace, options.repetitions);
    replayed["calls_per_second"] = timing.calls_per_second;
    replayed["peak_rss_kib"] = timing.peak_rss_kib;
  }
  return replayed;
}

std::vector<nlohmann::json> replay_on(std::vector<std::string> const& allocators, ReplayOptions const& options) {
  std::vector<nlohmann::json> results;
  for (bench::Candidate const& allocator : candidates(allocators)) results.push_back(replay_with(allocator, options));
  return results;
}

std::string to_text(nlohmann::json const& replayed) {
  std::string text = replayed["allocator"].get<std::string>() + ": ";
  if (replayed.contains("failure")) return text + "failed, " + replayed["failure"].get<std::string>() + "\n";
  text +=
      std::to_string(replayed["calls"].get<std::uint64_t>()) + " calls of " + replayed["program"].get<std::string>();
  if (!replayed.contains("violation"))
    return text + formatted(", %.2f M calls/s", replayed["calls_per_second"].get<double>() / 1e6) +
           formatted(", peak %.1f MiB\n", replayed["peak_rss_kib"].get<double>() / 1024);
  std::string const violation = replayed["violation"];
  return text + ", " + std::to_string(replayed["checked_bytes"].get<std::uint64_t>()) + " bytes checked, digest " +
         std::to_string(replayed["digest"].get<std::uint64_t>()) + ": " + (violation.empty() ? "sound" : violation) +
         "\n";
}

}  // namespace hakmem::tools
