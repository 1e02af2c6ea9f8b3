// What it owns: the operation language - one struct for each call that a program can make of an allocator, each of
// which performs itself on the reference model and prints itself as C++ that makes it again. Fuzz targets decode
// operations from records of eight bytes; tests generate them or write them down.
// Thread-safety: values; performing as the reference model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "property_tests/model/record.h"
#include "property_tests/model/reference_heap.h"
#include "property_tests/model/subjects.h"

namespace hakmem::testing {

struct Malloc {
  unsigned thread = 0, slot = 0;
  std::size_t bytes = 0;
  AllocationKind kind = AllocationKind::kMalloc;  // or one of the operators new
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct Calloc {
  unsigned thread = 0, slot = 0;
  std::size_t bytes = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct AlignedAlloc {
  unsigned thread = 0, slot = 0;
  std::size_t bytes = 0, alignment = kMinAlignment;
  AllocationKind kind = AllocationKind::kMalloc;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct Realloc {
  unsigned thread = 0, slot = 0;
  std::size_t bytes = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
// By the thread that allocated the block or any other one, attached or not.
struct Free {
  unsigned thread = 0, slot = 0;
  bool sized = false;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
// Frees `count` slots from `slot` on.
struct FreeMany {
  unsigned thread = 0, slot = 0, count = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
// Fills up to `count` empty slots from `slot` on.
struct Fill {
  unsigned thread = 0, slot = 0, count = 0;
  std::size_t bytes = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct UsableSize {
  unsigned thread = 0, slot = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct CheckContents {
  unsigned slot = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct Trim {
  unsigned thread = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct WarmUp {
  std::size_t bytes = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
// Time passes, and the purger is visited.
struct PurgeTick {
  unsigned ms = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct Attach {
  unsigned thread = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct Detach {
  unsigned thread = 0;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
// The parent's side of fork: every lock is taken and given back.
struct ForkPoint {
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct SweepHeap {
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
// From now on, of the calls in `kinds`, call number `first` fails, and those behind it that `mask` names.
struct Fault {
  OsCallSet kinds = kEveryCall;
  unsigned first = 0;
  std::uint64_t mask = 1;
  int code = ENOMEM;
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};
struct NoFaults {
  void perform(ReferenceHeap& heap) const;
  std::string to_code() const;
};

using Operation = std::variant<Malloc, Calloc, AlignedAlloc, Realloc, Free, FreeMany, Fill, UsableSize, CheckContents,
                               Trim, WarmUp, PurgeTick, Attach, Detach, ForkPoint, SweepHeap, Fault, NoFaults>;

std::vector<Record> records_of(std::span<std::uint8_t const> input);
Operation decode(Record const& record);
SubjectKind decode_subject(Record const& record);

void perform(Operation const& operation, ReferenceHeap& heap);
std::string to_code(Operation const& operation);

// What a program that makes these calls is promised, from start to end.
void check_program(SubjectKind const& kind, std::vector<Operation> const& operations);
// As the C++ of a test that checks it again.
std::string program_to_code(SubjectKind const& kind, std::vector<Operation> const& operations);

}  // namespace hakmem::testing
