// What it owns: the HAKMEM_* environment variables - what each may be, and how a process's
// environment becomes Settings. The table itself is core/api/options.def.
// Invariants: nothing here allocates or reads anything but its arguments; whatever the text is,
// the result is valid Settings.
// Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/api/text_writer.h"
#include "core/base/settings.h"

namespace hakmem {

// The values that an option may take.
struct OptionType {
  enum class Kind : std::uint8_t { kChoice, kNumber, kBytes, kText };
  Kind kind;
  // "a|b|c": a value is a position; of "b:N", the position and from bit 8 on the number; other kinds: empty.
  std::string_view choices;
  std::uint64_t min;
  std::uint64_t max;
  std::uint64_t least_number = 0;  // of "b:N"
};

struct Option {
  std::string_view name;  // with the prefix HAKMEM_
  OptionType type;
  std::string_view help;
  std::uint64_t (*get)(Settings const&) noexcept;
  void (*set)(Settings&, std::uint64_t) noexcept;
};

struct OptionValue {
  bool valid = false;
  std::uint64_t value = 0;  // says nothing unless valid
};

std::span<Option const> option_table() noexcept;

// The value that `text` stands for; not valid when it is malformed or out of range.
OptionValue parse_option(OptionType const& type, std::string_view text) noexcept;

// Settings from an environment: a null-terminated array of "NAME=value", or null. Each unknown or
// malformed HAKMEM_* entry is reported as one line and leaves the default in place.
Settings read_options(char const* const* environment, TextWriter& messages) noexcept;

// The table for people: HAKMEM_HELP=1, and docs/options.md.
void write_option_help(TextWriter& out) noexcept;
void write_option_markdown(TextWriter& out) noexcept;

}  // namespace hakmem
