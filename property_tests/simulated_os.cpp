#include "property_tests/simulated_os.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <utility>

#include "core/base/check.h"
#include "core/base/kernels.h"

namespace hakmem::testing {
namespace {

struct Placement {
  std::size_t alignment, skew;
};

struct State {
  Simulation simulation;
  PageTable pages;
  std::deque<Placement> placements;
  std::uint64_t populations = 0, touches = 0, late_advices = 0, clock_ms = 0;
  std::string violation;
};

std::mutex mutex;
State state;

using Guard = std::scoped_lock<std::mutex>;

OsStatus refuse(int code) { return {Linux::classify(code), code}; }

OsStatus blame(std::string text, int code) {
  if (state.violation.empty()) state.violation = std::move(text);
  return refuse(code);
}

// The reservation, aligned to its size so that each test sees the same offsets.
std::byte* arena() {
  static std::byte* const base = [] {
    OsMapping const mapping = Linux::map(nullptr, 2 * SimulatedOs::kArenaBytes, MapKind::kReserve);
    VERIFY(mapping.ok(), "the simulation reserves its address range");
    auto const raw = reinterpret_cast<std::uintptr_t>(mapping.address);
    return reinterpret_cast<std::byte*>(kernels::align_up(raw, SimulatedOs::kArenaBytes));
  }();
  return base;
}

std::size_t page_bytes() { return state.simulation.page_bytes; }
std::byte* address_of(std::size_t page) { return arena() + page * page_bytes(); }

bool inside(void const* base, std::size_t bytes) {
  auto const offset = reinterpret_cast<std::uintptr_t>(base) - reinterpret_cast<std::uintptr_t>(arena());
  return offset < SimulatedOs::kArenaBytes && bytes <= SimulatedOs::kArenaBytes - offset;
}

std::size_t page_of(void const* address) {
  return static_cast<std::size_t>(static_cast<std::byte const*>(address) - arena()) / page_bytes();
}

// Empty for a foreign range or one that is not whole pages.
PageSpan span_of(void const* base, std::size_t bytes) {
  bool const whole = reinterpret_cast<std::uintptr_t>(base) % page_bytes() == 0 && bytes % page_bytes() == 0;
  if (bytes == 0 || !whole || !inside(base, bytes)) return {};
  std::size_t const first = page_of(base);
  return {first, first + bytes / page_bytes()};
}

// The range of a call that needs all of it mapped; empty, and blamed, if it is not.
PageSpan mapped_span(char const* call, void const* base, std::size_t bytes) {
  PageSpan const span = span_of(base, bytes);
  if (span.empty()) {
    blame(std::string(call) + " of a foreign range or partial page", EINVAL);
  } else if (!state.pages.all_mapped(span)) {
    blame(std::string(call) + " of a hole", ENOMEM);
    return {};
  }
  return span;
}

void set_access(PageSpan span, bool access) {
  std::size_t const bytes = span.count() * page_bytes();
  OsStatus const status = access ? Linux::protect_read_write(address_of(span.first), bytes)
                                 : Linux::protect_none(address_of(span.first), bytes);
  VERIFY(status.ok(), "the simulation sets access rights");
  state.pages.set_access(span, access);
}

void discard_contents(PageSpan span) { Linux::purge(address_of(span.first), span.count() * page_bytes()); }

void map_span(PageSpan span, bool access) {
  state.pages.enter(span, PageState::kMapped);
  set_access(span, access);
}

void unmap_span(PageSpan span) {
  state.pages.enter(span, PageState::kReleased);
  discard_contents(span);
  set_access(span, false);
}

// Whether the number of mappings stays within its limit when `change` is made to the page table.
template <class Change>
OsStatus within_vma_limit(Change change) {
  if (state.simulation.vma_limit == ~std::size_t{0}) return {};
  PageTable changed = state.pages;
  change(changed);
  std::size_t const after = changed.runs();
  return after > state.pages.runs() && after > state.simulation.vma_limit ? refuse(ENOMEM) : OsStatus{};
}

// Counts those that are not resident yet.
void populate_pages(PageSpan span) {
  std::size_t const missing = span.count() - state.pages.count(span, PageState::kPopulated);
  if (missing != 0) state.pages.enter(span, PageState::kPopulated);
  state.populations += missing;
}

OsStatus populate_span(PageSpan span) {
  for (PageSpan part{span.first, span.first}; part.end < span.end;) {
    part = state.pages.alike(part.end, span.end);
    if (!state.pages[part.first].access) return blame("populate without access", EINVAL);
    if (state.pages[part.first].state == PageState::kPopulated) continue;
    std::size_t const limit = state.simulation.populate_pages, resident = state.pages.resident();
    std::size_t const fitting = std::min(part.count(), limit > resident ? limit - resident : 0);
    populate_pages({part.first, part.first + fitting});
    if (fitting < part.count()) return refuse(ENOMEM);
  }
  return {};
}

// Places are multiples of `granule`.
std::size_t choose_place(void const* hint, std::size_t count, std::size_t granule) {
  Placement placement{granule, 0};
  if (!state.placements.empty()) {
    placement = state.placements.front();
    placement.skew = kernels::align_down(placement.skew, granule);
    state.placements.pop_front();
  } else if (hint && inside(hint, count * page_bytes()) && reinterpret_cast<std::uintptr_t>(hint) % granule == 0) {
    std::size_t const first = page_of(hint);
    if (state.pages.is_free({first, first + count})) return first;
  }
  return state.pages.find_free(count, [placement](std::size_t page) {
    return reinterpret_cast<std::uintptr_t>(address_of(page)) % placement.alignment == placement.skew;
  });
}

OsStatus change_access(void* address, std::size_t bytes, bool access) {
  Guard const held(mutex);
  PageSpan const span = mapped_span("protect", address, bytes);
  if (span.empty()) return refuse(ENOMEM);
  OsStatus const allowed = within_vma_limit([&](PageTable& pages) { pages.set_access(span, access); });
  if (allowed.ok()) set_access(span, access);
  return allowed;
}

}  // namespace

void SimulatedOs::reset(Simulation simulation) {
  Guard const held(mutex);
  Linux::purge(arena(), kArenaBytes);
  VERIFY(Linux::protect_none(arena(), kArenaBytes).ok(), "the simulation takes its memory back");
  state = State{};
  state.simulation = simulation;
  state.pages = PageTable(kArenaBytes / simulation.page_bytes);
}

void SimulatedOs::set_limits(std::size_t populate_pages, std::size_t vma_limit) {
  Guard const held(mutex);
  state.simulation.populate_pages = populate_pages;
  state.simulation.vma_limit = vma_limit;
}

void SimulatedOs::place_next(std::size_t alignment, std::size_t skew) {
  Guard const held(mutex);
  state.placements.push_back({alignment, skew});
}

void SimulatedOs::forget_placements() {
  Guard const held(mutex);
  state.placements.clear();
}

void SimulatedOs::advance_ms(std::uint64_t ms) {
  Guard const held(mutex);
  state.clock_ms += ms;
}

PageState SimulatedOs::state_of(void const* address) {
  Guard const held(mutex);
  return state.pages[page_of(address)].state;
}

bool SimulatedOs::accessible(void const* address) {
  Guard const held(mutex);
  return state.pages[page_of(address)].access;
}

std::size_t SimulatedOs::pages(PageState wanted, void const* base, std::size_t bytes) {
  Guard const held(mutex);
  return state.pages.count(span_of(base, bytes), wanted);
}

std::size_t SimulatedOs::mapped_bytes() {
  Guard const held(mutex);
  return state.pages.mapped_pages() * testing::page_bytes();
}

std::size_t SimulatedOs::vmas() {
  Guard const held(mutex);
  return state.pages.runs();
}

std::uint64_t SimulatedOs::populations() {
  Guard const held(mutex);
  return state.populations;
}

std::uint64_t SimulatedOs::touches() {
  Guard const held(mutex);
  return state.touches;
}

std::uint64_t SimulatedOs::late_advices() {
  Guard const held(mutex);
  return state.late_advices;
}

std::string SimulatedOs::violation() {
  Guard const held(mutex);
  return state.violation;
}

std::size_t SimulatedOs::page_bytes() noexcept {
  Guard const held(mutex);
  return testing::page_bytes();
}

std::size_t SimulatedOs::huge_page_bytes() noexcept {
  Guard const held(mutex);
  return state.simulation.huge_page_bytes;
}

std::size_t SimulatedOs::mappings_max() noexcept {
  Guard const held(mutex);
  std::size_t const limit = state.simulation.vma_limit;
  return limit == ~std::size_t{0} ? 0 : limit;
}

OsMapping SimulatedOs::map(void* hint, std::size_t bytes, MapKind kind) noexcept {
  Guard const held(mutex);
  bool const huge = kind == MapKind::kHugetlb;
  std::size_t const granule = huge ? state.simulation.huge_page_bytes : testing::page_bytes();
  if (bytes == 0 || bytes % granule != 0) return {nullptr, blame("map of a partial page", EINVAL)};
  if (huge && !state.simulation.hugetlb) return {nullptr, refuse(ENOMEM)};
  std::size_t const count = bytes / testing::page_bytes();
  std::size_t const first = choose_place(hint, count, granule);
  if (first == PageTable::kNowhere) return {nullptr, refuse(ENOMEM)};
  PageSpan const span{first, first + count};
  bool const access = kind != MapKind::kReserve;
  OsStatus const allowed = within_vma_limit([&](PageTable& pages) {
    pages.enter(span, PageState::kMapped);
    pages.set_access(span, access);
  });
  if (!allowed.ok()) return {nullptr, allowed};
  map_span(span, access);
  if (kind == MapKind::kPopulate) populate_span(span);
  return {address_of(first), {}};
}

OsStatus SimulatedOs::unmap(void* address, std::size_t bytes) noexcept {
  Guard const held(mutex);
  PageSpan const span = mapped_span("unmap", address, bytes);
  if (span.empty()) return refuse(EINVAL);
  OsStatus const allowed = within_vma_limit([&](PageTable& pages) { pages.enter(span, PageState::kReleased); });
  if (allowed.ok()) unmap_span(span);
  return allowed;
}

OsStatus SimulatedOs::resize(void* address, std::size_t old_bytes, std::size_t new_bytes) noexcept {
  Guard const held(mutex);
  PageSpan const span = mapped_span("resize", address, old_bytes);
  PageSpan const wanted = span_of(address, new_bytes);
  if (span.empty() || wanted.empty()) return refuse(span.empty() ? EFAULT : ENOMEM);
  if (wanted.end <= span.end) {
    if (wanted.end < span.end) unmap_span({wanted.end, span.end});
    return {};
  }
  if (!state.pages.is_free({span.end, wanted.end})) return refuse(ENOMEM);
  map_span({span.end, wanted.end}, state.pages[span.first].access);
  return {};
}

OsStatus SimulatedOs::move(void* address, std::size_t old_bytes, std::size_t new_bytes, void* to) noexcept {
  Guard const held(mutex);
  PageSpan const from = mapped_span("move", address, old_bytes);
  PageSpan const target = span_of(to, new_bytes);
  if (from.empty() || target.empty()) return refuse(EFAULT);
  if (from.first < target.end && target.first < from.end) return blame("move onto itself", EINVAL);
  unmap_span(target);
  map_span(target, true);
  std::size_t const moved = old_bytes < new_bytes ? old_bytes : new_bytes;
  std::memcpy(to, address, moved);
  std::size_t const moved_end = from.first + moved / testing::page_bytes();
  for (PageSpan part{from.first, from.first}; part.end < moved_end;) {
    part = state.pages.alike(part.end, moved_end);
    std::size_t const first = target.first + (part.first - from.first);
    state.pages.enter({first, first + part.count()}, state.pages[part.first].state);
  }
  unmap_span(from);
  return {};
}

OsStatus SimulatedOs::protect_none(void* address, std::size_t bytes) noexcept {
  return change_access(address, bytes, false);
}

OsStatus SimulatedOs::protect_read_write(void* address, std::size_t bytes) noexcept {
  return change_access(address, bytes, true);
}

OsStatus SimulatedOs::guard(void* address, std::size_t bytes) noexcept {
  OsStatus const status = protect_none(address, bytes);
  return status.ok() ? purge(address, bytes) : status;
}

OsStatus SimulatedOs::populate_write(void* address, std::size_t bytes) noexcept {
  Guard const held(mutex);
  PageSpan const span = mapped_span("populate", address, bytes);
  return span.empty() ? refuse(ENOMEM) : populate_span(span);
}

void SimulatedOs::touch(void* address) noexcept {
  Guard const held(mutex);
  ++state.touches;
  if (!inside(address, 1) || !state.pages[page_of(address)].access) {
    blame("touch of memory without access", EFAULT);
    return;
  }
  std::size_t const page = page_of(address);
  populate_pages({page, page + 1});
}

OsStatus SimulatedOs::purge(void* address, std::size_t bytes) noexcept {
  Guard const held(mutex);
  PageSpan const span = mapped_span("purge", address, bytes);
  if (span.empty()) return refuse(ENOMEM);
  discard_contents(span);
  for (PageSpan part{span.first, span.first}; part.end < span.end;) {
    part = state.pages.alike(part.end, span.end);
    if (state.pages[part.first].state == PageState::kPopulated) state.pages.enter(part, PageState::kPurged);
  }
  return {};
}

OsStatus SimulatedOs::advise_huge(void* address, std::size_t bytes) noexcept {
  Guard const held(mutex);
  PageSpan const span = mapped_span("huge-page advice", address, bytes);
  if (span.empty()) return refuse(ENOMEM);
  if (state.pages.count(span, PageState::kPopulated) != 0) ++state.late_advices;
  return {};
}

OsStatus SimulatedOs::advise_no_huge(void* address, std::size_t bytes) noexcept {
  Guard const held(mutex);
  PageSpan const span = mapped_span("huge-page advice", address, bytes);
  return span.empty() ? refuse(ENOMEM) : OsStatus{};
}

OsStatus SimulatedOs::collapse_huge(void* address, std::size_t bytes) noexcept {
  Guard const held(mutex);
  PageSpan const span = mapped_span("collapse", address, bytes);
  if (span.empty()) return refuse(ENOMEM);
  return state.pages.count(span, PageState::kPopulated) != 0 ? populate_span(span) : refuse(EINVAL);
}

std::uint64_t SimulatedOs::now_ms() noexcept {
  Guard const held(mutex);
  return state.clock_ms;
}

}  // namespace hakmem::testing
