// What it owns: an operating system for the models - real memory from one static region, futexes
// that the model checker knows, a clock that the model moves.
// Thread-safety: none; the model checker runs one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/kernels.h"
#include "core/mode/config.h"
#include "property_tests/concurrency/relacy_sync.h"

namespace hakmem::model {

struct ModelOs {
  static constexpr std::size_t kPage = 4 * kKiB;
  static constexpr std::size_t kRegionBytes = 64 * kMiB;
  static inline std::byte* const region = static_cast<std::byte*>(std::aligned_alloc(2 * kMiB, kRegionBytes));
  static inline std::size_t mapped = 0;
  static inline std::uint64_t clock_ms = 0;
  static inline unsigned refusals = 0;  // how many calls of unmap fail from now on
  // Called for each purge; null: nothing to observe.
  static inline void (*on_purge)(std::byte* start, std::size_t bytes) = nullptr;

  static void begin() {
    mapped = 0;
    clock_ms = 0;
    refusals = 0;
    on_purge = nullptr;
  }

  static std::size_t page_bytes() noexcept { return kPage; }
  static std::size_t huge_page_bytes() noexcept { return 0; }
  static bool gives_huge_pages() noexcept { return false; }
  static std::size_t mappings() noexcept { return 0; }
  static std::size_t mappings_max() noexcept { return 0; }

  // What is mapped at once may be unmapped in parts of 2 MiB, and several at once.
  template <class Act>
  static void for_each_unit(std::byte* start, std::size_t bytes, Act act) noexcept {
    std::size_t const unit = bytes % (2 * kMiB) == 0 ? 2 * kMiB : bytes;
    for (std::size_t done = 0; done < bytes; done += unit) act(start + done, unit);
  }

  static OsMapping map(void*, std::size_t bytes, MapKind) noexcept {
    // Multiples of 2 MiB come aligned, and leave the rest of the region so.
    std::size_t const start = bytes % (2 * kMiB) == 0 ? kernels::align_up(mapped, 2 * kMiB) : mapped;
    if (start + bytes > kRegionBytes) return {nullptr, {OsError::kOutOfMemory, 12}};
    mapped = start + bytes;
    if (bytes < 2 * kMiB) std::memset(region + start, 0, bytes);
    for_each_unit(region + start, bytes, MappedMemory::add);
    return {region + start, {}};
  }
  static OsStatus unmap(void* start, std::size_t bytes) noexcept {
    if (refusals > 0 && refusals--) return {OsError::kOutOfMemory, 12};
    for_each_unit(static_cast<std::byte*>(start), bytes, MappedMemory::remove);
    return {};
  }
  static OsStatus resize(void*, std::size_t, std::size_t) noexcept { return {OsError::kOutOfMemory, 12}; }
  static OsStatus move(void*, std::size_t, std::size_t, void*) noexcept { return {OsError::kOutOfMemory, 12}; }
  static OsStatus protect_none(void*, std::size_t) noexcept { return {}; }
  static OsStatus protect_read_write(void*, std::size_t) noexcept { return {}; }
  static OsStatus guard(void*, std::size_t) noexcept { return {}; }
  static bool guards_split() noexcept { return false; }
  static OsStatus populate_write(void* start, std::size_t) noexcept {
    RL_ASSERT(MappedMemory::check(start));
    return {};
  }
  static void touch(void*) noexcept {}
  static OsStatus purge(void* start, std::size_t bytes) noexcept {
    RL_ASSERT(MappedMemory::check(start));
    if (on_purge) on_purge(static_cast<std::byte*>(start), bytes);
    return {};
  }
  static OsStatus advise_huge(void*, std::size_t) noexcept { return {}; }
  static OsStatus advise_no_huge(void*, std::size_t) noexcept { return {}; }
  static OsStatus collapse_huge(void*, std::size_t) noexcept { return {}; }
  static void name(void*, std::size_t, char const*) noexcept {}
  static std::uint64_t now_ms() noexcept { return clock_ms; }

  // For locks of the layers that are not under test; they are never contended in a model.
  static void wait(std::atomic<std::uint32_t>&, std::uint32_t) noexcept { std::abort(); }
  static void wait_for(std::atomic<std::uint32_t>&, std::uint32_t, std::uint64_t) noexcept { std::abort(); }
  static void wake_one(std::atomic<std::uint32_t>&) noexcept {}

  static void wait(Atomic<std::uint32_t>& word, std::uint32_t value) noexcept { word.sleep_while(value); }
  static void wait_for(Atomic<std::uint32_t>&, std::uint32_t, std::uint64_t) noexcept {}
  static void wake_one(Atomic<std::uint32_t>& word) noexcept { word.wake_one(); }
  // Spinning is bounded in the code under test: what follows it is reached by not giving way.
  static void relax() noexcept {}
  static void write(int, char const*, std::size_t) noexcept {}
};

// The fast mode with its metadata out of line, so that no plain field of it lies in memory that the
// models purge.
struct ModelMode : FastMode {
  static constexpr char const* kName = "model";
  static constexpr bool kMetadataInBand = false;
};

// Few and large: eight slabs a SuperSlab of 2 MiB, four or two blocks a slab, two classes.
struct ModelShape {
  static constexpr std::size_t kSlabBytes = 256 * kKiB;
  static constexpr unsigned kSlabsPerSuperSlab = 8;
  static constexpr std::size_t kQuantum = 64 * kKiB;
  static constexpr unsigned kStepsPerDoubling = 2;
  static constexpr std::size_t kSmallMax = 128 * kKiB;
  static constexpr std::size_t kClassMax = 128 * kKiB;
  static constexpr std::size_t kMediumMax = 1 * kMiB;
  static constexpr std::size_t kDirectMax = 128 * kKiB;
  static constexpr std::size_t kCarveBytes = 64 * kKiB;
  static constexpr std::size_t kOutboxBytes = 512 * kKiB;
  static constexpr unsigned kColours = 2;
};

using C = Config<ModelMode, ModelOs, ModelSync, Geometry<ModelShape>>;

}  // namespace hakmem::model
