// What it owns: the descriptor of one SuperSlab - which of its slabs are free, which hold pages -
// and the way from an address to slab metadata.
//
// Descriptors live in the metadata arena, never in the SuperSlab itself, so that an empty SuperSlab
// can be purged whole. They are type-stable: recycled, never unmapped, so the purger may look at
// one at any time.
//
// Thread-safety: `slabs` is shared between the owner heap and the purger (protocol below); the
// list links and `freed_at_ms` belong to whoever holds the SuperSlab (a heap, or the pool under
// its lock).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/base/kernels.h"
#include "core/slab/slab.h"

namespace hakmem {

// The free and the dirty slabs of a SuperSlab in one word. Free: in no span. Dirty: written since
// it was last zero, so it may hold pages and is not known to be zero.
struct SlabSets {
  std::uint32_t free = 0;
  std::uint32_t dirty = 0;
  static constexpr SlabSets from(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
  }
  constexpr std::uint64_t word() const noexcept { return free | std::uint64_t{dirty} << 32; }
};

// Slab metadata out of line, for modes that do not keep it in band, and a record for each block
// that a slab may hold: those of a span are with its head's.
template <class C, bool kInBand>
struct SlabStorage {
  // At the same distance from a power of two, the first records of all slabs would share a few sets of the cache: those
  // of each begin 36 lines further on (decision 007), which for sixteen slabs is nine pages.
  static constexpr std::size_t kSkew = 36 * 64 / sizeof(BlockRecord);
  static constexpr std::size_t kRecordsPerSlab = C::Geo::kSlabBytes / C::Geo::kQuantum + kSkew;
  static constexpr std::size_t kRecordBytes = kRecordsPerSlab * C::Geo::kSlabsPerSuperSlab * sizeof(BlockRecord);
  Slab<C> slabs[C::Geo::kSlabsPerSuperSlab];
  SlabTitle<C> titles[C::Geo::kSlabsPerSuperSlab];
  BlockRecord* records = nullptr;  // mapped with the first use of the descriptor
};
template <class C>
struct SlabStorage<C, true> {};

template <class C>
struct SuperSlab {
  using G = typename C::Geo;
  static constexpr bool kInBand = C::Mode::kMetadataInBand;
  using Storage = SlabStorage<C, kInBand>;
  // What spans are made of, from slab 0 on. The others are never free, so never taken, populated or dirty.
  static constexpr unsigned kUsableSlabs = G::kSlabsPerSuperSlab - (C::Mode::kGuardsSuperSlabs ? 1 : 0);
  static constexpr std::uint32_t kUsable = kernels::run_of_slabs(0, kUsableSlabs);
  static constexpr std::size_t kUsableBytes = kUsableSlabs * G::kSlabBytes;

  std::byte* base = nullptr;
  SuperSlab* next = nullptr;  // in the owner's or the pool's list
  SuperSlab* prev = nullptr;
  SuperSlab* all_next = nullptr;  // every descriptor ever made; written once
  std::uint64_t freed_at_ms = 0;  // when it entered the pool
  unsigned used_slabs = 0;        // owner only; counts slabs in spans
  bool listed_available = false;  // owner only; which of the heap's two lists it is in
  // protocol: the owner takes and returns slabs, the purger takes free dirty slabs, gives their
  // pages back and returns them clean. Every change is one compare-and-swap of the word. acquire
  // on taking, release on returning: who takes a slab sees all that was done to it before.
  typename C::template Atomic<std::uint64_t> slabs{0};
  std::uint32_t idle = 0;  // purger only: free and dirty at its last visit
  // Slabs that are dirty only because they were populated ahead of use: resident, and still zero.
  // Belongs to the holder, like the list links.
  std::uint32_t populated = 0;
  bool huge_advised = false;  // set before it is published, then by the holder of the purger's gate
  bool collapsed = false;     // made of huge pages when it filled up; belongs to the holder
  std::uint8_t splits = 0;    // mappings that its guard made, where the mode has one
  [[no_unique_address]] Storage storage;

  // Metadata of slab `index`; see Geometry::kWindowBytes for the place in band.
  Slab<C>* slab(unsigned index) noexcept {
    if constexpr (kInBand)
      return in_band_slab_of(base + std::size_t{index} * G::kSlabBytes);
    else
      return &storage.slabs[index];
  }

  // Where an address in a SuperSlab has its metadata in band: one shift and one mask give the offset
  // of the title, and a multiple of it that of the slab.
  class InBand {
   public:
    explicit InBand(void const* address) noexcept {
      auto const bits = reinterpret_cast<std::uintptr_t>(address);
      base_ = reinterpret_cast<std::byte*>(bits & ~std::uintptr_t{G::kSuperSlabMask});
      offset_ = (bits >> (G::kSlabShift - log2_exact(kSlabTitleBytes))) & (G::kTitlesBytes - kSlabTitleBytes);
    }
    explicit InBand(Slab<C> const* slab) noexcept {
      auto const bits = reinterpret_cast<std::uintptr_t>(slab);
      base_ = reinterpret_cast<std::byte*>(bits & ~std::uintptr_t{G::kSuperSlabMask});
      offset_ = (bits & G::kSuperSlabMask) / (kSlabMetaBytes / kSlabTitleBytes);
    }
    SlabTitle<C>* title() const noexcept { return reinterpret_cast<SlabTitle<C>*>(base_ + offset_ + G::kWindowsBytes); }
    Slab<C>* slab() const noexcept {
      return reinterpret_cast<Slab<C>*>(base_ + offset_ * (kSlabMetaBytes / kSlabTitleBytes));
    }

