#include "hardened/entropy.h"

#include "core/os/linux.h"

namespace hakmem::hardened {
namespace {

// One step of splitmix64 (Steele, Lea, Flood 2014): any state is a good one.
std::uint64_t split_mix(std::uint64_t& state) noexcept {
  std::uint64_t word = state += 0x9e3779b97f4a7c15;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
  return word ^ (word >> 31);
}

}  // namespace

void start_entropy(std::uint64_t seed) noexcept {
  std::uint64_t state = seed;
  if (seed == 0) state = Linux::entropy() ^ reinterpret_cast<std::uintptr_t>(&state);
  for (std::uint64_t& key : secrets.seal_keys) key = (seed == 0 ? Linux::entropy() : 0) ^ split_mix(state);
  secrets.link_key = split_mix(state);
  secrets.random_key = split_mix(state);
  secrets.set_pattern(static_cast<unsigned char>(0x81 + split_mix(state) % 0x7c));
}

}  // namespace hakmem::hardened
