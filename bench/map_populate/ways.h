// What it owns: every way to get n aligned SuperSlabs, ready as asked, on the library's own mapping
// and prefault engine; and what one use of a way costs.
// Thread-safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/base/settings.h"

namespace hakmem::bench {

enum class Acquisition : std::uint8_t {
  kExactPopulated,    // an aligned place that is free, MAP_POPULATE
  kOverMapPopulated,  // alignment bytes more than needed, MAP_POPULATE, then cut
  kOverMap,           // the same without MAP_POPULATE
  kEngine,            // the library's: exact, extended, or over-mapped and cut
};

struct Way {
  Acquisition acquisition;
  PrefaultPolicy prefault;
  HugePolicy huge;

  std::string name() const;
};

// Those that make sense: MAP_POPULATE comes before any advice could.
std::span<Way const> all_ways();

// False: this kernel has no pages for the huge mode now.
bool is_offered(HugePolicy huge, std::size_t bytes);

struct WayCost {
  double setup_seconds = 0;
  std::optional<std::uint64_t> setup_traps;
  std::uint64_t setup_minflt = 0;
  std::uint64_t calls = 0;  // system calls of the set-up
  std::size_t resident_bytes = 0;
  std::size_t huge_bytes = 0;
  double touch_seconds = 0;  // one write to each page afterwards
  std::optional<std::uint64_t> touch_traps;
};

// Sets up `bytes`, looks, touches, unmaps. Throws std::runtime_error if the kernel refuses memory.
WayCost measure(Way const& way, std::size_t bytes);

}  // namespace hakmem::bench
