#include "tools/hak/symbolize/symbolize.h"

#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

namespace hakmem::tools {
namespace {

struct Place {
  std::string path;
  std::uint64_t offset = 0;
  std::string build_id;   // empty: not told
  std::string_view told;  // the text without a function that may follow
};

std::optional<Place> parse_place(std::string_view text) {
  constexpr std::string_view kBuildId = " (build-id ";
  std::size_t const id = text.find(kBuildId);
  std::string_view const head = text.substr(0, id);
  std::size_t const plus = head.rfind("+0x");
  if (!text.starts_with('/') || plus == std::string_view::npos) return std::nullopt;
  Place place{.path = std::string(head.substr(0, plus)), .offset = 0, .build_id = {}, .told = head};
  char const* const end = head.data() + head.size();
  auto const [stop, error] = std::from_chars(head.data() + plus + 3, end, place.offset, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  if (id == std::string_view::npos) return place;
  std::size_t const close = text.find(')', id);
  if (close == std::string_view::npos) return std::nullopt;
  place.build_id = text.substr(id + kBuildId.size(), close - id - kBuildId.size());
  place.told = text.substr(0, close + 1);
  return place;
}

// The place in a line "    #1 0xADDRESS PLACE"; empty: it is another line.
std::string_view place_in(std::string_view line) {
  std::size_t const number = line.find_first_not_of(' ');
  if (number == std::string_view::npos || line[number] != '#') return {};
  std::size_t const address = line.find(" 0x", number);
  std::size_t const place = address == std::string_view::npos ? address : line.find(" /", address + 1);
  return place == std::string_view::npos ? std::string_view() : line.substr(place + 1);
}

}  // namespace

std::string Symbolizer::place(std::string_view text, bool returns) {
  auto const place = parse_place(text);
  std::error_code ignored;
  if (!place || !std::filesystem::is_regular_file(place->path, ignored)) return std::string(text);
  ElfImage& image = images_.get(place->path);
  std::string const told(place->told);
  if (std::string const id = image.build_id(); !place->build_id.empty() && id != place->build_id)
    return told + " (the file there is another: build-id " + (id.empty() ? "none" : id) + ")";
  auto const address = image.address_of_offset(place->offset);
  if (!address || *address == 0) return std::string(text);
  std::uint64_t const looked_up = *address - (returns ? 1 : 0);
  std::string const function = image.function_at(looked_up), source = image.source_at(looked_up);
  if (function.empty() && source.empty()) return std::string(text);
  return told + " in " + (function.empty() ? "?" : function) + (source.empty() ? "" : " " + source);
}

std::string Symbolizer::json(std::string const& line) {
  nlohmann::ordered_json report = nlohmann::ordered_json::parse(line, nullptr, false);
  if (!report.is_object()) return line;
  auto const message = report.find("message");
  std::string const text = message != report.end() && message->is_string() ? message->get<std::string>() : "";
  bool const fault = text.find(": read ") != std::string::npos || text.find(": write ") != std::string::npos;
  for (char const* const name : {"stack", "allocated", "freed"}) {
    auto const stack = report.find(name);
    if (stack == report.end() || !stack->is_array()) continue;
    bool returns = !fault || name != std::string_view("stack");
    for (auto& frame : *stack) {
      if (frame.is_string()) frame = place(frame.get<std::string>(), returns);
      returns = true;
    }
  }
  return report.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string Symbolizer::line(std::string const& line) {
  if (line.starts_with('{')) return json(line);
  std::string_view const frame = place_in(line);
  if (frame.empty()) {
    faulted_ = line.starts_with("  accessed");
    return line;
  }
  std::string const before = line.substr(0, line.size() - frame.size());
  bool const first = before.find("#0 ") != std::string::npos;
  return before + place(frame, !(faulted_ && first));
}

}  // namespace hakmem::tools
