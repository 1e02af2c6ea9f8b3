// What it owns: where guarded blocks of less than half a SuperSlab lie. They share *units*, mappings of a
// SuperSlab's size and alignment, and take their places from the front to the back:
//
//   | lead | guard | block | guard | block | guard | ...        a page of guard between neighbours
//
// One mapping holds a unit, and one page of the kernel's tables, where guards cost no mapping of their own
// (MADV_GUARD_INSTALL); each block needs one call to be made and one to be closed. No place is used twice: a
// unit is unmapped when it is full and its last block is gone. Free and the kernel's refusals read and write
// the lead: where metadata lies in band, free finds zeroes there in the place of a slab's owner.
// Invariants: a unit is in the registry from before its first block until after its last; `blocks` counts
// those that have a place in it, and the unit's being open.
// Thread-safety: any thread; the lock is never held across a system call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/global/address_space.h"
#include "core/global/large_block.h"
#include "core/os/guard.h"

namespace hakmem {

// In the registry it is a large block of the unit's size whose `shared` says that it is more.
template <class C>
struct GuardedUnit : LargeBlock {
  using G = typename C::Geo;
  static constexpr std::size_t kLeastPage = 4 * kKiB;

  GuardedUnit* next = nullptr;  // among the free descriptors
  std::size_t used = 0;         // bytes from the base on that have been given out
  unsigned blocks = 0;          // with a place here, and one while the unit is open
  unsigned splits = 0;          // mappings that its guards made
  // By page: whose it is, a block's or the guard's behind it; null: nobody's.
  // protocol: written by who makes or discards the block, read by anyone; release and acquire publish the block.
  typename C::template Atomic<LargeBlock*> tenants[G::kSuperSlabBytes / kLeastPage]{};

  void set_tenant(LargeBlock* block, LargeBlock* now) noexcept {
    std::size_t const page = C::Os::page_bytes();
    std::size_t const first = static_cast<std::size_t>(block->start() - this->base) / page;
    for (std::size_t i = 0; i <= block->bytes / page; ++i) tenants[first + i].store(now, std::memory_order_release);
  }

  // The block that an address belongs to; in a guard page the nearer one. Null: none.
  LargeBlock* tenant_at(void const* address) const noexcept {
    std::size_t const page = C::Os::page_bytes();
    auto const offset = reinterpret_cast<std::uintptr_t>(address) & G::kSuperSlabMask;
    std::size_t const number = offset / page;
    LargeBlock* const here = tenant(number);
    if (here && address < here->start() + here->bytes) return here;
    LargeBlock* const behind = offset + page < G::kSuperSlabBytes ? tenant(number + 1) : nullptr;
    return here && (!behind || offset % page < page / 2) ? here : behind;
  }

 private:
  LargeBlock* tenant(std::size_t number) const noexcept { return tenants[number].load(std::memory_order_acquire); }
};

// What a registry entry says of an address in it; null: no large block.
template <class C>
[[gnu::always_inline]] inline LargeBlock* large_at(RegistryEntry<C> entry, void const* address) noexcept {
  LargeBlock* const large = entry.large();
  if (!large || !large->shared) return large;
  return static_cast<GuardedUnit<C>*>(large)->tenant_at(address);
}
template <class C>
LargeBlock* large_at(Registry<C> const& registry, void const* address) noexcept {
  return large_at(registry.find(address), address);
}

template <class C>
class GuardedUnits {
  using G = typename C::Geo;
  using Os = typename C::Os;
  using Unit = GuardedUnit<C>;

 public:
  using Mutex = typename C::template Lock<LockRank::kGuardedUnits>;
  using Descriptors = ObjectPool<C, Unit, LockRank::kGuardedUnitDescriptors>;

  constexpr GuardedUnits() noexcept = default;

  static bool fits(std::size_t bytes) noexcept { return bytes < G::kSuperSlabBytes / 2 - Os::page_bytes(); }

  // Gives a block of block->bytes its place, its margin and its guard; without memory, none. Domain: fits.
  void place(AddressSpace<C>& space, LargeBlock* block) noexcept {
    std::size_t const page = Os::page_bytes();
    Unit* unit = nullptr;
    while (!(unit = take_place(block, page))) {
      Unit* const fresh = make(space);
      if (!fresh) return;
      Unit* full = nullptr;
      {
        Locked guard(lock_);
        full = std::exchange(open_, fresh);
      }
      if (full) drop(space, full);
    }
    install_guard<Os>(block->start() + block->bytes, page);
    if (Os::guards_split()) note_splits(space, unit);
    unit->set_tenant(block, block);
  }

  // The block's place is nobody's from now on.
  void leave(AddressSpace<C>& space, LargeBlock* block) noexcept {
    auto* const unit = static_cast<Unit*>(space.registry().find(block->start()).large());
    unit->set_tenant(block, nullptr);
    drop(space, unit);
  }

  // The next block opens another unit.
  void close(AddressSpace<C>& space) noexcept {
    Unit* open = nullptr;
    {
      Locked guard(lock_);
      open = std::exchange(open_, nullptr);
    }
    if (open) drop(space, open);
  }

  Mutex& lock() noexcept { return lock_; }
  Descriptors& descriptors() noexcept { return descriptors_; }

 private:
  Unit* take_place(LargeBlock* block, std::size_t page) noexcept {
    Locked guard(lock_);
    if (!open_ || open_->used + block->bytes + page > G::kSuperSlabBytes) return nullptr;
    block->base = open_->base + open_->used - page;
    block->lead = 0;
    block->margin = page;
    open_->used += block->bytes + page;
    ++open_->blocks;
    return open_;
  }

  // A unit that is open; null: no memory.
  Unit* make(AddressSpace<C>& space) noexcept {
    bool fresh = false;
    Unit* const unit = descriptors_.take(space.arena(), fresh);
    if (!unit) return nullptr;
    std::size_t const page = Os::page_bytes();
    std::size_t const lead = C::Mode::kMetadataInBand ? kernels::align_up(G::kReservedBytes, page) : page;
    unit->base = space.map(G::kSuperSlabBytes, G::kSuperSlabBytes, MapKind::kNormal, "hakmem guarded");
    unit->bytes = G::kSuperSlabBytes;
    unit->shared = true;
    unit->used = lead + page;
    unit->blocks = 1;
    unit->splits = 0;
    if (unit->base && space.enter(unit->base, RegistryEntry<C>(unit))) {
      install_guard<Os>(unit->base + lead, page);
      return unit;
    }
    if (unit->base) space.release(unit->base, G::kSuperSlabBytes);
    descriptors_.put_back(unit);
    return nullptr;
  }

  // A block and its guard are two mappings where rights make the guard.
  void note_splits(AddressSpace<C>& space, Unit* unit) noexcept {
    constexpr unsigned kSplits = 2;
    space.note_splits(kSplits);
    Locked guard(lock_);
    unit->splits += kSplits;
  }

  void drop(AddressSpace<C>& space, Unit* unit) noexcept {
    {
      Locked guard(lock_);
      if (--unit->blocks != 0) return;
    }
    space.registry().remove(unit->base);
    space.forget_splits(unit->splits);
    space.release(unit->base, G::kSuperSlabBytes);
    descriptors_.put_back(unit);
  }

  Mutex lock_;
  Unit* open_ = nullptr;
  Descriptors descriptors_;
};

}  // namespace hakmem
