// What it owns: one slab's metadata - all that malloc and free need, on one cache line.
//
// A *span* is one slab or several in a row, cut into blocks of one class (or into one single
// block). Its metadata is that of its first slab, the head; the others only say how far back the
// head is.
//
// Accounting (invariant A3), with used = blocks held by clients or travelling in an outbox or
// inbox, and listed = length of `free`:
//     used + listed + (capacity - carved) = capacity
// `countdown` is set so that it reaches zero exactly when free must leave its fast path:
//     partial  used                       zero: the span is empty
//     full     used - (carved - regain)   zero: enough blocks came back to allocate from it again
//     single   1                          zero: the one block came back
//     active   kUncounted, and again when it reaches zero
// free subtracts one; nothing else is counted. Malloc, which takes from the active slab only, counts
// nothing: of that one the list says what is used, and the slab stops being active when it is empty.
//
// Thread-safety: owner-thread only, but `head_distance` and the geometry of the span (block_bytes,
// super) may be read by any thread that holds a block of it: they are written before
// the first block is handed out and stay until the last one is back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "core/base/check.h"
#include "core/base/kernels.h"
#include "core/mode/mode.h"
#include "core/slab/free_list.h"

namespace hakmem {

template <class C>
class Heap;
template <class C>
struct SuperSlab;

enum class SlabState : std::uint8_t {
  kNone,     // not the head of a span
  kActive,   // malloc takes from it
  kPartial,  // queued in its bin: has room
  kFull,     // in no queue: too few free blocks to be worth a visit; perhaps room to carve
  kSingle,   // one block
};

// What threads that free a block of another heap read of its slab. It lies apart from the rest, which
// the owner keeps writing: nobody waits for the other's cache line.
template <class C>
struct alignas(kSlabTitleBytes) SlabTitle {
  // Null where no span starts: the slab is free, or belongs to the span of a slab before it.
  // protocol: written by the owner when it makes or retires the span, read relaxed by any thread
  // that holds a block; the client's own hand-over of the block orders the two.
  typename C::template Atomic<Heap<C>*> owner{nullptr};
  std::uint32_t block_bytes = 0;  // when the span was made
};

// What the way from an address to a block and its record takes of a span, at hand where metadata lies out of line.
template <bool kInBand>
struct SpanReach {
  std::byte* start = nullptr;  // of block 0
  BlockRecord* records = nullptr;
  kernels::Word reciprocal = 0;  // of block_bytes
  bool operator==(SpanReach const&) const = default;
};
template <>
struct SpanReach<true> {};

template <class C>
struct alignas(kSlabMetaBytes) Slab {
  using G = typename C::Geo;
  static constexpr std::uint32_t kUncounted = 1u << 31;

  Block<C>* free = nullptr;
  std::uint32_t countdown = 0;
  std::uint32_t block_bytes = 0;
  SuperSlab<C>* super = nullptr;
  std::uint16_t carved = 0;
  std::uint16_t capacity = 0;
  std::uint8_t size_class = 0;
  SlabState state = SlabState::kNone;
  std::uint8_t index = 0;          // of this slab in its SuperSlab
  std::uint8_t slabs = 0;          // length of the span
  std::uint8_t head_distance = 0;  // slabs back to the head; 0: this is the head
  bool zeroed = false;             // what is not carved yet reads as zero
  bool cold = false;               // what is not carved yet has no pages, as far as known
  [[no_unique_address]] SpanReach<C::Mode::kMetadataInBand> reach;
  Slab* next = nullptr;  // in its bin's queue
  Slab* prev = nullptr;

  Slab* head() noexcept { return this - head_distance; }

  // Blocks that must come back to a full span before it is queued again: a sixteenth, so that a
  // visit is worth its cost and little of a class waits unused.
  std::uint32_t regain() const noexcept { return carved < 16 ? 1 : carved / 16u; }

  bool has_room() const noexcept { return carved < capacity; }

  // Of the active slab: with what malloc may take from it.
  std::uint32_t used() const noexcept {
    switch (state) {
      case SlabState::kActive:
        return carved;
      case SlabState::kFull:
        return countdown + carved - regain();
      default:
        return countdown;
    }
  }

  Heap<C>* owner() const noexcept;
  std::byte* start() const noexcept;
  // In slab 0, blocks lie behind the metadata, and also where a mode tells large blocks by the low bits
  // of their address: none may start where the SuperSlab does.
  std::size_t first_offset() const noexcept {
    constexpr bool kReserved = C::Mode::kMetadataInBand || C::Mode::kTrustsClient;
    return kernels::first_block_offset<G>(block_bytes, kReserved && index == 0);
  }
  Block<C>* block(unsigned number) const noexcept {
    return reinterpret_cast<Block<C>*>(start() + first_offset() + std::size_t{number} * block_bytes);
  }

  // Takes up to a page's worth of blocks that were never used. The first is returned untouched,
  // the others are linked into `free`, in the order that the mode wants. Domain: has_room() and
  // `free` is empty.
  Block<C>* carve(std::size_t stretch_bytes) noexcept {
    INVARIANT(has_room() && free == nullptr);
    unsigned const count = kernels::carve_stretch(block_bytes, stretch_bytes, capacity - carved);
    auto* const first = reinterpret_cast<std::byte*>(block(carved));
    // One more than is carved: neighbours look at each other's records.
    if constexpr (!C::Mode::kMetadataInBand) forget_records(carved, count + (carved + count < capacity ? 1 : 0));
    carved = static_cast<std::uint16_t>(carved + count);
    BlockChain<C> rest;
    for (unsigned number = count; number-- > 1;) {
      auto* const item = reinterpret_cast<Block<C>*>(first + std::size_t{number} * block_bytes);
      if (C::Mode::carve_in_front())
        rest.push(item);
      else
        rest.append(item);
    }
    free = rest.first;
    return reinterpret_cast<Block<C>*>(first);
  }

  // The span is no more. Out of line, where its blocks were stays known until the slabs are used
  // again: that is how a late second free is told from a wild one.
  void retire() noexcept {
    if constexpr (C::Mode::kMetadataInBand) {
      ::new (this) Slab();
    } else {
      state = SlabState::kNone;
      free = nullptr;
      countdown = 0;
    }
  }

  // Out of line only: what the mode knows of block `number`.
  BlockRecord* record(unsigned number) const noexcept;
  void forget_records(unsigned from, unsigned count) const noexcept;

  // Length of `free`; more than `carved` where that is no list of this span's blocks. Owner only.
  std::uint32_t listed() const noexcept {
    std::uint32_t count = 0;
    for (Block<C> const* item = free; item; item = item->next()) {
      auto const offset = static_cast<std::size_t>(reinterpret_cast<std::byte const*>(item) - start());
      bool const inside = offset >= first_offset() && offset < first_offset() + std::size_t{carved} * block_bytes;
      if (!inside || (offset - first_offset()) % block_bytes != 0 || ++count > carved) return carved + 1u;
    }
    return count;
  }

  // Walks the list and checks the accounting. Owner only.
  bool validate() const noexcept {
    switch (state) {
      case SlabState::kSingle:
        return used() == 1;
      case SlabState::kActive:
        return listed() <= carved && countdown != 0;
      default:
        return used() + listed() == carved;
    }
  }
};

}  // namespace hakmem
