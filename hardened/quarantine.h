// What it owns: the blocks that a heap released and does not reuse yet. When there are too many
// bytes, or too many blocks, a random one leaves: neither the time nor the order of reuse can be
// foreseen.
// It is full from three quarters of the bound on, so that its number of blocks seldom changes.
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
  [[gnu::always_inline]] HeldBlock put(HeldBlock fresh) noexcept {
    bytes_ += fresh.bytes;
    if (count_ == 0 || (bytes_ <= fixed.quarantine_floor && count_ < kBlocks)) [[unlikely]] {
      newest_ = count_++;
      entries_[newest_] = fresh;
      return {};
    }
    newest_ = any_of(count_);
    HeldBlock const old = entries_[newest_];
    entries_[newest_] = fresh;
    bytes_ -= old.bytes;
    return old;
  }

  // Another block that may be reused now; none: the others stay. The block that was put last stays for a
  // turn, however large it is.
  [[gnu::always_inline]] HeldBlock take_excess() noexcept {
    return bytes_ <= fixed.quarantine_bytes || count_ <= 1 ? HeldBlock{} : take_other();
  }

 private:
  [[gnu::always_inline]] static std::uint32_t any_of(std::uint32_t count) noexcept {
    return below(count, next_random(own.leaving, kLeavingStream));
  }
  [[gnu::noinline]] HeldBlock take_other() noexcept {
    std::uint32_t chosen = any_of(count_ - 1);
    if (chosen >= newest_) ++chosen;
    HeldBlock const old = entries_[chosen];
    entries_[chosen] = entries_[--count_];
    if (newest_ == count_) newest_ = chosen;
    bytes_ -= old.bytes;
    return old;
  }

  std::size_t bytes_ = 0;
  std::uint32_t count_ = 0, newest_ = 0;
  HeldBlock entries_[kBlocks]{};
};

}  // namespace hakmem::hardened
