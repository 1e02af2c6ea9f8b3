// What it owns: blocks of other heaps that this thread freed, gathered by owner, so that each batch
// costs the owner's inbox one atomic operation and most blocks are not touched on their way.
// Invariants: at most kEntries * kEntryBlocks blocks and kEntries * kEntryBytes, plus one block, wait.
// Thread-safety: the thread that holds the heap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/base/geometry.h"
#include "core/base/kernels.h"
#include "core/global/address_space.h"
#include "core/slab/parcel.h"

namespace hakmem {

template <class C>
class Heap;

template <class C>
class Outbox {
  using G = typename C::Geo;

 public:
  static constexpr unsigned kEntries = 8;
  static constexpr unsigned kEntryBlocks = Parcel<C>::kMost + 1;
  static constexpr std::size_t kEntryBytes = G::kOutboxBytes;

  constexpr Outbox() noexcept = default;

  [[gnu::always_inline]] void put(Heap<C>* owner, Block<C>* block, std::uint32_t bytes) noexcept {
    Entry& entry = entries_[slot_of(owner)];
    if (entry.owner != owner) [[unlikely]]
      return replace(entry, owner, {block, bytes});
    entry.items[entry.count++] = {block, bytes};
    entry.bytes += bytes;
    if (entry.count == kEntryBlocks || entry.bytes >= kEntryBytes) flush(entry);
  }

  void flush_all() noexcept {
    for (Entry& entry : entries_) flush(entry);
  }

  std::uint64_t batches() const noexcept { return batches_.get(); }

 private:
  struct Item {
    Block<C>* block;
    std::uint32_t bytes;
  };
  struct Entry {
    Heap<C>* owner = nullptr;
    std::size_t bytes = 0;
    unsigned count = 0;
    Item items[kEntryBlocks]{};
  };

  static unsigned slot_of(Heap<C>* owner) noexcept {
    return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(owner) / alignof(Heap<C>)) % kEntries;
  }

  [[gnu::noinline]] void replace(Entry& entry, Heap<C>* owner, Item first) noexcept {
    flush(entry);
    entry.owner = owner;
    put(owner, first.block, first.bytes);
  }

  [[gnu::noinline]] void flush(Entry& entry) noexcept {
    if (entry.count == 0) return;
    BlockChain<C> chain;
    while (entry.count > 0) chain.push(pack_largest(entry));
    entry.owner->inbox().push(chain);
    entry.bytes = 0;
    batches_.add_alone(1);
  }

  // The largest block, with as many of the others as it carries.
  static Block<C>* pack_largest(Entry& entry) noexcept {
    Item* largest = entry.items;
    for (unsigned i = 1; i < entry.count; ++i)
      if (entry.items[i].bytes > largest->bytes) largest = &entry.items[i];
    std::swap(*largest, entry.items[--entry.count]);
    Item const carrier = entry.items[entry.count];
    std::size_t const fit = Parcel<C>::capacity(carrier.bytes);
    std::size_t const count = entry.count < fit ? entry.count : fit;
    entry.count -= static_cast<unsigned>(count);
    Item const* const others = entry.items + entry.count;
    Parcel<C>(carrier.block, carrier.bytes).pack(count, [others](std::size_t i) { return others[i].block; });
    return carrier.block;
  }

  Entry entries_[kEntries];
  Counter<C> batches_;
};

// A chain of one block that carries none.
template <class C>
BlockChain<C> alone(Block<C>* block) noexcept {
  Parcel<C>(block, 2 * sizeof(void*)).pack(0, [](std::size_t) -> Block<C>* { return nullptr; });
  BlockChain<C> chain;
  chain.push(block);
  return chain;
}

}  // namespace hakmem
