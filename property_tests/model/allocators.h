// What it owns: the allocators that tests run on - both builds, and on the tiny geometry the mode that proves that
// the layers ask for everything - and what every test of a whole allocator ends with.
// Thread-safety: FaultyLinux is shared by the process, so one allocator on it lives at a time.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

#include "core/api/allocator.h"
#include "hardened/hardened_mode.h"
#include "property_tests/faulty_os.h"
#include "property_tests/model/probe_mode.h"

namespace hakmem::testing {

template <class ModeT, class GeometryT, OperatingSystem OsT = FaultyLinux>
struct Build {
  using Mode = ModeT;
  using G = GeometryT;
  using Os = OsT;
  using C = Config<ModeT, OsT, StdSync, GeometryT>;
  using Alloc = Allocator<ModeT, OsT, StdSync, GeometryT>;
};

using AllBuilds = ::testing::Types<Build<FastMode, TinyGeometry>, Build<ProbeMode, TinyGeometry>,
                                   Build<FastMode, DefaultGeometry>, Build<HardenedMode, DefaultGeometry>>;

template <class B>
inline constexpr bool kTiny = std::is_same_v<typename B::G, TinyGeometry>;

// The blocks that a heap holds back from reuse once it released some, where its quarantine has no bytes.
template <class Mode>
inline constexpr unsigned kResting = std::is_empty_v<typename Mode::ReuseGate> ? 0 : 1;

// For tests that count what comes back. The same in each run.
inline Settings without_quarantine() {
  Settings settings;
  settings.quarantine_bytes = 0;
  settings.seed = 1;
  return settings;
}

struct BuildName {
  template <class B>
  static std::string GetName(int) {
    return std::string(B::Mode::kName) + (kTiny<B> ? "Tiny" : "Default");
  }
};

// Invariant M3: what is mapped is what the allocator says it holds.
template <class A>
::testing::AssertionResult nothing_leaked(A& allocator) {
  auto const books = allocator.global().space.ledger();
  std::uint64_t const known = books.held_bytes + books.leftover_bytes + allocator.global().space.arena().mapped_bytes();
  std::uint64_t const mapped = FaultyLinux::ledger().bytes();
  if (known != mapped) return ::testing::AssertionFailure() << "known " << known << ", mapped " << mapped;
  if (std::string const wrong = FaultyLinux::violation(); !wrong.empty()) return ::testing::AssertionFailure() << wrong;
  return ::testing::AssertionSuccess();
}

// After every block was released: what is left rests in quarantines, and keeps a SuperSlab each at most.
template <class Mode, class Os, class Sync, class G>
::testing::AssertionResult all_released(Allocator<Mode, Os, Sync, G>& allocator) {
  Statistics const now = allocator.statistics();
  std::size_t const bound = hardened::fixed.quarantine_bytes;
  std::uint64_t const most_blocks = kResting<Mode> * now.heaps_now * (bound == 0 ? 1 : hardened::Quarantine::kBlocks);
  std::uint64_t const most_bytes = kResting<Mode> * now.heaps_now * (bound + G::kMediumMax);
  if (now.small_blocks_now > most_blocks || now.small_bytes_now > most_bytes)
    return ::testing::AssertionFailure() << now.small_blocks_now << " blocks of " << now.small_bytes_now << " bytes";
  if (now.large_blocks_now != 0) return ::testing::AssertionFailure() << now.large_blocks_now << " large blocks";
  if (now.super_slabs_now > now.small_blocks_now)
    return ::testing::AssertionFailure() << now.super_slabs_now << " SuperSlabs for " << now.small_blocks_now;
  return ::testing::AssertionSuccess();
}

// After every heap was detached as well, trimming leaves descriptors and what rests.
template <class Mode, class Os, class Sync, class G>
::testing::AssertionResult all_given_back(Allocator<Mode, Os, Sync, G>& allocator) {
  allocator.trim(allocator.unattached());
  if (auto const released = all_released(allocator); !released) return released;
  auto const books = allocator.global().space.ledger();
  if (books.held_bytes != allocator.statistics().super_slabs_now * G::kSuperSlabBytes)
    return ::testing::AssertionFailure() << books.held_bytes << " bytes are still held";
  return nothing_leaked(allocator);
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e37'79b9'7f4a'7c15u;
    z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9u;
    z = (z ^ z >> 27) * 0x94d0'49bb'1331'11ebu;
    return z ^ z >> 31;
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace hakmem::testing
