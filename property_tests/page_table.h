// What it owns: the state of each page of a simulated address range, by page number.
// Invariants: resident() is the number of pages in state kPopulated.
// Thread-safety: none; the owner serialises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hakmem::testing {

enum class PageState : std::uint8_t {
  kNever,      // not mapped yet
  kMapped,     // not yet populated
  kPopulated,  // resident
  kPurged,     // was populated, given back
  kReleased,   // unmapped again
};

struct Page {
  PageState state = PageState::kNever;
  bool access = false;
};

struct PageSpan {
  std::size_t first = 0, end = 0;
  bool empty() const { return first == end; }
  std::size_t count() const { return end - first; }
};

class PageTable {
 public:
  static constexpr std::size_t kNowhere = ~std::size_t{0};

  PageTable() = default;
  explicit PageTable(std::size_t pages) : pages_(pages) {}

  Page const& operator[](std::size_t page) const { return pages_[page]; }
  std::size_t resident() const { return resident_; }

  void enter(std::size_t page, PageState to) {
    resident_ += static_cast<std::size_t>(to == PageState::kPopulated);
    resident_ -= static_cast<std::size_t>(pages_[page].state == PageState::kPopulated);
    mapped_ -= static_cast<std::size_t>(is_mapped(page));
    pages_[page].state = to;
    mapped_ += static_cast<std::size_t>(is_mapped(page));
  }
  void enter(PageSpan span, PageState to) {
    for (std::size_t page = span.first; page < span.end; ++page) enter(page, to);
  }
  void set_access(PageSpan span, bool access) {
    for (std::size_t page = span.first; page < span.end; ++page) pages_[page].access = access;
  }

  bool is_mapped(std::size_t page) const {
    return pages_[page].state != PageState::kNever && pages_[page].state != PageState::kReleased;
  }
  bool all_mapped(PageSpan span) const {
    for (std::size_t page = span.first; page < span.end; ++page)
      if (!is_mapped(page)) return false;
    return true;
  }
  bool is_free(PageSpan span) const {
    if (span.end > pages_.size()) return false;
    for (std::size_t page = span.first; page < span.end; ++page)
      if (is_mapped(page)) return false;
    return true;
  }
  std::size_t count(PageSpan span, PageState state) const {
    std::size_t found = 0;
    for (std::size_t page = span.first; page < span.end; ++page) found += pages_[page].state == state;
    return found;
  }
  std::size_t mapped_pages() const { return mapped_; }

  // Runs of mapped pages with equal access: what the kernel keeps one VMA for.
  std::size_t runs() const {
    std::size_t found = 0;
    for (std::size_t page = 0; page < pages_.size(); ++page) {
      bool const joined = page != 0 && is_mapped(page - 1) && pages_[page - 1].access == pages_[page].access;
      if (is_mapped(page) && !joined) ++found;
    }
    return found;
  }

  // The highest `count` free pages in a row whose first page is one that `fits`.
  template <class Fits>
  std::size_t find_free(std::size_t count, Fits fits) const {
    std::size_t free_pages = 0;
    for (std::size_t first = pages_.size(); first-- > 0;) {
      free_pages = is_mapped(first) ? 0 : free_pages + 1;
      if (free_pages >= count && fits(first)) return first;
    }
    return kNowhere;
  }

 private:
  std::vector<Page> pages_;
  std::size_t resident_ = 0, mapped_ = 0;
};

}  // namespace hakmem::testing
