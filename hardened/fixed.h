// What it owns: what the checked build settles at its start and never changes: the secrets, and what says how
// much is checked and how it is told. A stray write to any of it would turn a defence off.
// Invariants: it has pages to itself. They are read-only from HardenedMode::seal() on where the kernel lets us,
// for good where it seals (mseal).
// Thread-safety: written by one thread, before the first allocation; read by all.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>

#include "core/base/geometry.h"
#include "core/base/settings.h"
#include "core/mode/mode.h"
#include "core/os/stretch.h"

namespace hakmem::hardened {

struct Secrets {
  std::uint64_t seal_keys[2] = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9};
  std::uint64_t link_key = 0x94d049bb133111eb;
  std::uint64_t random_key = 0x2545f4914f6cdd1d;
  // Fills free memory and slack: one byte value throughout. Eight of it are no address; it is no text and not zero.
  alignas(16) std::uint64_t pattern_words[2] = {0xd7d7d7d7d7d7d7d7, 0xd7d7d7d7d7d7d7d7};

  unsigned char pattern() const noexcept { return static_cast<unsigned char>(pattern_words[0]); }
  void set_pattern(unsigned char byte) noexcept {
    for (std::uint64_t& word : pattern_words) word = byte * 0x0101010101010101u;
  }
};

struct StackStore;

// At least a page of any supported machine, so that it can be protected by itself.
inline constexpr std::size_t kFixedBytes = 64 * kKiB;

struct alignas(kFixedBytes) Fixed {
  Secrets secrets{};
  StretchCode stretch = kPortableStretchCode;

  std::size_t quarantine_bytes = 64 * kKiB;  // per heap
  std::size_t quarantine_floor = 48 * kKiB;  // three quarters of it
  void set_quarantine(std::size_t bytes) noexcept {
    quarantine_bytes = bytes;
    quarantine_floor = bytes - bytes / 4;
  }
  // A freed block is filled whole if half a random number is not above this.
  std::uint32_t fill_most = ~std::uint32_t{0};
  // Of the fast build's blocks, one in so many is guarded; 0: none.
  std::uint32_t sample_in = 0;
  // Which blocks of the checked build have pages of their own, and at which end of them all such blocks lie.
  Numbered<GuardPolicy> guards{};
  GuardSide guard_side = GuardSide::kRight;
  // When all blocks are looked at.
  Numbered<CheckTime> check{};

  unsigned stack_depth = 0;                         // frames stored per call
  StackStore* stacks = nullptr;                     // where, unless they are 0
  BlockPlace (*find_block)(void const*) = nullptr;  // of the address of a fault
  Numbered<ErrorAction> on_error{};
  ReportFormat report_format = ReportFormat::kText;
  bool symbolize = false;
  char report_file[PATH_MAX]{};  // empty: standard error
};
inline constinit Fixed fixed;
inline constexpr Secrets& secrets = fixed.secrets;

}  // namespace hakmem::hardened
