// The option parser: an environment of one entry a line. Oracle: a second reading of the same table - what one entry
// alone sets is what the whole environment sets, values are in range, every message is a printable line, and whatever
// is wrong leaves its default in place.
#include <algorithm>
#include <string_view>
#include <vector>

#include "core/api/options.h"
#include "fuzz/surface.h"

namespace hakmem::fuzz {
namespace {

using testing::require;

constexpr std::string_view kPrefix = "HAKMEM_";

std::vector<std::string> entries_of(Input input) {
  std::vector<std::string> entries(1);
  for (std::uint8_t const byte : input) {
    if (byte == '\n')
      entries.emplace_back();
    else if (byte != 0)
      entries.back() += static_cast<char>(byte);
  }
  return entries;
}

struct Reading {
  Settings settings;
  std::string messages;
};

Reading read(std::vector<std::string> const& entries) {
  std::vector<char const*> environment;
  for (std::string const& entry : entries) environment.push_back(entry.c_str());
  environment.push_back(nullptr);
  Reading reading;
  TextWriter messages([](void* context, char const* text,
                         std::size_t bytes) { static_cast<std::string*>(context)->append(text, bytes); },
                      &reading.messages);
  reading.settings = read_options(environment.data(), messages);
  messages.flush();
  return reading;
}

void check_messages(std::string const& messages, std::size_t entries) {
  require(messages.empty() || messages.ends_with('\n'), "a message does not end its line");
  require(static_cast<std::size_t>(std::count(messages.begin(), messages.end(), '\n')) <= entries,
          "more lines than entries");
  for (char const character : messages)
    require(character == '\n' || (character >= ' ' && character <= '~'), "a message has bytes that do not print");
}

bool is_text(Option const& option) { return option.type.kind == OptionType::Kind::kText; }

// What is set where an environment does not set it: what the entries of the level alone make of it.
Settings unset(std::vector<std::string> const& entries) {
  std::vector<std::string> levels;
  for (std::string const& entry : entries)
    if (entry.starts_with("HAKMEM_LEVEL=")) levels.push_back(entry);
  return read(levels).settings;
}

// What an option must have after the environment: the value of its last valid entry.
std::uint64_t expected(Option const& option, std::vector<std::string> const& entries) {
  std::uint64_t value = option.get(unset(entries));
  for (std::string_view const entry : entries) {
    std::size_t const equals = std::min(entry.find('='), entry.size());
    if (entry.substr(0, equals) != option.name) continue;
    OptionValue const parsed = parse_option(option.type, entry.substr(std::min(equals + 1, entry.size())));
    if (parsed.valid) value = parsed.value;
  }
  return value;
}

void check_option(Option const& option, Reading const& reading, std::vector<std::string> const& entries) {
  std::uint64_t const value = option.get(reading.settings);
  bool const choice = option.type.kind == OptionType::Kind::kChoice;
  std::uint64_t const number = choice ? value & 0xff : value;
  if (is_text(option)) {
    auto const* const text = reinterpret_cast<char const*>(value);
    auto const is_tail = [text](std::string const& entry) {
      return text >= entry.data() && text <= entry.data() + entry.size();
    };
    require(!text || std::any_of(entries.begin(), entries.end(), is_tail), "a text is not of the environment");
    return;
  }
  require(number >= option.type.min && number <= option.type.max, "a value is out of range");
  require(value == expected(option, entries), "an option has not the value of its last valid entry");
}

// Seeded: 1 the parser sees other digits; 2 messages are not looked at by the writer.
void check(Input input, unsigned seeded) {
  std::vector<std::string> const entries = entries_of(input);
  std::vector<std::string> seen = entries;
  for (std::string& entry : seen)
    if (seeded == 1 && entry.starts_with(kPrefix) && !entry.empty() && entry.back() == '1') entry.back() = '2';
  Reading reading = read(seeded == 1 ? seen : entries);
  if (seeded == 2 && !reading.messages.empty()) reading.messages.insert(0, "\x1b[2J");
  check_messages(reading.messages, entries.size());
  for (Option const& option : option_table())
    if (seeded != 1 || !is_text(option)) check_option(option, reading, entries);
}

std::string print(Input input) {
  std::string text;
  for (std::string const& entry : entries_of(input)) text += "export '" + entry + "'\n";
  return text;
}

}  // namespace

Surface const surface{"options", false, &check, 2, &print};

}  // namespace hakmem::fuzz
