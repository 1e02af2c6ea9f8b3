// What it owns: the blocks that a heap released and does not reuse yet. When there are too many
// bytes, or too many blocks, a random one leaves: neither the time nor the order of reuse can be
// foreseen.
// Invariants: holds at most the bound in bytes plus one block; a held block's record says free.
// Thread-safety: the thread that holds the heap.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hardened/entropy.h"

namespace hakmem::hardened {

inline constinit std::size_t quarantine_bytes = 256 * kKiB;  // per heap; set once before the first allocation

class Quarantine {
 public:
  static constexpr std::uint32_t kBlocks = 2048;

  constexpr Quarantine() noexcept = default;

  // Domain: take_excess() was called until it had nothing more.
  void put(void* block, std::size_t bytes) noexcept {
    entries_[count_++] = {block, bytes};
    bytes_ += bytes;
  }

  // A block that may be reused now; null: the others stay.
  void* take_excess() noexcept {
    bool const full = count_ == kBlocks || bytes_ > quarantine_bytes;
    if (!full || count_ <= kNewest) return nullptr;
    std::uint32_t const chosen = random_below(count_ - kNewest);
    Entry const entry = entries_[chosen];
    entries_[chosen] = entries_[--count_];
    bytes_ -= entry.bytes;
    return entry.block;
  }

 private:
  struct Entry {
    void* block;
    std::size_t bytes;
  };
  // The block that was put last stays for a turn, however large it is.
  static constexpr std::uint32_t kNewest = 1;

  std::size_t bytes_ = 0;
  std::uint32_t count_ = 0;
  Entry entries_[kBlocks]{};
};

}  // namespace hakmem::hardened
