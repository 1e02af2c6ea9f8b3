#include "tools/hak/faults/report.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace hakmem::tools {
namespace {

constexpr std::size_t kMostFunctions = 15;

template <typename Key>
using Counts = std::map<Key, std::uint64_t>;

template <typename Key, typename Select>
Counts<Key> summed(FaultCounts const& counts, Select select) {
  Counts<Key> result;
  for (auto const& [key, count] : counts) result[select(key)] += count;
  return result;
}

template <typename Key>
std::vector<std::pair<Key, std::uint64_t>> most_first(Counts<Key> const& counts) {
  std::vector<std::pair<Key, std::uint64_t>> result(counts.begin(), counts.end());
  std::stable_sort(result.begin(), result.end(),
                   [](auto const& left, auto const& right) { return left.second > right.second; });
  return result;
}

std::uint64_t total(FaultCounts const& counts) {
  std::uint64_t sum = 0;
  for (auto const& [key, count] : counts) sum += count;
  return sum;
}

Counts<Place> by_place(FaultReport const& report) {
  return summed<Place>(report.counts, [](auto const& key) { return key.first; });
}

Counts<Function> by_function(FaultReport const& report) {
  return summed<Function>(report.counts, [](auto const& key) { return key.second; });
}

std::string detail_of(Place const& place) {
  if (place.block_bytes != 0) return "blocks of " + std::to_string(place.block_bytes) + " bytes";
  return place.detail;
}

std::string name_of(Function const& function) {
  std::string const object = std::filesystem::path(function.object).filename();
  return function.name.empty() ? "(" + object + ")" : function.name + " (" + object + ")";
}

std::string row(std::string const& name, std::uint64_t count, std::uint64_t all, std::string const& note = "") {
  char figures[64];
  std::snprintf(figures, sizeof figures, "%10llu %6.1f %%  ", static_cast<unsigned long long>(count),
                100.0 * static_cast<double>(count) / static_cast<double>(std::max<std::uint64_t>(all, 1)));
  return figures + name + (note.empty() ? "" : "  -> " + note) + "\n";
}

std::string places_text(FaultReport const& report, std::uint64_t all) {
  auto const uses = summed<Use>(report.counts, [](auto const& key) { return key.first.use; });
  Counts<Place> const places = by_place(report);
  std::string text = "\n    faults        memory\n";
  for (auto const& [use, count] : uses) {
    text += row(title_of(use), count, all);
    for (auto const& [place, part] : places) {
      if (place.use == use && !detail_of(place).empty()) text += row("  " + detail_of(place), part, all);
    }
  }
  return text;
}

// The use of memory that most faults of a function were for.
std::string main_use(FaultReport const& report, Function const& function) {
  Counts<Use> uses;
  for (auto const& [key, count] : report.counts) {
    if (key.second == function) uses[key.first.use] += count;
  }
  auto const ranked = most_first(uses);
  return std::string(ranked.size() > 1 ? "mostly " : "") + title_of(ranked.front().first);
}

std::string functions_text(FaultReport const& report, std::uint64_t all) {
  auto const ranked = most_first(by_function(report));
  std::string text = "\n    faults        function -> memory\n";
  std::uint64_t rest = 0;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    auto const& [function, count] = ranked[i];
    if (i < kMostFunctions) {
      text += row(name_of(function), count, all, main_use(report, function));
    } else {
      rest += count;
    }
  }
  return rest == 0 ? text : text + row("others", rest, all);
}

nlohmann::json place_json(Place const& place) {
  nlohmann::json json = {{"memory", title_of(place.use)}, {"block_bytes", nullptr}, {"detail", place.detail}};
  if (place.block_bytes != 0) json["block_bytes"] = place.block_bytes;
  return json;
}

nlohmann::json function_json(Function const& function) {
  return {{"function", function.name}, {"object", function.object}};
}

nlohmann::json with_count(nlohmann::json json, std::uint64_t count) {
  json["faults"] = count;
  return json;
}

}  // namespace

std::string to_text(FaultReport const& report) {
  std::uint64_t const all = total(report.counts);
  std::string text = "page faults of";
  for (std::string const& word : report.command) text += " " + word;
  text += ": " + std::to_string(all) + "\n";
  if (report.lost > 0) text += std::to_string(report.lost) + " more were lost: the ring buffers were full\n";
  if (!report.sees_kernel)
    text += "faults inside system calls are not seen: the kernel does not show them to this user\n";
  return text + places_text(report, all) + functions_text(report, all);
}

nlohmann::json to_json(FaultReport const& report) {
  nlohmann::json json = {{"command", report.command},
                         {"exit_status", report.exit_status},
                         {"faults", total(report.counts)},
                         {"lost", report.lost},
                         {"inside_system_calls", report.sees_kernel},
                         {"memory", nlohmann::json::array()},
                         {"functions", nlohmann::json::array()},
                         {"counts", nlohmann::json::array()}};
  for (auto const& [place, count] : by_place(report)) json["memory"].push_back(with_count(place_json(place), count));
  for (auto const& [function, count] : most_first(by_function(report)))
    json["functions"].push_back(with_count(function_json(function), count));
  for (auto const& [key, count] : report.counts) {
    nlohmann::json both = place_json(key.first);
    both.update(function_json(key.second));
    json["counts"].push_back(with_count(std::move(both), count));
  }
  return json;
}

}  // namespace hakmem::tools
