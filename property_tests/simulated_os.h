// What it owns: a simulated operating system: one state for each page of an address range that it
// reserves, with the page size, the placement of mappings and the limits chosen by the test.
// Invariants: memory is accessible exactly where it is mapped with access; every call that no
// correct caller makes (unmap or populate of a hole, a range outside, a partial page) is refused
// and recorded in violation().
// Thread-safety: all functions may be called by any thread; reset() and the settings by one, alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/geometry.h"
#include "core/os/linux.h"
#include "core/os/os.h"
#include "property_tests/page_table.h"

namespace hakmem::testing {

struct Simulation {
  std::size_t page_bytes = 4 * kKiB;
  std::size_t huge_page_bytes = 2 * kMiB;
  std::size_t populate_pages = ~std::size_t{0};  // populating stops at so many resident pages; touching does not
  std::size_t vma_limit = ~std::size_t{0};       // runs of pages with equal access (vm.max_map_count)
  bool hugetlb = false;                          // the huge-page pool can serve
};

class SimulatedOs {
 public:
  static constexpr std::size_t kArenaBytes = 512 * kMiB;

  // --- control ---

  static void reset(Simulation simulation = {});
  // Takes effect on later calls. The page size is reset()'s alone.
  static void set_limits(std::size_t populate_pages, std::size_t vma_limit);
  // The next mapping not yet spoken for lands at an address = skew (mod alignment), hint or not.
  static void place_next(std::size_t alignment, std::size_t skew);
  static void forget_placements();
  static void advance_ms(std::uint64_t ms);

  static PageState state_of(void const* address);
  static bool accessible(void const* address);
  // Pages of a range in a state.
  static std::size_t pages(PageState state, void const* base, std::size_t bytes);
  static std::size_t mapped_bytes();
  static std::size_t vmas();
  // Pages ever populated by a call, each time counted.
  static std::uint64_t populations();
  static std::uint64_t touches();
  // Huge-page advice that came after pages of its range had been populated.
  static std::uint64_t late_advices();
  static std::string violation();

  // --- OperatingSystem ---

  static std::size_t page_bytes() noexcept;
  static std::size_t huge_page_bytes() noexcept;
  static OsMapping map(void* hint, std::size_t bytes, MapKind kind) noexcept;
  static OsStatus unmap(void* address, std::size_t bytes) noexcept;
  static OsStatus resize(void* address, std::size_t old_bytes, std::size_t new_bytes) noexcept;
  static OsStatus move(void* address, std::size_t old_bytes, std::size_t new_bytes, void* to) noexcept;
  static OsStatus protect_none(void* address, std::size_t bytes) noexcept;
  static OsStatus protect_read_write(void* address, std::size_t bytes) noexcept;
  static OsStatus guard(void* address, std::size_t bytes) noexcept;
  static bool guards_split() noexcept { return true; }
  static bool gives_huge_pages() noexcept { return false; }
  static OsStatus populate_write(void* address, std::size_t bytes) noexcept;
  static void touch(void* address) noexcept;
  static OsStatus purge(void* address, std::size_t bytes) noexcept;
  static OsStatus advise_huge(void* address, std::size_t bytes) noexcept;
  static OsStatus advise_no_huge(void* address, std::size_t bytes) noexcept;
  static OsStatus collapse_huge(void* address, std::size_t bytes) noexcept;
  static void name(void*, std::size_t, char const*) noexcept {}
  static std::size_t mappings() noexcept { return vmas(); }
  static std::size_t mappings_max() noexcept;
  static std::uint64_t now_ms() noexcept;
  static void wait(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept { Linux::wait(word, value); }
  static void wait_for(std::atomic<std::uint32_t>& word, std::uint32_t value, std::uint64_t ms) noexcept {
    Linux::wait_for(word, value, ms);
  }
  static void wake_one(std::atomic<std::uint32_t>& word) noexcept { Linux::wake_one(word); }
  static void relax() noexcept { Linux::relax(); }
  static void write(int fd, char const* text, std::size_t bytes) noexcept { Linux::write(fd, text, bytes); }
};

static_assert(OperatingSystem<SimulatedOs>);

}  // namespace hakmem::testing
