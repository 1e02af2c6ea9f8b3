// The option table: what each text means, what is reported, and that docs/options.md is the table.
#include "core/api/options.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "core/os/linux.h"

namespace hakmem {
namespace {

void append(void* text, char const* piece, std::size_t bytes) noexcept {
  static_cast<std::string*>(text)->append(piece, bytes);
}

struct Reading {
  Settings settings;
  std::string messages;
};

Reading read(std::vector<char const*> environment) {
  environment.push_back(nullptr);
  Reading result;
  TextWriter messages(&append, &result.messages);
  result.settings = read_options(environment.data(), messages);
  messages.flush();
  return result;
}

bool operator==(Settings const& left, Settings const& right) {
  for (Option const& option : option_table())
    if (option.get(left) != option.get(right)) return false;
  return true;
}

OptionType type_of(std::string_view name) {
  for (Option const& option : option_table())
    if (option.name == name) return option.type;
  ADD_FAILURE() << "no option " << name;
  return {};
}

TEST(ApiOptions, environment_without_ours_gives_defaults_and_no_message) {
  EXPECT_TRUE(read({"PATH=/bin", "HAKME=1", "XHAKMEM_STATS=1"}).settings == Settings{});
  EXPECT_EQ(read({"PATH=/bin", "HAKME=1", "XHAKMEM_STATS=1"}).messages, "");
  TextWriter none(&append, nullptr);
  EXPECT_TRUE(read_options(nullptr, none) == Settings{});
}

TEST(ApiOptions, every_option_takes_effect) {
  Reading const result = read({"HAKMEM_SS_PREFAULT=populate", "HAKMEM_HUGE=advise", "HAKMEM_PURGE_MS=20",
                               "HAKMEM_WARMUP=64M", "HAKMEM_LARGE_CACHE=1G", "HAKMEM_STATS=json", "HAKMEM_HELP=1"});
  EXPECT_EQ(result.messages, "");
  EXPECT_EQ(result.settings.prefault, PrefaultPolicy::kPopulate);
  EXPECT_EQ(result.settings.huge, HugePolicy::kAdvise);
  EXPECT_EQ(result.settings.purge_delay_ms, 20u);
  EXPECT_EQ(result.settings.warmup_bytes, std::size_t{64} << 20);
  EXPECT_EQ(result.settings.large_cache_bytes, std::size_t{1} << 30);
  EXPECT_EQ(result.settings.stats_at_exit, StatsReport::kJson);
  EXPECT_TRUE(result.settings.help_at_start);
}

TEST(ApiOptions, a_level_stands_for_options_and_gives_way_to_them) {
  Settings const guard = read({"HAKMEM_LEVEL=guard"}).settings;
  EXPECT_EQ(guard.guard.choice, GuardPolicy::kSample);
  EXPECT_EQ(guard.guard.number, 1000u);
  EXPECT_EQ(guard.quarantine_bytes, 0u);
  EXPECT_EQ(guard.check.choice, CheckTime::kFree);
  EXPECT_TRUE(read({"HAKMEM_LEVEL=harden"}).settings == Settings{});
  Settings const full = read({"HAKMEM_LEVEL=full"}).settings;
  EXPECT_EQ(full.guard.choice, GuardPolicy::kAll);
  EXPECT_EQ(full.stack_depth, 16u);
  EXPECT_EQ(full.fill_one_in, 1u);
  for (auto const& order : {std::vector{"HAKMEM_LEVEL=full", "HAKMEM_GUARD=sample:7"},
                            std::vector{"HAKMEM_GUARD=sample:7", "HAKMEM_LEVEL=full"}}) {
    Settings const settings = read(order).settings;
    EXPECT_EQ(settings.guard.number, 7u);
    EXPECT_EQ(settings.stack_depth, 16u);
  }
  EXPECT_EQ(read({"HAKMEM_LEVEL=full", "HAKMEM_STACKS=many"}).messages,
            "hakmem: HAKMEM_STACKS is \"many\", must be 0 to 16; using the default, 16\n");
  EXPECT_EQ(read({"HAKMEM_LEVEL=some"}).messages,
            "hakmem: HAKMEM_LEVEL is \"some\", must be guard, harden or full (0 to 2); using the default, harden\n");
}

TEST(ApiOptions, unknown_option_is_named_with_those_that_exist) {
  Reading const result = read({"HAKMEM_NO_SUCH=1", "HAKMEM_STATS=1"});
  EXPECT_EQ(result.messages.find("hakmem: unknown option \"HAKMEM_NO_SUCH\", ignored; known are HAKMEM_SS_PREFAULT, "),
            0u)
      << result.messages;
  EXPECT_EQ(result.messages.find('\n'), result.messages.size() - 1);
  EXPECT_EQ(result.settings.stats_at_exit, StatsReport::kText);
}

TEST(ApiOptions, malformed_value_is_named_with_the_range_and_the_default_stays) {
  EXPECT_EQ(read({"HAKMEM_SS_PREFAULT=banana"}).messages,
            "hakmem: HAKMEM_SS_PREFAULT is \"banana\", must be off, populate, touch, ahead or background (0 to 4); "
            "using the default, ahead\n");
  EXPECT_EQ(read({"HAKMEM_PURGE_MS=3600001"}).messages,
            "hakmem: HAKMEM_PURGE_MS is \"3600001\", must be 0 to 3600000; using the default, 500\n");
  EXPECT_EQ(read({"HAKMEM_LARGE_CACHE=2000G"}).messages,
            "hakmem: HAKMEM_LARGE_CACHE is \"2000G\", must be 0 to 1024G; using the default, 64M\n");
  EXPECT_TRUE(read({"HAKMEM_SS_PREFAULT=banana", "HAKMEM_PURGE_MS=3600001"}).settings == Settings{});
}

TEST(ApiOptions, hostile_value_is_shown_on_one_bounded_line) {
  std::string const entry = "HAKMEM_HUGE=\x1b[31m\n" + std::string(100'000, 'x');
  std::string const messages = read({entry.c_str()}).messages;
  EXPECT_LT(messages.size(), 300u);
  EXPECT_EQ(messages.find('\n'), messages.size() - 1);
  EXPECT_EQ(messages.find('\x1b'), std::string::npos);
}

TEST(ApiOptions, a_value_is_shown_up_to_its_sixty_fourth_character) {
  for (std::size_t const length : {63u, 64u, 65u, 66u}) {
    std::string const shown = length > 64 ? std::string(64, 'x') + "..." : std::string(length, 'x');
    EXPECT_EQ(read({("HAKMEM_HUGE=" + std::string(length, 'x')).c_str()}).messages,
              "hakmem: HAKMEM_HUGE is \"" + shown +
                  "\", must be never, advise, collapse or hugetlb (0 to 3); using the default, never\n");
  }
  EXPECT_EQ(read({"HAKMEM_HUGE=\x1f ~\x7f"}).messages.find("hakmem: HAKMEM_HUGE is \"? ~?\", "), 0u);
}

TEST(ApiOptions, help_has_two_lines_for_each_option_in_columns) {
  std::string help;
  {
    TextWriter out(&append, &help);
    write_option_help(out);
  }
  std::istringstream lines(help);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "hakmem: options (environment variables)");
  for (Option const& option : option_table()) {
    std::string first = "  " + std::string(option.name);
    first.resize(std::max<std::size_t>(first.size(), 24), ' ');
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_EQ(line, first + std::string(option.help));
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_EQ(line.find_first_not_of(' '), 24u) << line;
    EXPECT_NE(line.find("; default "), std::string::npos) << line;
  }
  EXPECT_FALSE(std::getline(lines, line)) << line;
}

TEST(ApiOptions, choices_are_names_or_positions) {
  OptionType const type = type_of("HAKMEM_SS_PREFAULT");
  EXPECT_EQ(parse_option(type, "background").value, 4u);
  EXPECT_EQ(parse_option(type, "4").value, 4u);
  for (char const* good : {"off", "populate", "touch", "ahead", "background", "0", "1", "2", "3", "4"})
    EXPECT_TRUE(parse_option(type, good).valid) << good;
  for (char const* bad : {"", "5", "-1", "Off", "of", "offf", "off|populate", "|", " off", "1 ", "0x1", "1K"})
    EXPECT_FALSE(parse_option(type, bad).valid) << bad;
}

TEST(ApiOptions, a_sample_is_one_in_a_number_from_one_on) {
  for (char const* name : {"HAKMEM_GUARD", "HAKMEM_CHECK"}) {
    OptionType const type = type_of(name);
    std::string const word = name == std::string("HAKMEM_GUARD") ? "sample" : "every";
    EXPECT_TRUE(parse_option(type, word + ":1").valid);
    EXPECT_EQ(parse_option(type, word + ":4294967295").value >> 8, 4294967295u);
    for (char const* bad : {":0", ":", "", ":-1", ":4294967296", ":1x"})
      EXPECT_FALSE(parse_option(type, word + bad).valid) << bad;
    EXPECT_FALSE(parse_option(type, "2").valid) << "a position without the number";
  }
  EXPECT_EQ(read({"HAKMEM_GUARD=sample:0"}).messages,
            "hakmem: HAKMEM_GUARD is \"sample:0\", must be off, all or sample:N (0 to 2); using the default, off\n");
  EXPECT_TRUE(parse_option(type_of("HAKMEM_ON_ERROR"), "exit:0").valid);
}

TEST(ApiOptions, sizes_take_binary_suffixes_and_never_wrap) {
  OptionType const type = type_of("HAKMEM_WARMUP");
  struct Case {
    char const* text;
    bool valid;
    std::uint64_t value;
  };
  for (Case const& expected :
       {Case{"0", true, 0}, Case{"1", true, 1}, Case{"3K", true, 3072}, Case{"3k", true, 3072},
        Case{"2M", true, 2 << 20}, Case{"2m", true, 2 << 20}, Case{"1G", true, 1 << 30}, Case{"1g", true, 1 << 30},
        Case{"007", true, 7}, Case{"1024G", true, std::uint64_t{1} << 40}}) {
    OptionValue const parsed = parse_option(type, expected.text);
    EXPECT_EQ(parsed.valid, expected.valid) << expected.text;
    EXPECT_EQ(parsed.value, expected.value) << expected.text;
  }
  for (char const* bad : {"", "K", "1KK", "K1", "1T", "1 K", "+1", "-1", "1.5M", "1025G", "18446744073709551616",
                          "184467440737095516150", "18446744073709551615G", "17179869184G"})
    EXPECT_FALSE(parse_option(type, bad).valid) << bad;
}

TEST(ApiOptions, nothing_is_read_of_an_empty_value) {
  std::size_t const page = Linux::page_bytes();
  auto* const pages = static_cast<char*>(Linux::map(nullptr, 2 * page, MapKind::kNormal).address);
  ASSERT_TRUE(Linux::protect_none(pages + page, page).ok());
  for (Option const& option : option_table())
    EXPECT_FALSE(parse_option(option.type, std::string_view(pages + page, 0)).valid) << option.name;
  Linux::unmap(pages, 2 * page);
}

// All texts of up to four characters of this alphabet: what is accepted is in range, and is the
// number that it reads as.
TEST(ApiOptions, accepted_values_are_in_range_for_all_short_texts) {
  std::string const alphabet = "0129KMGkg|-. of";
  for (Option const& option : option_table()) {
    std::vector<std::string> texts{""};
    for (std::size_t at = 0; at < texts.size(); ++at) {
      OptionValue const parsed = parse_option(option.type, texts[at]);
      if (parsed.valid) {
        EXPECT_GE(parsed.value, option.type.min) << option.name << '=' << texts[at];
        EXPECT_LE(parsed.value, option.type.max) << option.name << '=' << texts[at];
        char* end = nullptr;
        unsigned long long const number = std::strtoull(texts[at].c_str(), &end, 10);
        bool const plain = *end == '\0' && option.type.kind != OptionType::Kind::kText;
        if (plain) {
          EXPECT_EQ(parsed.value, number) << option.name << '=' << texts[at];
        }
      }
      if (texts[at].size() < 4)
        for (char const character : alphabet) texts.push_back(texts[at] + character);
    }
  }
}

TEST(ApiOptions, table_is_small_and_each_default_is_in_its_range) {
  EXPECT_LE(option_table().size(), 21u);
  for (Option const& option : option_table()) {
    EXPECT_LE(option.get(Settings{}), option.type.max) << option.name;
    EXPECT_GE(option.get(Settings{}), option.type.min) << option.name;
    EXPECT_EQ(option.help.find('\n'), std::string_view::npos) << option.name;
  }
}

TEST(ApiOptions, options_page_is_the_table) {
  std::string expected;
  {
    TextWriter out(&append, &expected);
    write_option_markdown(out);
  }
  std::stringstream actual;
  actual << std::ifstream(OPTIONS_PAGE).rdbuf();
  if (actual.str() != expected) std::ofstream("options.md") << expected;
  EXPECT_EQ(actual.str(), expected) << "docs/options.md is out of date; the right text is in options.md here";
}

}  // namespace
}  // namespace hakmem
