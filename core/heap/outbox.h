// What it owns: blocks of other heaps that this thread freed, gathered by owner, so that each
// batch costs the owner's inbox one atomic operation.
// Invariants: at most kEntries * kEntryBytes, plus one block, wait here.
// Thread-safety: the thread that holds the heap.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/geometry.h"
#include "core/global/address_space.h"
#include "core/slab/free_list.h"

namespace hakmem {

template <class C>
class Heap;

template <class C>
class Outbox {
 public:
  static constexpr unsigned kEntries = 8;
  static constexpr std::size_t kEntryBytes = 16 * kKiB;

  constexpr Outbox() noexcept = default;

  void put(Heap<C>* owner, Block<C>* block, std::size_t bytes) noexcept {
    Entry& entry = entries_[slot_of(owner)];
    if (entry.owner != owner) {
      flush(entry);
      entry.owner = owner;
    }
    entry.chain.push(block);
    entry.bytes += bytes;
    if (entry.bytes >= kEntryBytes) flush(entry);
  }

  void flush_all() noexcept {
    for (Entry& entry : entries_) flush(entry);
  }

  std::uint64_t batches() const noexcept { return batches_.get(); }

 private:
  struct Entry {
    Heap<C>* owner = nullptr;
    BlockChain<C> chain;
    std::size_t bytes = 0;
  };

  static unsigned slot_of(Heap<C>* owner) noexcept {
    return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(owner) / sizeof(Heap<C>)) % kEntries;
  }

  void flush(Entry& entry) noexcept {
    if (entry.chain.empty()) return;
    entry.owner->inbox().push(entry.chain);
    entry.chain = {};
    entry.bytes = 0;
    batches_.add_alone(1);
  }

  Entry entries_[kEntries];
  Counter<C> batches_;
};

}  // namespace hakmem
