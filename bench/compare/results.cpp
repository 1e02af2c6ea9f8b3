#include "bench/compare/results.h"

#include <algorithm>
#include <cstdio>

#include "bench/harness/median.h"

namespace hakmem::bench {
namespace {

using Json = nlohmann::json;

// The figures of a child's report of which the medians are reported, and their names there.
struct Figure {
  char const* name;
  char const* pointer;
};
constexpr Figure kFigures[] = {
    {"cold_operations_per_second", "/cold/operations_per_second"},
    {"warm_operations_per_second", "/warm/operations_per_second"},
    {"cold_net_nanoseconds", "/cold/net_nanoseconds"},
    {"warm_net_nanoseconds", "/warm/net_nanoseconds"},
    {"cold_traps", "/cold/traps"},
    {"warm_traps", "/warm/traps"},
    {"cold_minflt", "/cold/minflt"},
    {"warm_minflt", "/warm/minflt"},
    {"cold_system_seconds", "/cold/system_seconds"},
    {"warm_system_seconds", "/warm/system_seconds"},
    {"process_minflt", "/process_minflt"},
    {"process_seconds", "/process_seconds"},
    {"process_system_seconds", "/process_system_seconds"},
    {"peak_rss_bytes", "/peak_rss_bytes"},
    {"start_rss_bytes", "/start_rss_bytes"},
    {"final_rss_bytes", "/final_rss_bytes"},
    {"times_the_kernel", "/times_the_kernel"},
};

std::optional<double> figure(Measured const& measured, char const* pointer) {
  return median(measured.reports, pointer);
}

std::optional<double> throughput(Measured const& measured) { return figure(measured, "/warm/operations_per_second"); }

double best_peer(CaseResult const& result) {
  double best = 0;
  for (Measured const& measured : result.measured) {
    if (measured.allocator.peer) best = std::max(best, throughput(measured).value_or(0));
  }
  return best;
}

std::optional<double> sum(std::optional<double> left, std::optional<double> right) {
  return left && right ? std::optional(*left + *right) : std::nullopt;
}

std::optional<double> scaled(std::optional<double> value, double factor) {
  return value ? std::optional(*value * factor) : std::nullopt;
}

std::string cell(std::optional<double> value, int width, int decimals) {
  char text[32];
  if (value) {
    std::snprintf(text, sizeof text, "%*.*f", width, decimals, *value);
  } else {
    std::snprintf(text, sizeof text, "%*s", width, "n/a");
  }
  return text;
}

// Throughput in millions a second; the slow scenarios need more digits.
std::string rate(std::optional<double> operations_per_second) {
  auto const millions = scaled(operations_per_second, 1e-6);
  return cell(millions, 10, millions.value_or(1) < 1 ? 4 : 2);
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

std::string row(Measured const& measured, double best) {
  std::string const name = padded(measured.allocator.name, 16);
  if (!measured.failure.empty()) return name + " failed: " + measured.failure + "\n";
  auto const of = [&](char const* pointer) { return figure(measured, pointer); };
  std::optional<double> const warm = throughput(measured);
  return name + rate(of("/cold/operations_per_second")) + rate(warm) +
         cell(best > 0 ? scaled(warm, 1 / best) : std::nullopt, 13, 2) + cell(of("/warm/net_nanoseconds"), 9, 2) +
         cell(scaled(of("/peak_rss_bytes"), 1.0 / (1 << 20)), 14, 2) +
         cell(sum(of("/cold/minflt"), of("/warm/minflt")), 10, 0) +
         cell(sum(of("/cold/traps"), of("/warm/traps")), 10, 0) + "\n";
}

}  // namespace

Json medians(std::vector<Json> const& reports) {
  Json result = Json::object();
  for (Figure const& entry : kFigures) {
    auto const value = median(reports, entry.pointer);
    result[entry.name] = value ? Json(*value) : Json(nullptr);
  }
  return result;
}

std::string to_text(CaseResult const& result) {
  std::string text = std::string("\n") + result.chosen.name + "\n" +
                     "allocator         cold M/s  warm M/s  x best peer   net ns  peak RSS MiB    minflt     traps\n";
  double const best = best_peer(result);
  for (Measured const& measured : result.measured) text += row(measured, best);
  return text;
}

Json to_json(CaseResult const& result) {
  double const best = best_peer(result);
  Json rows = Json::array();
  for (Measured const& measured : result.measured) {
    Json row = {{"allocator", measured.allocator.name}, {"peer", measured.allocator.peer},
                {"reports", measured.reports},          {"failure", measured.failure},
                {"median", medians(measured.reports)},  {"ratio_to_best_peer", nullptr}};
    auto const warm = throughput(measured);
    if (warm && best > 0) row["ratio_to_best_peer"] = *warm / best;
    rows.push_back(std::move(row));
  }
  return {{"case", result.chosen.name}, {"results", std::move(rows)}};
}

}  // namespace hakmem::bench
