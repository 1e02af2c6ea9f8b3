// What it owns: the map from an address to what lies there - a SuperSlab, a large block, or
// nothing of ours (invariant R3). One entry per SuperSlab-sized unit of address space, in a
// two-level table whose leaves are made on demand. There is no other way to resolve a pointer: no
// guessing, no probing of memory.
// Thread-safety: lookups are wait-free. An entry is written by whoever holds the range it stands
// for, before the range is handed out and before it is unmapped.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/global/metadata.h"

namespace hakmem {

template <class C>
struct SuperSlab;
struct LargeBlock;

template <class C>
class RegistryEntry {
 public:
  constexpr RegistryEntry() noexcept = default;
  explicit RegistryEntry(SuperSlab<C>* super) noexcept : bits_(reinterpret_cast<std::uintptr_t>(super)) {}
  explicit RegistryEntry(LargeBlock* large) noexcept : bits_(reinterpret_cast<std::uintptr_t>(large) | kLargeTag) {}
  static RegistryEntry from_bits(std::uintptr_t bits) noexcept {
    RegistryEntry entry;
    entry.bits_ = bits;
    return entry;
  }

  SuperSlab<C>* super_slab() const noexcept {
    return bits_ & kLargeTag ? nullptr : reinterpret_cast<SuperSlab<C>*>(bits_);
  }
  LargeBlock* large() const noexcept {
    return bits_ & kLargeTag ? reinterpret_cast<LargeBlock*>(bits_ & ~kLargeTag) : nullptr;
  }
  std::uintptr_t bits() const noexcept { return bits_; }

 private:
  static constexpr std::uintptr_t kLargeTag = 1;
  std::uintptr_t bits_ = 0;
};

template <class C>
class Registry {
  using G = typename C::Geo;

 public:
  using Entry = RegistryEntry<C>;
  static constexpr unsigned kAddressBits = 47;  // user space of the supported machines
  static constexpr unsigned kLeafBits = 13;
  static constexpr unsigned kRootBits = kAddressBits - G::kSuperSlabShift - kLeafBits;

  constexpr Registry() noexcept = default;

  // The table of leaves, for tools that read this memory from outside.
  constexpr void const* root() const noexcept { return root_; }

  Entry find(void const* address) const noexcept {
    auto const unit = reinterpret_cast<std::uintptr_t>(address) >> G::kSuperSlabShift;
    if (unit >> (kRootBits + kLeafBits)) return {};
    Leaf const* const leaf = root_[unit >> kLeafBits].load(std::memory_order_acquire);
    if (!leaf) return {};
    return Entry::from_bits(leaf->entries[unit & kLeafMask].load(std::memory_order_acquire));
  }

  // False: no memory for the leaf; nothing changed. Domain: address aligned to a SuperSlab.
  bool insert(MetadataArena<C>& arena, void const* address, Entry entry) noexcept {
    auto const unit = unit_of(address);
    Leaf* leaf = root_[unit >> kLeafBits].load(std::memory_order_acquire);
    if (!leaf && !(leaf = make_leaf(arena, unit >> kLeafBits))) return false;
    leaf->entries[unit & kLeafMask].store(entry.bits(), std::memory_order_release);
    return true;
  }

  void remove(void const* address) noexcept {
    auto const unit = unit_of(address);
    Leaf* const leaf = root_[unit >> kLeafBits].load(std::memory_order_relaxed);
    VERIFY(leaf, "registry: removed address was never inserted");
    leaf->entries[unit & kLeafMask].store(0, std::memory_order_relaxed);
  }

 private:
  static constexpr std::uintptr_t kLeafMask = (std::uintptr_t{1} << kLeafBits) - 1;

  // protocol: entries are written by the holder of the range and read by anyone; release and
  // acquire publish the descriptor behind the entry. Removing publishes nothing, and the holder has
  // seen the leaf when it inserted: relaxed. Refuted by: the registry model.
  struct Leaf {
    typename C::template Atomic<std::uintptr_t> entries[std::size_t{1} << kLeafBits];
  };

  static std::uintptr_t unit_of(void const* address) noexcept {
    auto const bits = reinterpret_cast<std::uintptr_t>(address);
    VERIFY(bits >> kAddressBits == 0, "registry: address beyond user space");
    INVARIANT((bits & G::kSuperSlabMask) == 0);
    return bits >> G::kSuperSlabShift;
  }

  Leaf* make_leaf(MetadataArena<C>& arena, std::uintptr_t slot) noexcept {
    void* const memory = arena.allocate(sizeof(Leaf), alignof(Leaf));
    if (!memory) return nullptr;
    Leaf* expected = nullptr;
    auto* const leaf = static_cast<Leaf*>(memory);  // the arena's zeroes are empty entries
    // The loser's leaf stays unused: two threads must open the same 16 GiB at the same moment.
    return root_[slot].compare_exchange_strong(expected, leaf, std::memory_order_release, std::memory_order_acquire)
               ? leaf
               : expected;
  }

  // protocol: null until the first insertion below it, then constant; release and acquire publish
  // the zeroed leaf.
  typename C::template Atomic<Leaf*> root_[std::size_t{1} << kRootBits]{};
};

}  // namespace hakmem
