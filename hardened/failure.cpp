#include "hardened/failure.h"

#include <atomic>
#include <string_view>

#include "hardened/entropy.h"

namespace hakmem::hardened {
namespace {

constexpr std::uint32_t kBillion = 1'000'000'000;

// protocol: written by start_failures(), while no other thread allocates; `there_is_a_plan` last.
constinit FailurePlan current;
constinit char token[kTokenBytes];
// protocol: any thread adds; the result of the addition numbers the request, nothing else is ordered.
constinit std::atomic<std::uint64_t> requests{0};
constinit std::atomic<std::uint64_t> refused{0};

bool take_prefix(std::string_view& text, std::string_view prefix) noexcept {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Cuts the text before the first `separator` off `rest`; false: there is none, and all is cut off.
bool cut(std::string_view& rest, char separator, std::string_view& head) noexcept {
  std::size_t const at = rest.find(separator);
  bool const found = at != std::string_view::npos;
  head = {rest.data(), found ? at : rest.size()};
  rest.remove_prefix(found ? at + 1 : rest.size());
  return found;
}

// A decimal number of 64 bits that takes all of `text`.
bool parse_number(std::string_view text, std::uint64_t& value) noexcept {
  if (text.empty()) return false;
  std::uint64_t sum = 0;
  for (char const character : text) {
    if (character < '0' || character > '9') return false;
    auto const digit = static_cast<std::uint64_t>(character - '0');
    if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum)) return false;
  }
  value = sum;
  return true;
}

bool parse_size(std::string_view text, std::uint64_t& value) noexcept {
  unsigned shift = 0;
  if (text.ends_with('K')) shift = 10;
  if (text.ends_with('M')) shift = 20;
  if (text.ends_with('G')) shift = 30;
  if (shift != 0) text.remove_suffix(1);
  std::uint64_t units = 0;
  if (!parse_number(text, units) || units > (~std::uint64_t{0} >> shift)) return false;
  value = units << shift;
  return true;
}

// "0.25", "1", "1.0": in billionths.
bool parse_share(std::string_view text, std::uint64_t& value) noexcept {
  std::string_view whole;
  bool const pointed = cut(text, '.', whole);
  std::uint64_t units = 0, fraction = 0;
  if (!parse_number(whole, units) || units > 1) return false;
  if (pointed && (text.size() > 9 || !parse_number(text, fraction))) return false;
  for (std::size_t digits = text.size(); digits < 9; ++digits) fraction *= 10;
  value = units * kBillion + fraction;
  return value <= kBillion;
}

bool parse_clause(std::string_view clause, FailurePlan& plan) noexcept {
  using Kind = FailurePlan::Kind;
  if (take_prefix(clause, "size>=")) return parse_size(clause, plan.least);
  if (take_prefix(clause, "seed:")) return parse_number(clause, plan.seed) && plan.seed != 0;
  if (plan.kind != Kind::kNone) return false;
  if (take_prefix(clause, "rate:")) {
    plan.kind = Kind::kRate;
    return parse_share(clause, plan.number);
  }
  plan.kind = clause.starts_with('n') ? Kind::kNth : Kind::kEvery;
  return (take_prefix(clause, "nth:") || take_prefix(clause, "every:")) && parse_number(clause, plan.number) &&
         plan.number != 0;
}

bool takes(FailurePlan const& plan, std::uint64_t number) noexcept {
  switch (plan.kind) {
    case FailurePlan::Kind::kNth:
      return number == plan.number;
    case FailurePlan::Kind::kEvery:
      return number % plan.number == 0;
    case FailurePlan::Kind::kRate:
      return mix(number ^ 0x9e3779b97f4a7c15, plan.seed * 0xbf58476d1ce4e5b9 | 1) % kBillion < plan.number;
    default:
      return true;
  }
}

}  // namespace

bool parse_failure_plan(char const* text, FailurePlan& plan) noexcept {
  FailurePlan parsed;
  std::string_view rest(text);
  bool sized = false;
  for (bool more = true; more;) {
    std::string_view clause;
    more = cut(rest, ',', clause);
    if (!parse_clause(clause, parsed)) return false;
    sized |= clause.starts_with("size>=");
  }
  if (parsed.kind == FailurePlan::Kind::kNone) {
    if (!sized) return false;
    parsed.kind = FailurePlan::Kind::kAll;
  }
  plan = parsed;
  return true;
}

void write_plan(Text& out, FailurePlan const& plan) noexcept {
  using Kind = FailurePlan::Kind;
  if (plan.kind == Kind::kNth) out << "nth:" << plan.number;
  if (plan.kind == Kind::kEvery) out << "every:" << plan.number;
  if (plan.kind == Kind::kRate) {
    out << "rate:" << plan.number / kBillion << '.';
    for (std::uint64_t unit = kBillion / 10; unit != 0; unit /= 10) out << plan.number / unit % 10;
  }
  if (plan.kind != Kind::kAll && plan.least != 0) out << ',';
  if (plan.kind == Kind::kAll || plan.least != 0) out << "size>=" << plan.least;
  if (plan.kind == Kind::kRate && plan.seed != 0) out << ",seed:" << plan.seed;
}

void start_failures(FailurePlan plan) noexcept {
  there_is_a_plan.store(false, std::memory_order_release);
  if (plan.kind == FailurePlan::Kind::kRate && plan.seed == 0) plan.seed = random_below(kBillion) + 1;
  current = plan;
  requests.store(0, std::memory_order_relaxed);
  refused.store(0, std::memory_order_relaxed);
  Text text(token, kTokenBytes - 1);
  if (plan.kind != FailurePlan::Kind::kNone) write_plan(text << "HAKMEM_FAIL=", plan);
  token[text.size()] = '\0';
  there_is_a_plan.store(plan.kind != FailurePlan::Kind::kNone, std::memory_order_release);
}

bool refuses(std::size_t bytes) noexcept {
  if (!there_is_a_plan.load(std::memory_order_acquire) || bytes < current.least) [[likely]]
    return false;
  std::uint64_t const number = requests.fetch_add(1, std::memory_order_relaxed) + 1;
  if (!takes(current, number)) return false;
  refused.fetch_add(1, std::memory_order_relaxed);
  return true;
}

FailureCounts failure_counts() noexcept {
  return {requests.load(std::memory_order_relaxed), refused.load(std::memory_order_relaxed)};
}

char const* failure_token() noexcept { return token; }

}  // namespace hakmem::hardened
