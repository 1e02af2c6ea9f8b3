#include "property_tests/model/operation.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/kernels.h"

namespace hakmem::testing {
namespace {

std::string text(std::uint64_t value) { return std::to_string(value); }
std::string text(AllocationKind kind) { return "AllocationKind{" + text(static_cast<std::uint64_t>(kind)) + "}"; }
std::string place(unsigned thread, unsigned slot) {
  return ".thread = " + text(std::uint64_t{thread}) + ", .slot = " + text(std::uint64_t{slot});
}

// Small, around a power of two, medium, large, or beyond what anything can serve.
std::size_t decode_bytes(unsigned shape, std::uint32_t value) {
  switch (shape % 8) {
    case 0:
    case 1:
      return value % 1100;
    case 2:
      return value % (9 * kKiB);
    case 3:
    case 4:
      return (std::size_t{1} << (value % 23)) + (value >> 8) % 5 - std::min<std::size_t>(2, (1u << (value % 23)) - 1);
    case 5:
      return value % (96 * kKiB);
    case 6:
      return value % (6 * kMiB);
    default:
      return value % 16 == 0 ? ~std::size_t{0} - value / 16 % 64 : value % 3 * 512 * kKiB + (value >> 16) % 64;
  }
}

constexpr int kCodes[] = {ENOMEM, EINVAL, EAGAIN, EPERM, EFAULT, EINTR, EHWPOISON, ENOMEM};

Operation decode_fault(Record const& record) {
  if (record.shape % 4 == 3) return NoFaults{};
  OsCallSet const kinds = record.shape % 4 == 0 ? kEveryCall : only(static_cast<OsCall>(record.slot % kOsCalls));
  std::uint64_t const mask = record.shape % 4 == 2 ? record.value : 1;
  return Fault{kinds, record.slot % 24u, mask, kCodes[record.thread % 8]};
}

AllocationKind decode_kind(unsigned shape) {
  switch (shape >> 3 & 7) {
    case 6:
      return AllocationKind::kNew;
    case 7:
      return AllocationKind::kNewArray;
    default:
      return AllocationKind::kMalloc;
  }
}

Operation decode_aligned(Record const& record, unsigned thread, unsigned slot) {
  std::size_t const alignment = std::size_t{1}
                                << (record.value % 16 == 0 ? (record.value >> 4) % 31 : record.value % 14);
  AllocationKind const kind = record.shape >= 224 ? AllocationKind::kAligned : AllocationKind::kMalloc;
  return AlignedAlloc{thread, slot, decode_bytes(record.shape, record.value >> 8), alignment, kind};
}

}  // namespace

void Malloc::perform(ReferenceHeap& heap) const { heap.allocate(thread, slot, {bytes, kMinAlignment, kind}); }
void Calloc::perform(ReferenceHeap& heap) const { heap.allocate_zeroed(thread, slot, bytes); }
void AlignedAlloc::perform(ReferenceHeap& heap) const { heap.allocate(thread, slot, {bytes, alignment, kind}); }
void Realloc::perform(ReferenceHeap& heap) const { heap.reallocate(thread, slot, bytes); }
void Free::perform(ReferenceHeap& heap) const { heap.release(thread, slot, sized); }
void FreeMany::perform(ReferenceHeap& heap) const {
  for (unsigned i = 0; i < count; ++i) heap.release(thread, (slot + i) % ReferenceHeap::kSlots, false);
}
void Fill::perform(ReferenceHeap& heap) const {
  for (unsigned i = 0; i < count; ++i) heap.allocate(thread, (slot + i) % ReferenceHeap::kSlots, {bytes});
}
void UsableSize::perform(ReferenceHeap& heap) const { heap.ask_usable_bytes(thread, slot); }
void CheckContents::perform(ReferenceHeap& heap) const { heap.check_contents(slot); }
void Trim::perform(ReferenceHeap& heap) const {
  heap.call(thread, [this](Subject& subject) { subject.trim(thread); });
}
void WarmUp::perform(ReferenceHeap& heap) const {
  heap.call(0, [this](Subject& subject) { subject.warm_up(bytes); });
}
void PurgeTick::perform(ReferenceHeap& heap) const {
  heap.subject().advance_ms(ms);
  heap.call(0, [](Subject& subject) { subject.tick(); });
}
void Attach::perform(ReferenceHeap& heap) const { heap.attach(thread); }
void Detach::perform(ReferenceHeap& heap) const { heap.detach(thread); }
void ForkPoint::perform(ReferenceHeap& heap) const {
  heap.call(0, [](Subject& subject) { subject.pass_fork(); });
}
void SweepHeap::perform(ReferenceHeap& heap) const {
  heap.call(0, [](Subject& subject) { require(subject.sweep(), "a sweep of the whole heap found damage"); });
}
void Fault::perform(ReferenceHeap& heap) const {
  heap.subject().set_plan({kinds, CallBits{mask} << first, false, code});
}
void NoFaults::perform(ReferenceHeap& heap) const { heap.subject().set_plan({}); }

std::string Malloc::to_code() const {
  return "Malloc{" + place(thread, slot) + ", .bytes = " + text(bytes) + ", .kind = " + text(kind) + "}";
}
std::string Calloc::to_code() const { return "Calloc{" + place(thread, slot) + ", .bytes = " + text(bytes) + "}"; }
std::string AlignedAlloc::to_code() const {
  return "AlignedAlloc{" + place(thread, slot) + ", .bytes = " + text(bytes) + ", .alignment = " + text(alignment) +
         ", .kind = " + text(kind) + "}";
}
std::string Realloc::to_code() const { return "Realloc{" + place(thread, slot) + ", .bytes = " + text(bytes) + "}"; }
std::string Free::to_code() const {
  return "Free{" + place(thread, slot) + ", .sized = " + (sized ? "true" : "false") + "}";
}
std::string FreeMany::to_code() const {
  return "FreeMany{" + place(thread, slot) + ", .count = " + text(std::uint64_t{count}) + "}";
}
std::string Fill::to_code() const {
  return "Fill{" + place(thread, slot) + ", .count = " + text(std::uint64_t{count}) + ", .bytes = " + text(bytes) + "}";
}
std::string UsableSize::to_code() const { return "UsableSize{" + place(thread, slot) + "}"; }
std::string CheckContents::to_code() const { return "CheckContents{.slot = " + text(std::uint64_t{slot}) + "}"; }
std::string Trim::to_code() const { return "Trim{.thread = " + text(std::uint64_t{thread}) + "}"; }
std::string WarmUp::to_code() const { return "WarmUp{.bytes = " + text(bytes) + "}"; }
std::string PurgeTick::to_code() const { return "PurgeTick{.ms = " + text(std::uint64_t{ms}) + "}"; }
std::string Attach::to_code() const { return "Attach{.thread = " + text(std::uint64_t{thread}) + "}"; }
std::string Detach::to_code() const { return "Detach{.thread = " + text(std::uint64_t{thread}) + "}"; }
std::string ForkPoint::to_code() const { return "ForkPoint{}"; }
std::string SweepHeap::to_code() const { return "SweepHeap{}"; }
std::string Fault::to_code() const {
  return "Fault{.kinds = " + text(std::uint64_t{kinds}) + ", .first = " + text(std::uint64_t{first}) +
         ", .mask = " + text(mask) + ", .code = " + text(static_cast<std::uint64_t>(code)) + "}";
}
std::string NoFaults::to_code() const { return "NoFaults{}"; }

std::vector<Record> records_of(std::span<std::uint8_t const> input) {
  std::vector<Record> records(input.size() / sizeof(Record));
  if (!records.empty()) std::memcpy(records.data(), input.data(), records.size() * sizeof(Record));
  return records;
}

Operation decode(Record const& record) {
  unsigned const thread = record.thread % Subject::kThreads, slot = record.slot % ReferenceHeap::kSlots;
  std::size_t const bytes = decode_bytes(record.shape, record.value);
  switch (record.kind % 24) {
    case 0:
    case 1:
    case 2:
      return Malloc{thread, slot, bytes, decode_kind(record.shape)};
    case 3:
    case 4:
      return Calloc{thread, slot, bytes};
    case 5:
    case 6:
      return decode_aligned(record, thread, slot);
    case 7:
    case 8:
    case 9:
      return Realloc{thread, slot, bytes};
    case 10:
    case 11:
      return Free{thread, slot, (record.shape & 1) != 0};
    case 12:
      return FreeMany{thread, slot, record.shape % 33u};
    case 13:
      return Fill{thread, slot, record.shape % 33u, record.value % (8 * kKiB)};
    case 14:
      return UsableSize{thread, slot};
    case 15:
      return CheckContents{slot};
    case 16:
      return Trim{thread};
    case 17:
      return WarmUp{record.value % (5 * kMiB)};
    case 18:
      return PurgeTick{record.value % 1200};
    case 19:
      return Attach{thread};
    case 20:
      return Detach{thread};
    case 21:
      return (record.shape & 1) != 0 ? Operation{ForkPoint{}} : Operation{SweepHeap{}};
    default:
      return decode_fault(record);
  }
}

SubjectKind decode_subject(Record const& record) {
  SubjectKind kind;
  kind.hardened = (record.kind & 1) != 0;
  kind.tiny = (record.kind & 2) == 0;
  kind.simulated = (record.kind & 4) != 0;
  kind.prefault = static_cast<PrefaultPolicy>(record.slot % 5);
  kind.huge = static_cast<HugePolicy>(record.thread % 3);  // kHugetlb says on standard error that there is none
  kind.purge_delay_ms = record.shape % 2 == 0 ? 500 : 0;
  kind.large_cache_bytes = std::size_t{record.value % 16} * kMiB;
  kind.quarantine_bytes = std::size_t{record.value >> 8 & 15} * kKiB;
  return kind;
}

void perform(Operation const& operation, ReferenceHeap& heap) {
  std::visit([&heap](auto const& one) { one.perform(heap); }, operation);
}

std::string to_code(Operation const& operation) {
  return std::visit([](auto const& one) { return one.to_code(); }, operation);
}

void check_program(SubjectKind const& kind, std::vector<Operation> const& operations) {
  auto const subject = make_subject(kind);
  ReferenceHeap heap(*subject);
  for (Operation const& operation : operations) perform(operation, heap);
  heap.finish();
}

std::string program_to_code(SubjectKind const& kind, std::vector<Operation> const& operations) {
  std::string code = "check_program(" + kind.to_code() + ",\n              {\n";
  for (Operation const& operation : operations) code += "                  " + to_code(operation) + ",\n";
  return code + "              });\n";
}

}  // namespace hakmem::testing
