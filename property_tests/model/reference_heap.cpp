#include "property_tests/model/reference_heap.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "core/base/kernels.h"
#include "property_tests/model/subjects.h"

namespace hakmem::testing {
namespace {

constexpr int kErrnoOfClient = 4711;
// Above this, address space may run out, in particular in the simulation.
constexpr std::size_t kAlwaysServed = 64 * kMiB;

std::byte pattern(unsigned seed, std::size_t offset) {
  return static_cast<std::byte>(seed * 167 + offset * 31 + (offset >> 8) + 1);
}

// All offsets of a block up to a page; of a larger one both ends and some from every page, of a very large one
// from every tenth.
template <class Visit>
void for_each_offset(std::size_t bytes, Visit visit) {
  constexpr std::size_t kWhole = 4096, kEnds = 128, kVeryLarge = 256 * kKiB;
  std::size_t const stride = bytes <= kVeryLarge ? 4093 : 40'961;
  for (std::size_t i = 0; i < bytes; i += bytes <= kWhole || i < kEnds ? 1 : stride) visit(i);
  if (bytes > kWhole)
    for (std::size_t i = bytes - kEnds; i < bytes; ++i) visit(i);
}

bool is_zero(std::byte const* start, std::size_t bytes) {
  return bytes == 0 || (start[0] == std::byte{0} && std::memcmp(start, start + 1, bytes - 1) == 0);
}

std::string describe(Request const& request) {
  return " (" + std::to_string(request.bytes) + " bytes aligned to " + std::to_string(request.alignment) + ")";
}

}  // namespace

ReferenceHeap::Started ReferenceHeap::begin() const {
  errno = kErrnoOfClient;
  return {subject_.failed()};
}

void ReferenceHeap::end(unsigned thread, Started const&) {
  require(errno == kErrnoOfClient, "errno changed");
  if (std::string const reports = take_reports(); !reports.empty())
    throw Violation("a correct call was reported: " + reports);
  if (calls_ == Calls::kScheduled) return;
  if (std::string const damage = subject_.damage(thread); !damage.empty()) throw Violation(damage);
}

bool ReferenceHeap::can_ask(unsigned thread, unsigned slot, std::size_t bytes) {
  bool const absurd = bytes > kernels::kMaxRequest;
  if (blocks_[slot].start || (!absurd && bytes > kMostBytes - live_bytes_)) return false;
  if (!subject_.attached(thread)) attach(thread);
  return subject_.attached(thread) && !blocks_[slot].start;
}

bool ReferenceHeap::may_refuse(Request const& request, Started const& started) const {
  if (subject_.failed() != started.failed || request.bytes > kernels::kMaxRequest) return true;
  return request.bytes + request.alignment > kAlwaysServed;
}

void ReferenceHeap::allocate(unsigned thread, unsigned slot, Request const& request) {
  if (!can_ask(thread, slot, request.bytes)) return;
  auto const started = begin();
  void* const start = subject_.allocate(thread, request);
  take_in(thread, slot, start, request, started);
  end(thread, started);
}

void ReferenceHeap::allocate_zeroed(unsigned thread, unsigned slot, std::size_t bytes) {
  if (!can_ask(thread, slot, bytes)) return;
  auto const started = begin();
  void* const start = subject_.allocate_zeroed(thread, bytes);
  if (start && !is_zero(static_cast<std::byte*>(start), bytes))
    throw Violation("a zeroed block is not zero" + describe({bytes}));
  take_in(thread, slot, start, {bytes}, started);
  end(thread, started);
}

void ReferenceHeap::reallocate(unsigned thread, unsigned slot, std::size_t bytes) {
  if (!blocks_[slot].start || bytes == 0 || !subject_.attached(thread)) return;
  if (blocks_[slot].request.kind != AllocationKind::kMalloc) return;
  if (bytes <= kernels::kMaxRequest && bytes > kMostBytes - live_bytes_) return;
  check_contents(slot);
  Block before = take(slot);
  auto const started = begin();
  void* const start = subject_.reallocate(thread, before.start, bytes);
  if (!start) {
    if (!may_refuse({bytes}, started)) throw Violation("realloc refused without a reason" + describe({bytes}));
    outcomes_.push_back(false);
    check_pattern(before, before.request.bytes);
    return put(thread, slot, before), end(thread, started);
  }
  before.start = static_cast<std::byte*>(start);
  check_pattern(before, std::min(before.request.bytes, bytes));
  take_in(thread, slot, start, {bytes}, started);
  end(thread, started);
}

void ReferenceHeap::release(unsigned thread, unsigned slot, bool sized) {
  if (!blocks_[slot].start) return;
  check_contents(slot);
  Block const block = take(slot);
  Claim claim{block.request.kind};
  if (sized) claim.bytes = block.request.bytes;
  bool const of_aligned_new = claim.kind == AllocationKind::kAligned || claim.kind == AllocationKind::kAlignedArray;
  if (of_aligned_new) claim.alignment = block.request.alignment;
  auto const started = begin();
  subject_.release(thread, block.start, claim);
  end(thread, started);
}

// Meanwhile the block is in no slot, so that no other thread frees it.
void ReferenceHeap::ask_usable_bytes(unsigned thread, unsigned slot) {
  if (blocks_[slot].start) put(thread, slot, take(slot));
}

void ReferenceHeap::check_contents(unsigned slot) const {
  if (blocks_[slot].start) check_pattern(blocks_[slot], blocks_[slot].request.bytes);
}

void ReferenceHeap::attach(unsigned thread) {
  if (subject_.attached(thread)) return;
  auto const started = begin();
  bool const served = subject_.attach(thread);
  require(served || subject_.failed() != started.failed, "a thread got no heap without a reason");
  end(thread, started);
}

void ReferenceHeap::detach(unsigned thread) {
  if (!subject_.attached(thread)) return;
  auto const started = begin();
  subject_.detach(thread);
  end(thread, started);
}

void ReferenceHeap::finish() {
  subject_.set_plan({});
  for (unsigned slot = 0; slot < kSlots; ++slot) release(0, slot, false);
  for (unsigned thread = 0; thread < Subject::kThreads; ++thread) detach(thread);
  // A heap parks what was freed to it by others: one life more takes it in.
  attach(0);
  call(0, [](Subject& subject) { subject.trim(0); });
  require(subject_.sweep(), "a sweep of the whole heap found damage");
  detach(0);
  if (std::string const remains = subject_.remains(); !remains.empty()) throw Violation(remains);
}

ReferenceHeap::Block ReferenceHeap::take(unsigned slot) {
  Block const block = blocks_[slot];
  extents_.erase(reinterpret_cast<std::uintptr_t>(block.start));
  live_bytes_ -= block.request.bytes;
  blocks_[slot] = {};
  return block;
}

void ReferenceHeap::take_in(unsigned thread, unsigned slot, void* start, Request const& request,
                            Started const& started) {
  outcomes_.push_back(start != nullptr);
  if (!start) {
    if (!may_refuse(request, started)) throw Violation("refused without a reason" + describe(request));
    return;
  }
  if (request.bytes > kernels::kMaxRequest) throw Violation("served what nothing can hold" + describe(request));
  auto const address = reinterpret_cast<std::uintptr_t>(start);
  if (address % std::max(request.alignment, kMinAlignment) != 0) throw Violation("misaligned" + describe(request));
  Block const block{static_cast<std::byte*>(start), request, ++seed_};
  for_each_offset(request.bytes, [&block](std::size_t i) { block.start[i] = pattern(block.seed, i); });
  put(thread, slot, block);
}

// Where another thread filled the slot meanwhile, the block is given back.
void ReferenceHeap::put(unsigned thread, unsigned slot, Block const& block) {
  std::size_t const usable = subject_.usable_bytes(block.start);
  if (blocks_[slot].start) return subject_.release(thread, block.start, {block.request.kind});
  auto const start = reinterpret_cast<std::uintptr_t>(block.start);
  if (usable < block.request.bytes) throw Violation("too small" + describe(block.request));
  std::uintptr_t const end = start + std::max<std::size_t>(usable, 1);
  auto const next = extents_.lower_bound(start);
  bool const hits_next = next != extents_.end() && next->first < end;
  bool const hits_previous = next != extents_.begin() && std::prev(next)->second > start;
  if (hits_next || hits_previous) throw Violation("two live blocks overlap" + describe(block.request));
  extents_[start] = end;
  live_bytes_ += block.request.bytes;
  blocks_[slot] = block;
}

void ReferenceHeap::check_pattern(Block const& block, std::size_t bytes) {
  for_each_offset(block.request.bytes, [&](std::size_t i) {
    if (i < bytes && block.start[i] != pattern(block.seed, i))
      throw Violation("byte " + std::to_string(i) + " of a live block changed" + describe(block.request));
  });
}

}  // namespace hakmem::testing
