#include "bench/compare/cases.h"

#include <sstream>

namespace hakmem::bench {
namespace {

constexpr Case kCases[] = {
    {"random-mixed-256", "random-mixed", 40'000'000, "256 42", true},
    {"random-mixed-8192", "random-mixed", 32'000'000, "8192 42", true},
    {"random-mixed-200000", "random-mixed", 16'000'000, "200000 42", true},
    {"random-mixed-2-threads-20-remote", "random-mixed", 20'000'000, "256 42 --threads 2 --remote 20", true},
    {"random-mixed-2-threads-all-remote", "random-mixed", 16'000'000, "256 42 --threads 2 --remote 100", false},
    {"larson", "larson", 4'000'000, "--threads 2", false},
    {"producer-consumer", "producer-consumer", 8'000'000, "--pairs 1", false},
    {"grow", "grow", 256, "", false},
    {"large", "large", 8'000, "", false},
    {"burst-idle", "burst-idle", 64, "", false},
    {"containers", "containers", 2'000'000, "", false},
};

constexpr std::uint64_t kQuickDivisor = 4;

}  // namespace

std::span<Case const> all_cases() { return kCases; }

std::vector<std::string> arguments_of(Case const& chosen, bool quick) {
  std::uint64_t const amount = quick ? chosen.amount / kQuickDivisor : chosen.amount;
  std::vector<std::string> words = {chosen.scenario, std::to_string(amount)};
  std::istringstream rest(chosen.arguments);
  for (std::string word; rest >> word;) words.push_back(word);
  return words;
}

}  // namespace hakmem::bench
