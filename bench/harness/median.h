// What it owns: the median of one figure over the JSON reports of repeated runs.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace hakmem::bench {

// `pointer` is a JSON pointer into each report; nullopt if a report does not have the figure.
inline std::optional<double> median(std::vector<nlohmann::json> const& reports, std::string const& pointer) {
  nlohmann::json::json_pointer const place(pointer);
  std::vector<double> values;
  for (nlohmann::json const& report : reports) {
    if (!report.contains(place) || !report.at(place).is_number()) return std::nullopt;
    values.push_back(report.at(place).get<double>());
  }
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  std::size_t const middle = values.size() / 2;
  return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace hakmem::bench
