#include "bench/harness/report.h"

#include <chrono>
#include <cstdarg>
#include <cstdio>

namespace hakmem::bench {
namespace {

using Clock = std::chrono::steady_clock;

template <typename Pass>
PhaseResult measure_pass(ProcessCounters const& counters, Pass pass) {
  PhaseResult result;
  Counters const before = counters.read();
  Clock::time_point const start = Clock::now();
  result.work = pass();
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count() - result.work.idle_seconds;
  result.used = counters.read() - before;
  return result;
}

std::string format(char const* pattern, ...) __attribute__((format(printf, 1, 2)));
std::string format(char const* pattern, ...) {
  char line[256];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(line, sizeof line, pattern, arguments);
  va_end(arguments);
  return line;
}

double mebibytes(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

std::string row(char const* name, std::string const& cold, std::string const& warm) {
  return format("%-22s %14s %14s\n", name, cold.c_str(), warm.c_str());
}

template <typename Figure>
std::string row(char const* name, Report const& report, Figure figure) {
  return row(name, figure(report.cold), figure(report.warm));
}

nlohmann::json phase_json(Report const& report, PhaseResult const& phase) {
  nlohmann::json json = {{"seconds", phase.seconds},
                         {"operations", phase.work.operations},
                         {"allocations", phase.work.allocations},
                         {"remote_frees", phase.work.remote_frees},
                         {"operations_per_second", phase.operations_per_second()},
                         {"gross_nanoseconds", report.gross_nanoseconds(phase)},
                         {"net_nanoseconds", nullptr},
                         {"traps", nullptr},
                         {"minflt", phase.used.minflt},
                         {"user_seconds", phase.used.user_seconds},
                         {"system_seconds", phase.used.system_seconds}};
  if (auto const net = report.net_nanoseconds(phase)) json["net_nanoseconds"] = *net;
  if (phase.used.traps) json["traps"] = *phase.used.traps;
  return json;
}

}  // namespace

double Report::gross_nanoseconds(PhaseResult const& phase) const {
  return phase.seconds * 1e9 * threads / static_cast<double>(phase.work.operations);
}

std::optional<double> Report::net_nanoseconds(PhaseResult const& phase) const {
  if (!baseline) return std::nullopt;
  return gross_nanoseconds(phase) - gross_nanoseconds(*baseline);
}

Report measure(ScenarioEntry const& entry, Scenario& scenario) {
  Report report;
  report.scenario = entry.name;
  report.allocator = identify_allocator();
  report.threads = scenario.threads();
  ProcessCounters const counters;
  scenario.prepare();
  scenario.warm_up();
  report.start_rss_bytes = resident_bytes();
  report.cold = measure_pass(counters, [&] { return scenario.pass(); });
  report.warm = measure_pass(counters, [&] { return scenario.pass(); });
  report.process_minflt = counters.read().minflt;
  report.peak_rss_bytes = peak_resident_bytes();
  scenario.finish();
  report.final_rss_bytes = resident_bytes();
  if (scenario.has_baseline()) {
    // The first pass only warms the caches and the branch predictor, as the cold phase did.
    for (int repeat = 0; repeat < 2; ++repeat) {
      report.baseline = measure_pass(counters, [&] { return scenario.baseline_pass(); });
    }
  }
  return report;
}

std::string to_text(Report const& report) {
  std::string text = report.scenario;
  for (std::string const& argument : report.arguments) text += " " + argument;
  AllocatorIdentity const& allocator = report.allocator;
  text += "\nallocator measured: " + allocator.soname + " " + allocator.version + " (" + allocator.file + ")\n";
  if (!allocator.complete) text += "warning: free, calloc or realloc come from another object than malloc\n";
  text += row("", "cold", "warm");
  text +=
      row("M operations/s", report, [](auto& phase) { return format("%.4g", phase.operations_per_second() / 1e6); });
  text +=
      row("gross ns/operation", report, [&](auto& phase) { return format("%.2f", report.gross_nanoseconds(phase)); });
  text += row("net ns/operation", report, [&](auto& phase) {
    auto const net = report.net_nanoseconds(phase);
    return net ? format("%.2f", *net) : std::string("n/a");
  });
  text += row("remote frees", report,
              [](auto& phase) { return format("%llu", static_cast<unsigned long long>(phase.work.remote_frees)); });
  text += row("traps", report,
              [](auto& phase) { return phase.used.traps ? std::to_string(*phase.used.traps) : std::string("n/a"); });
  text += row("minflt", report, [](auto& phase) { return std::to_string(phase.used.minflt); });
  text += row("user s", report, [](auto& phase) { return format("%.3f", phase.used.user_seconds); });
  text += row("system s", report, [](auto& phase) { return format("%.3f", phase.used.system_seconds); });
  text += format("peak RSS %.2f MiB (%.2f above the start), %.2f MiB after all was freed; minflt of the process %llu\n",
                 mebibytes(report.peak_rss_bytes), mebibytes(report.peak_rss_bytes) - mebibytes(report.start_rss_bytes),
                 mebibytes(report.final_rss_bytes), static_cast<unsigned long long>(report.process_minflt));
  return text;
}

nlohmann::json to_json(Report const& report) {
  return {{"scenario", report.scenario},
          {"arguments", report.arguments},
          {"threads", report.threads},
          {"allocator",
           {{"file", report.allocator.file},
            {"soname", report.allocator.soname},
            {"version", report.allocator.version},
            {"complete", report.allocator.complete}}},
          {"cold", phase_json(report, report.cold)},
          {"warm", phase_json(report, report.warm)},
          {"process_minflt", report.process_minflt},
          {"start_rss_bytes", report.start_rss_bytes},
          {"peak_rss_bytes", report.peak_rss_bytes},
          {"final_rss_bytes", report.final_rss_bytes}};
}

}  // namespace hakmem::bench
