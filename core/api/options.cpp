#include "core/api/options.h"

#include "core/base/geometry.h"
#include "core/base/kernels.h"

namespace hakmem {
namespace {

constexpr std::string_view kPrefix = "HAKMEM_";

// How an alternative says that it carries a number, and the largest one.
constexpr std::string_view kNumbered = ":N";
constexpr std::uint64_t kNumberMax = 0xffff'ffff;

consteval std::uint64_t count_choices(std::string_view choices) noexcept {
  std::uint64_t count = 1;
  for (char const character : choices) count += character == '|';
  return count;
}

consteval OptionType choice(std::string_view choices, std::uint64_t least_number = 0) noexcept {
  return {OptionType::Kind::kChoice, choices, 0, count_choices(choices) - 1, least_number};
}
consteval OptionType number(std::uint64_t min, std::uint64_t max) noexcept {
  return {OptionType::Kind::kNumber, {}, min, max};
}
consteval OptionType bytes(std::uint64_t min, std::uint64_t max) noexcept {
  return {OptionType::Kind::kBytes, {}, min, max};
}
consteval OptionType text() noexcept { return {OptionType::Kind::kText, {}, 0, ~std::uint64_t{0}}; }

// A field may be a number, an enumeration, a Numbered or a text: a word in each case.
#define HAKMEM_OPTION(name, field, type, help)                                                                   \
  Option{"HAKMEM_" #name, type, help, [](Settings const& from) noexcept { return (std::uint64_t)(from.field); }, \
         [](Settings& to, std::uint64_t value) noexcept { to.field = (decltype(to.field))(value); }},
constexpr Option kOptions[] = {
#include "core/api/options.def"
};
#undef HAKMEM_OPTION

// Cuts the text before the first `separator` off `rest` and returns it.
constexpr std::string_view cut(std::string_view& rest, char separator) noexcept {
  std::size_t length = 0;
  while (length < rest.size() && rest[length] != separator) ++length;
  std::string_view const head(rest.data(), length);
  rest.remove_prefix(length < rest.size() ? length + 1 : length);
  return head;
}

// The name at a position of "a|b|c".
constexpr std::string_view choice_at(std::string_view choices, std::uint64_t position) noexcept {
  std::string_view name = cut(choices, '|');
  while (position-- > 0) name = cut(choices, '|');
  return name;
}

constexpr unsigned suffix_shift(char suffix) noexcept {
  switch (suffix) {
    case 'k':
    case 'K':
      return 10;
    case 'm':
    case 'M':
      return 20;
    case 'g':
    case 'G':
      return 30;
    default:
      return 0;
  }
}

OptionValue parse_decimal(std::string_view text) noexcept {
  if (text.empty()) return {};
  std::uint64_t value = 0;
  for (char const character : text) {
    if (character < '0' || character > '9') return {};
    bool const overflowed = __builtin_mul_overflow(value, std::uint64_t{10}, &value) ||
                            __builtin_add_overflow(value, static_cast<std::uint64_t>(character - '0'), &value);
    if (overflowed) return {};
  }
  return {true, value};
}

OptionValue parse_bytes(std::string_view text) noexcept {
  unsigned const shift = text.empty() ? 0 : suffix_shift(text.back());
  if (shift > 0) text.remove_suffix(1);
  OptionValue const number_part = parse_decimal(text);
  auto const [value, overflowed] = kernels::multiply(number_part.value, std::uint64_t{1} << shift);
  return {number_part.valid && !overflowed, value};
}

OptionValue parse_choice(OptionType const& type, std::string_view text) noexcept {
  std::uint64_t position = 0;
  for (std::string_view rest = type.choices; !rest.empty(); ++position) {
    std::string_view name = cut(rest, '|');
    if (!name.ends_with(kNumbered)) {
      if (name == text) return {true, position};
      continue;
    }
    name.remove_suffix(1);
    if (!text.starts_with(name)) continue;
    OptionValue const number_part = parse_decimal(text.substr(name.size()));
    bool const in_range = number_part.value >= type.least_number && number_part.value <= kNumberMax;
    return {number_part.valid && in_range, position | number_part.value << 8};
  }
  OptionValue const plain = parse_decimal(text);
  bool const known = plain.valid && plain.value < position;
  bool const lacks_number = known && type.least_number > 0 && choice_at(type.choices, plain.value).ends_with(kNumbered);
  return {known && !lacks_number, plain.value};
}

// Domain: a default or a bound, which carries no number; of a text, none.
void write_value(TextWriter& out, OptionType const& type, std::uint64_t value) noexcept {
  if (type.kind == OptionType::Kind::kText) {
    out << "none";
    return;
  }
  if (type.kind == OptionType::Kind::kChoice) {
    out << choice_at(type.choices, value);
    return;
  }
  unsigned step = 0;
  while (type.kind == OptionType::Kind::kBytes && step < 3 && value != 0 && value % kKiB == 0) {
    value /= kKiB;
    ++step;
  }
  out << value;
  if (step > 0) out << " KMG"[step];
}

// "0 to 1024G", "off, populate or touch (or 0 to 2)".
void write_range(TextWriter& out, OptionType const& type) noexcept {
  bool const named = type.kind == OptionType::Kind::kChoice;
  if (named) {
    for (std::uint64_t position = 0; position <= type.max; ++position) {
      if (position > 0) out << (position == type.max ? " or " : ", ");
      out << choice_at(type.choices, position);
    }
    out << " (" << type.min << " to " << type.max << ')';
    return;
  }
  if (type.kind == OptionType::Kind::kText) {
    out << "any text";
    return;
  }
  write_value(out, type, type.min);
  out << " to ";
  write_value(out, type, type.max);
}

// Text of unknown origin on one line: bounded, and nothing that a terminal would act on.
void write_quoted(TextWriter& out, std::string_view text) noexcept {
  constexpr std::size_t kShown = 64;
  out << '"';
  for (std::size_t at = 0; at < text.size() && at < kShown; ++at)
    out << (text[at] >= ' ' && text[at] <= '~' ? text[at] : '?');
  out << (text.size() > kShown ? "...\"" : "\"");
}

Option const* find_option(std::string_view name) noexcept {
  for (Option const& option : kOptions)
    if (option.name == name) return &option;
  return nullptr;
}

void report_unknown(TextWriter& messages, std::string_view name) noexcept {
  messages << "hakmem: unknown option ";
  write_quoted(messages, name);
  messages << ", ignored; known are";
  char const* separator = " ";
  for (Option const& option : kOptions) {
    messages << separator << option.name;
    separator = ", ";
  }
  messages << '\n';
}

void report_malformed(TextWriter& messages, Option const& option, std::string_view text,
                      Settings const& settings) noexcept {
  messages << "hakmem: " << option.name << " is ";
  write_quoted(messages, text);
  messages << ", must be ";
  write_range(messages, option.type);
  messages << "; using the default, ";
  write_value(messages, option.type, option.get(settings));
  messages << '\n';
}

// What a level stands for. kHarden: the defaults.
Settings settings_of(Level level) noexcept {
  constexpr std::uint32_t kOneIn = 1000;
  Settings settings;
  settings.level = level;
  if (level == Level::kGuard) {
    settings.guard.choice = GuardPolicy::kSample;
    settings.guard.number = kOneIn;
    settings.quarantine_bytes = 0;
    settings.check.choice = CheckTime::kFree;
  } else if (level == Level::kFull) {
    settings.guard.choice = GuardPolicy::kAll;
    settings.stack_depth = 16;
    settings.fill_one_in = 1;
  }
  return settings;
}

// The level that an environment names, for all other options start from it.
Level level_of(char const* const* environment) noexcept {
  constexpr std::string_view kLevel = "HAKMEM_LEVEL";
  Settings settings;
  for (; environment && *environment; ++environment) {
    std::string_view text(*environment);
    if (cut(text, '=') != kLevel) continue;
    Option const& option = *find_option(kLevel);
    if (OptionValue const parsed = parse_option(option.type, text); parsed.valid) option.set(settings, parsed.value);
  }
  return settings.level;
}

}  // namespace

std::span<Option const> option_table() noexcept { return kOptions; }

OptionValue parse_option(OptionType const& type, std::string_view text) noexcept {
  OptionValue result{};
  switch (type.kind) {
    case OptionType::Kind::kChoice:
      return parse_choice(type, text);
    case OptionType::Kind::kText:
      return {!text.empty(), reinterpret_cast<std::uintptr_t>(text.data())};
    case OptionType::Kind::kNumber:
      result = parse_decimal(text);
      break;
    case OptionType::Kind::kBytes:
      result = parse_bytes(text);
      break;
  }
  return {result.valid && result.value >= type.min && result.value <= type.max, result.value};
}

Settings read_options(char const* const* environment, TextWriter& messages) noexcept {
  Settings settings = settings_of(level_of(environment));
  Settings const defaults = settings;
  for (; environment && *environment; ++environment) {
    std::string_view text(*environment);
    if (!text.starts_with(kPrefix)) continue;
    std::string_view const name = cut(text, '=');
    Option const* const option = find_option(name);
    if (!option) {
      report_unknown(messages, name);
      continue;
    }
    OptionValue const parsed = parse_option(option->type, text);
    if (parsed.valid)
      option->set(settings, parsed.value);
    else
      report_malformed(messages, *option, text, defaults);
  }
  return settings;
}

void write_option_help(TextWriter& out) noexcept {
  out << "hakmem: options (environment variables)\n";
  for (Option const& option : kOptions) {
    out << "  " << option.name;
    out.column(24) << option.help << "\n";
    out.column(24);
    write_range(out, option.type);
    out << "; default ";
    write_value(out, option.type, option.get(Settings{}));
    out << '\n';
  }
}

void write_option_markdown(TextWriter& out) noexcept {
  out << "# Options\n\n"
         "Environment variables, read once when the program first allocates, and ignored in set-user-ID programs\n"
         "(`AT_SECURE`). An unknown option or a value out of range is reported on standard error, and the default is\n"
         "used. Sizes take K, M or G. This page is generated from `core/api/options.def`.\n\n"
         "| option | range | default | what it does |\n|---|---|---|---|\n";
  for (Option const& option : kOptions) {
    out << "| `" << option.name << "` | ";
    write_range(out, option.type);
    out << " | ";
    write_value(out, option.type, option.get(Settings{}));
    out << " | " << option.help << " |\n";
  }
}

}  // namespace hakmem
