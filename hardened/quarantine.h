// What it owns: the blocks that a heap released and does not reuse yet. When there are too many
// bytes, or too many blocks, a random one leaves: neither the time nor the order of reuse can be
// foreseen.
// Invariants: holds at most the bound in bytes plus one block; a held block's record says free.
// Thread-safety: the thread that holds the heap.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/mode/mode.h"
#include "hardened/entropy.h"
#include "hardened/fixed.h"

namespace hakmem::hardened {

class Quarantine {
 public:
  static constexpr std::uint32_t kBlocks = 2048;

  constexpr Quarantine() noexcept = default;

  // Takes a released block in; the one returned, if any, may be reused.
  HeldBlock put(HeldBlock fresh) noexcept {
    bytes_ += fresh.bytes;
    std::size_t const most = fixed.quarantine_bytes;
    if (count_ == 0 || (bytes_ <= most - most / 4 && count_ < kBlocks)) [[unlikely]] {
      newest_ = count_++;
      entries_[newest_] = fresh;
      return {};
    }
    newest_ = random_below(count_);
    HeldBlock const old = entries_[newest_];
    entries_[newest_] = fresh;
    bytes_ -= old.bytes;
    return old;
  }

  // Another block that may be reused now; none: the others stay. The block that was put last stays for a
  // turn, however large it is.
  HeldBlock take_excess() noexcept {
    if (bytes_ <= fixed.quarantine_bytes || count_ <= 1) [[likely]]
      return {};
    std::uint32_t chosen = random_below(count_ - 1);
    if (chosen >= newest_) ++chosen;
    HeldBlock const old = entries_[chosen];
    entries_[chosen] = entries_[--count_];
    if (newest_ == count_) newest_ = chosen;
    bytes_ -= old.bytes;
    return old;
  }

 private:
  std::size_t bytes_ = 0;
  std::uint32_t count_ = 0, newest_ = 0;
  HeldBlock entries_[kBlocks]{};
};

}  // namespace hakmem::hardened
