// One modelled memory error after a correct program, on the checked build. Oracles: no report before the error; the
// kind that is reported is the kind that was planted, and it is reported at the call promised in SECURITY.md; what
// lives goes on living: no overlap and no lost contents after it.
#include <algorithm>

#include "fuzz/programs.h"

namespace hakmem::fuzz {
namespace {

using testing::ReferenceHeap;
using testing::Subject;

enum class Error : unsigned {
  kDoubleFree,
  kFreeInside,
  kFreeOfStack,
  kReallocOfFreed,
  kUsableSizeOfFreed,
  kKindMismatch,
  kSizeMismatch,
  kAlignmentMismatch,
  kWriteBehind,
  kWriteInFront,
  kWriteAfterFree,
};
constexpr unsigned kErrors = 11;
constexpr char const* kNames[kErrors] = {"double-free",    "invalid-free",  "invalid-free",  "use-after-free",
                                         "use-after-free", "kind-mismatch", "size-mismatch", "alignment-mismatch",
                                         "overflow",       "underflow",     "use-after-free"};

class Planter {
 public:
  Planter(ReferenceHeap& heap, ReferenceHeap::Block const& block) : heap_(heap), block_(block) {}

  // Makes the error; afterwards the block is gone. Returns what was reported.
  std::string plant(Error error, std::uint32_t value) {
    switch (error) {
      case Error::kDoubleFree:
        free(right());
        free(right());
        break;
      case Error::kFreeInside:
        subject().release(0, block_.start + 1 + value % std::max<std::size_t>(block_.request.bytes, 1), right());
        break;
      case Error::kFreeOfStack:
        subject().release(0, &value, {});
        break;
      case Error::kReallocOfFreed:
        free(right());
        subject().reallocate(0, block_.start, 1 + value % 100);
        break;
      case Error::kUsableSizeOfFreed:
        free(right());
        subject().usable_bytes(block_.start);
        break;
      case Error::kKindMismatch:
      case Error::kSizeMismatch:
      case Error::kAlignmentMismatch:
        free(wrong(error, value));
        break;
      case Error::kWriteBehind:
        change(block_.request.bytes);
        free(right());
        break;
      case Error::kWriteInFront:
        block_.start[-1 - static_cast<std::ptrdiff_t>(value % 8)] ^= std::byte{0x55};
        free(right());
        break;
      case Error::kWriteAfterFree:
        free(right());
        change(value % block_.request.bytes);
        subject().sweep();
        break;
    }
    return testing::take_reports();
  }

 private:
  Subject& subject() { return heap_.subject(); }
  void change(std::size_t at) { block_.start[at] ^= std::byte{0x55}; }
  void free(Claim const& claim) { subject().release(0, block_.start, claim); }
  Claim right() const {
    bool const aligned = block_.request.kind >= AllocationKind::kAligned;
    return {block_.request.kind, Claim::kUnsaid, aligned ? block_.request.alignment : Claim::kUnsaid};
  }
  Claim wrong(Error error, std::uint32_t value) const {
    Claim claim = right();
    if (error == Error::kKindMismatch)
      claim.kind = static_cast<AllocationKind>((static_cast<unsigned>(claim.kind) + 1 + value % 4) % 5);
    if (error == Error::kSizeMismatch) claim.bytes = block_.request.bytes + 1 + value % 64;
    if (error == Error::kAlignmentMismatch) claim.alignment = 2 * std::max(block_.request.alignment, kMinAlignment);
    return claim;
  }

  ReferenceHeap& heap_;
  ReferenceHeap::Block const block_;
};

// Errors that touch memory do so where a page of our own is: large blocks end at guard pages, which end the process.
constexpr std::size_t kMostTouched = 512;

bool can_plant(Error error, ReferenceHeap::Block const& block) {
  if (!block.start) return false;
  bool const writes = error == Error::kWriteBehind || error == Error::kWriteInFront || error == Error::kWriteAfterFree;
  return !writes || (block.request.bytes != 0 && block.request.bytes <= kMostTouched && block.request.alignment <= 64);
}

bool says(std::string const& reports, char const* kind) { return reports.find(kind) != std::string::npos; }

// The last record chooses the error and where to start looking for a block that can suffer it.
void plant_one(ReferenceHeap& heap, testing::Record const& record, unsigned seeded) {
  auto const error = static_cast<Error>(record.kind % kErrors);
  for (unsigned i = 0; i < ReferenceHeap::kSlots; ++i) {
    unsigned const slot = (record.slot + i) % ReferenceHeap::kSlots;
    if (!can_plant(error, heap.block(slot))) continue;
    // A block that is not freed by the error stays with the client, who forgets it.
    Planter planter(heap, heap.take(slot));
    std::string reports = planter.plant(error, record.value);
    if (seeded == 1) reports.clear();
    if (seeded == 2) reports = "size-mismatch-of-another ";
    if (!says(reports, kNames[static_cast<unsigned>(error)]))
      throw testing::Violation(std::string("planted ") + kNames[static_cast<unsigned>(error)] + ", reported " +
                               (reports.empty() ? "nothing" : reports));
    return;
  }
}

void check(Input input, unsigned seeded) {
  Program program = program_of(input);
  if (program.operations.empty()) return;
  program.kind.hardened = true;
  std::vector<testing::Record> const records = testing::records_of(input);
  auto const subject = testing::make_subject(program.kind);
  ReferenceHeap heap(*subject);
  for (std::size_t i = 0; i + 1 < program.operations.size(); ++i) testing::perform(program.operations[i], heap);
  subject->set_plan({});
  heap.attach(0);
  plant_one(heap, records[program.operations.size()], seeded);
  heap.finish();
}

std::string print(Input input) {
  std::vector<testing::Record> const records = testing::records_of(input);
  if (records.size() < 2) return "";
  testing::Record const& last = records.back();
  return print_program(input) + "// instead of the last operation: " + kNames[last.kind % kErrors] + " (error " +
         std::to_string(last.kind % kErrors) + ") of slot " + std::to_string(last.slot % ReferenceHeap::kSlots) +
         " or the next that can suffer it, value " + std::to_string(last.value) + "\n";
}

}  // namespace

Surface const surface{"misuse", true, &check, 2, &print};

}  // namespace hakmem::fuzz
