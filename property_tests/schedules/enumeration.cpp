#include "property_tests/schedules/enumeration.h"

#include <algorithm>
#include <bit>
#include <sstream>

#include "property_tests/model/violation.h"

namespace hakmem::testing {
namespace {

constexpr std::size_t kMostChoices = 1'000'000;

// Number `index` of the fibers in `ready`.
unsigned nth(Ready ready, unsigned index) {
  for (; index > 0; --index) ready &= ready - 1;
  return static_cast<unsigned>(std::countr_zero(ready));
}

}  // namespace

void Enumeration::begin() {
  next_ = 0;
  preemptions_ = 0;
}

bool Enumeration::advance() {
  require(!diverged_ && next_ == path_.size(), "the program did not do again what it did");
  while (!path_.empty() && path_.back().taken + 1 >= path_.back().options) path_.pop_back();
  if (path_.empty()) return false;
  ++path_.back().taken;
  return true;
}

// The choice that is next on the path; behind its end, the first one.
unsigned Enumeration::take(unsigned options) {
  if (next_ == path_.size()) {
    path_.push_back({0, options});
    longest_ = std::max(longest_, path_.size());
  }
  Choice& choice = path_[next_++];
  if (choice.options == 0) choice.options = options;  // of a token
  diverged_ |= choice.options != options || choice.taken >= options;
  return diverged_ ? 0 : choice.taken;
}

unsigned Enumeration::choose(Point point, unsigned current, Ready ready) {
  ++points_;
  if (point == Point::kStart) return nth(ready, take(static_cast<unsigned>(std::popcount(ready))));
  Ready const others = ready & ~(Ready{1} << current);
  auto const count = static_cast<unsigned>(std::popcount(others));
  if (point == Point::kWait) return in_turn(others, current + 1);
  if (point == Point::kStep) {
    if (preemptions_ == bound_ || count == 0) return current;
    unsigned const taken = take(1 + count);
    if (taken == 0) return current;
    ++preemptions_;
    return nth(others, taken - 1);
  }
  return nth(others, take(count));
}

std::string Enumeration::token() const {
  std::string text = std::to_string(bound_) + '/';
  for (std::size_t i = 0; i < next_; ++i)
    if (path_[i].taken != 0) text += std::to_string(i) + ':' + std::to_string(path_[i].taken) + ',';
  return text;
}

bool Enumeration::replay(std::string const& token) {
  path_.clear();
  std::istringstream text(token);
  char slash = 0;
  if (!(text >> bound_ >> slash) || slash != '/') return false;
  std::size_t index = 0;
  unsigned taken = 0;
  char colon = 0, comma = 0;
  while (text >> index >> colon >> taken >> comma) {
    if (colon != ':' || comma != ',' || index < path_.size() || index > kMostChoices) return false;
    path_.resize(index, {0, 0});
    path_.push_back({taken, 0});
  }
  return text.eof() && (token.back() == ',' || token.back() == '/');
}

}  // namespace hakmem::testing
