// What it owns: the state of each page of a simulated address range, by page number.
// Invariants: resident() is the number of pages in state kPopulated; the runs cover all pages, and neighbours differ.
// Thread-safety: none; the owner serialises.
#pragma once

#include <algorithm>
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
  bool operator==(Page const&) const = default;
};

struct PageSpan {
  std::size_t first = 0, end = 0;
  bool empty() const { return first == end; }
  std::size_t count() const { return end - first; }
};

// Kept as runs of equal pages: an operation costs what the runs that it meets cost.
class PageTable {
 public:
  static constexpr std::size_t kNowhere = ~std::size_t{0};

  PageTable() = default;
  explicit PageTable(std::size_t pages) : pages_(pages), runs_{{0, {}}} {}

  Page operator[](std::size_t page) const { return runs_[run_of(page)].page; }
  // From `page` on and before `end`: the pages that are as it is.
  PageSpan alike(std::size_t page, std::size_t end) const { return {page, std::min(end_of(run_of(page)), end)}; }
  std::size_t resident() const { return resident_; }
  std::size_t mapped_pages() const { return mapped_; }

  void enter(std::size_t page, PageState to) { enter({page, page + 1}, to); }
  void enter(PageSpan span, PageState to) {
    change(span, [to](Page& page) { page.state = to; });
  }
  void set_access(PageSpan span, bool access) {
    change(span, [access](Page& page) { page.access = access; });
  }

  bool is_mapped(std::size_t page) const { return is_mapped((*this)[page]); }
  bool all_mapped(PageSpan span) const {
    return count_if(span, [](Page page) { return is_mapped(page); }) == span.count();
  }
  bool is_free(PageSpan span) const {
    return span.end <= pages_ && count_if(span, [](Page page) { return is_mapped(page); }) == 0;
  }
  std::size_t count(PageSpan span, PageState state) const {
    return count_if(span, [state](Page page) { return page.state == state; });
  }

  // Runs of mapped pages with equal access: what the kernel keeps one VMA for.
  std::size_t runs() const {
    std::size_t found = 0;
    Page before;
    for (auto const& [first, page] : runs_) {
      bool const joined = is_mapped(before) && before.access == page.access;
      if (is_mapped(page) && !joined) ++found;
      before = page;
    }
    return found;
  }

  // The highest `count` free pages in a row whose first page is one that `fits`. Domain: count > 0.
  template <class Fits>
  std::size_t find_free(std::size_t count, Fits fits) const {
    std::size_t end = pages_;  // of the free pages before which all is looked at
    for (std::size_t run = runs_.size(); run-- > 0;) {
      if (is_mapped(runs_[run].page)) {
        end = runs_[run].first;
        continue;
      }
      std::size_t const above = std::min(end_of(run), end < count ? 0 : end - count + 1);
      for (std::size_t first = above; first-- > runs_[run].first;)
        if (fits(first)) return first;
    }
    return kNowhere;
  }

 private:
  struct Run {
    std::size_t first;
    Page page;
  };

  static bool is_mapped(Page page) { return page.state != PageState::kNever && page.state != PageState::kReleased; }

  // Runs are named by their number.
  std::size_t run_of(std::size_t page) const {
    auto const after = std::upper_bound(runs_.begin(), runs_.end(), page,
                                        [](std::size_t wanted, Run const& run) { return wanted < run.first; });
    return static_cast<std::size_t>(after - runs_.begin()) - 1;
  }
  std::size_t end_of(std::size_t run) const { return run + 1 == runs_.size() ? pages_ : runs_[run + 1].first; }

  template <class Wanted>
  std::size_t count_if(PageSpan span, Wanted wanted) const {
    std::size_t found = 0;
    for (PageSpan part{span.first, span.first}; part.end < span.end;) {
      part = alike(part.end, span.end);
      if (wanted((*this)[part.first])) found += part.count();
    }
    return found;
  }

  // The run that begins at `page`, which is made to begin one; at the end of all pages, their number.
  std::size_t split(std::size_t page) {
    if (page == pages_) return runs_.size();
    std::size_t const run = run_of(page);
    if (runs_[run].first == page) return run;
    runs_.insert(at(run + 1), {page, runs_[run].page});
    return run + 1;
  }

  template <class Change>
  void change(PageSpan span, Change change) {
    if (span.empty()) return;
    std::size_t const first = split(span.first), end = split(span.end);
    for (std::size_t run = first; run < end; ++run) {
      Page& page = runs_[run].page;
      std::size_t const pages = end_of(run) - runs_[run].first;
      auto const counted = [pages](bool yes) { return yes ? pages : 0; };
      resident_ -= counted(page.state == PageState::kPopulated);
      mapped_ -= counted(is_mapped(page));
      change(page);
      resident_ += counted(page.state == PageState::kPopulated);
      mapped_ += counted(is_mapped(page));
    }
    auto const last = at(std::min(end + 1, runs_.size()));
    auto const alike = [](Run const& left, Run const& right) { return left.page == right.page; };
    runs_.erase(std::unique(at(first == 0 ? 0 : first - 1), last, alike), last);
  }

  std::vector<Run>::iterator at(std::size_t run) { return runs_.begin() + static_cast<std::ptrdiff_t>(run); }

  std::size_t pages_ = 0;
  std::vector<Run> runs_;  // by their first page
  std::size_t resident_ = 0, mapped_ = 0;
};

}  // namespace hakmem::testing
