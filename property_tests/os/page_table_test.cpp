// What it owns: the test of the simulated system's page table, on which the oracles of many other tests rest, against
// a model that keeps each page by itself.
#include "property_tests/page_table.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace hakmem::testing {
namespace {

constexpr std::size_t kPages = 24;

class EachPage {
 public:
  bool is_mapped(std::size_t page) const {
    return pages_[page].state != PageState::kNever && pages_[page].state != PageState::kReleased;
  }
  template <class Change>
  void change(PageSpan span, Change change) {
    for (std::size_t page = span.first; page < span.end; ++page) change(pages_[page]);
  }
  std::size_t runs() const {
    std::size_t found = 0;
    for (std::size_t page = 0; page < kPages; ++page)
      found += is_mapped(page) && (page == 0 || !is_mapped(page - 1) || pages_[page - 1].access != pages_[page].access);
    return found;
  }
  std::size_t mapped(PageSpan span) const {
    std::size_t found = 0;
    for (std::size_t page = span.first; page < span.end; ++page) found += is_mapped(page);
    return found;
  }
  std::size_t count(PageSpan span, PageState state) const {
    std::size_t found = 0;
    for (std::size_t page = span.first; page < span.end; ++page) found += pages_[page].state == state;
    return found;
  }
  PageSpan alike(std::size_t page, std::size_t end) const {
    std::size_t last = page;
    while (last + 1 < end && pages_[last + 1] == pages_[page]) ++last;
    return {page, last + 1};
  }
  template <class Fits>
  std::size_t find_free(std::size_t count, Fits fits) const {
    for (std::size_t first = kPages - count + 1; first-- > 0;)
      if (mapped({first, first + count}) == 0 && fits(first)) return first;
    return PageTable::kNowhere;
  }

 private:
  std::vector<Page> pages_ = std::vector<Page>(kPages);
};

void expect_equal(PageTable const& table, EachPage const& pages, PageSpan span, std::size_t alignment) {
  PageSpan const all{0, kPages};
  ASSERT_EQ(table.runs(), pages.runs());
  ASSERT_EQ(table.resident(), pages.count(all, PageState::kPopulated));
  ASSERT_EQ(table.mapped_pages(), pages.mapped(all));
  ASSERT_EQ(table.all_mapped(span), pages.mapped(span) == span.count());
  ASSERT_EQ(table.is_free(span), pages.mapped(span) == 0);
  for (unsigned state = 0; state <= static_cast<unsigned>(PageState::kReleased); ++state)
    ASSERT_EQ(table.count(span, PageState{static_cast<std::uint8_t>(state)}),
              pages.count(span, PageState{static_cast<std::uint8_t>(state)}));
  for (std::size_t page = 0; page < kPages; ++page) {
    ASSERT_EQ(table.is_mapped(page), pages.is_mapped(page));
    ASSERT_EQ(table.alike(page, span.end > page ? span.end : kPages).end,
              pages.alike(page, span.end > page ? span.end : kPages).end);
  }
  for (std::size_t skew = 0; skew < alignment; ++skew) {
    auto const fits = [=](std::size_t page) { return page % alignment == skew; };
    ASSERT_EQ(table.find_free(span.count(), fits), pages.find_free(span.count(), fits));
  }
}

TEST(OsPageTable, answers_as_a_table_of_single_pages_does) {
  std::mt19937 random(1);
  auto const below = [&random](std::size_t bound) { return random() % bound; };
  for (unsigned round = 0; round < 400; ++round) {
    PageTable table(kPages);
    EachPage pages;
    for (unsigned step = 0; step < 60; ++step) {
      std::size_t const first = below(kPages), end = first + 1 + below(kPages - first);
      PageSpan const span{first, end};
      if (below(3) == 0) {
        bool const access = below(2) == 0;
        table.set_access(span, access);
        pages.change(span, [=](Page& page) { page.access = access; });
      } else {
        PageState const state{static_cast<std::uint8_t>(below(5))};
        table.enter(span, state);
        pages.change(span, [=](Page& page) { page.state = state; });
      }
      std::size_t const from = below(kPages);
      expect_equal(table, pages, {from, from + 1 + below(kPages - from)}, 1 + below(4));
      if (HasFatalFailure()) FAIL() << "round " << round << ", step " << step;
    }
  }
}

TEST(OsPageTable, no_page_is_free_beyond_the_end) {
  PageTable const table(kPages);
  EXPECT_TRUE(table.is_free({kPages - 1, kPages}));
  EXPECT_FALSE(table.is_free({kPages - 1, kPages + 1}));
  EXPECT_EQ(table.find_free(kPages + 1, [](std::size_t) { return true; }), PageTable::kNowhere);
}

}  // namespace
}  // namespace hakmem::testing
