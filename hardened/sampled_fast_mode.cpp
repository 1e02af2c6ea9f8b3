#include "hardened/sampled_fast_mode.h"

#include <algorithm>
#include <bit>

namespace hakmem {
namespace {

using namespace hardened;

// The logarithm to base 2 of a word that is not 0, in 65536ths; off by less than 0.01. The mean over all
// words is exact.
std::uint64_t log2_of(std::uint64_t word) noexcept {
  auto const zeros = static_cast<unsigned>(std::countl_zero(word));
  std::uint64_t const mantissa = word << zeros << 1 >> 48;
  constexpr std::uint64_t kBend = 22525;  // 6 * (1.5 - 1 / ln 2)
  std::uint64_t const bend = (mantissa * (65536 - mantissa) >> 16) * kBend >> 16;
  return (std::uint64_t{63 - zeros} << 16) + mantissa + bend;
}

// The microsecond up to which this thread's guarded blocks are paid for.
constinit thread_local std::uint64_t paid_until_us = 0;
constexpr std::uint64_t kSavingsUs = 16'000;    // what an idle thread may have saved
constexpr std::uint64_t kBudgetUsPerBlock = 4;  // times N: between two guarded blocks

}  // namespace

void SampledFastMode::configure(Settings const& settings) noexcept {
  Numbered<GuardPolicy> const guard = settings.guard;
  if (guard.choice == GuardPolicy::kOff || (guard.choice == GuardPolicy::kSample && guard.number == 0)) return;
  start_entropy(settings.seed);
  start_stacks(settings.stack_depth);
  start_reports(settings);
  fixed.guard_side = settings.guard_side;
  fixed.sample_in = guard.choice == GuardPolicy::kAll ? 1 : guard.number;
}

// Geometric: the whole part of an exponential number with mean N - 1/2 is k with a chance that falls by
// 1 - 1/N from each k to the next.
std::uint32_t SampledFastMode::next_sample() noexcept {
  if (fixed.sample_in == 1) return 0;
  constexpr std::uint64_t kLn2 = 45426;  // in 65536ths
  constexpr std::uint64_t kMost = 1u << 30;
  // Mixed, for the leading bits of numbers that follow each other depend on each other.
  std::uint64_t const word = mix(next_random(), 0xd6e8feb86659fd93) | 1;
  std::uint64_t const exponent = (std::uint64_t{64} << 16) - log2_of(word);
  unsigned __int128 const twice =
      static_cast<unsigned __int128>(exponent * kLn2) * (2 * std::uint64_t{fixed.sample_in} - 1);
  auto const passed = static_cast<std::uint64_t>(twice >> 33);
  return static_cast<std::uint32_t>(std::min(passed, kMost));
}

bool SampledFastMode::affords_sample(std::uint64_t now_ms) noexcept {
  if (fixed.sample_in == 1) return true;
  std::uint64_t const now_us = now_ms * 1000;
  if (paid_until_us > now_us) return false;
  paid_until_us = std::max(paid_until_us, now_us - std::min(now_us, kSavingsUs)) + kBudgetUsPerBlock * fixed.sample_in;
  return true;
}

void* SampledFastMode::arm(BlockPlace const& place, Request const& request, bool zeroed) noexcept {
  return HardenedMode::arm(place, request, zeroed);
}

bool SampledFastMode::admit(BlockPlace const& place, ClientPtr pointer, Claim const& claim) noexcept {
  return HardenedMode::admit(place, pointer, claim);
}

void SampledFastMode::watch(BlockPlace (*find)(void const*)) noexcept {
  if (samples()) HardenedMode::watch(find);
}

void SampledFastMode::seal() noexcept {
  if (samples()) HardenedMode::seal();
}

}  // namespace hakmem