   private:
    std::byte* base_;
    std::uintptr_t offset_;
  };
  static Slab<C>* in_band_slab_of(void const* address) noexcept { return InBand(address).slab(); }

  SlabTitle<C>& title(unsigned index) noexcept {
    if constexpr (kInBand)
      return *InBand(base + std::size_t{index} * G::kSlabBytes).title();
    else
      return storage.titles[index];
  }

  // Takes `count` free slabs in a row that start at a multiple of `step`, dirty (resident) ones
  // first. `whole`: the run must not be slab 0, which carries the metadata (a longer run never is).
  // Returns the index or kNoRun; `zeroed` says whether the run is known to read as zero.
  unsigned take_run(unsigned count, unsigned step, bool whole, bool& zeroed) noexcept {
    std::uint64_t word = slabs.load(std::memory_order_relaxed);
    for (;;) {
      SlabSets sets = SlabSets::from(word);
      std::uint32_t const usable = whole || count > 1 ? sets.free & ~1u : sets.free;
      unsigned first = kernels::find_run(usable & sets.dirty, count, step);
      if (first == kernels::kNoRun) first = kernels::find_run(usable, count, step);
      if (first == kernels::kNoRun) return first;
      std::uint32_t const run = kernels::run_of_slabs(first, count);
      zeroed = (sets.dirty & run & ~populated) == 0;
      sets.free &= ~run;
      sets.dirty |= run;
      if (slabs.compare_exchange_weak(word, sets.word(), std::memory_order_acquire, std::memory_order_relaxed)) {
        populated &= ~run;
        used_slabs += count;
        return first;
      }
    }
  }

  // Takes exactly the given slabs if all are free: a span grows in place. Domain: not slab 0.
  bool take_exactly(std::uint32_t run) noexcept {
    std::uint64_t word = slabs.load(std::memory_order_relaxed);
    for (;;) {
      SlabSets sets = SlabSets::from(word);
      if ((sets.free & run) != run) return false;
      sets.free &= ~run;
      sets.dirty |= run;
      if (slabs.compare_exchange_weak(word, sets.word(), std::memory_order_acquire, std::memory_order_relaxed)) {
        populated &= ~run;
        used_slabs += static_cast<unsigned>(std::popcount(run));
        return true;
      }
    }
  }

  // The free slabs that hold no pages, in a row from slab `first` on, at most `most` of them.
  std::uint32_t clean_run(unsigned first, unsigned most) const noexcept {
    SlabSets const sets = SlabSets::from(slabs.load(std::memory_order_relaxed));
    auto const length = static_cast<unsigned>(std::countr_one((sets.free & ~sets.dirty) >> first));
    return kernels::run_of_slabs(first, length < most ? length : most);
  }

  // The pages of these slabs were made resident. Those that were clean are still zero.
  void note_populated(std::uint32_t run) noexcept {
    std::uint64_t const before = slabs.fetch_or(SlabSets{0, run}.word(), std::memory_order_relaxed);
    populated |= run & SlabSets::from(before).free & ~SlabSets::from(before).dirty;
  }

  // All usable slabs are in spans (as far as the owner knows: the purger may hold free ones for a moment).
  bool exhausted() const noexcept { return used_slabs == kUsableSlabs; }

  void return_run(std::uint32_t run) noexcept {
    used_slabs -= static_cast<unsigned>(std::popcount(run));
    slabs.fetch_or(SlabSets{run, 0}.word(), std::memory_order_release);
  }
};

template <class C>
Heap<C>* Slab<C>::owner() const noexcept {
  if constexpr (SuperSlab<C>::kInBand)
    return typename SuperSlab<C>::InBand(this).title()->owner.load(std::memory_order_relaxed);
  return super->title(index).owner.load(std::memory_order_relaxed);
}

template <class C>
std::byte* Slab<C>::start() const noexcept {
  return super->base + std::size_t{index} * G::kSlabBytes;
}

template <class C>
BlockRecord* Slab<C>::record(unsigned number) const noexcept {
  return super->storage.records + index * SuperSlab<C>::Storage::kRecordsPerSlab + number;
}

template <class C>
void Slab<C>::forget_records(unsigned from, unsigned count) const noexcept {
  for (unsigned number = from; number < from + count; ++number) {
    record(number)->state.store(0, std::memory_order_relaxed);
    record(number)->trace.store(0, std::memory_order_relaxed);
  }
}

}  // namespace hakmem
