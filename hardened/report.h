// What it owns: how a client's bug is told: what was done to which block, who allocated and freed it,
// and who does this now. One place composes every message.
//
// The first line is `hakmem: KIND: ...` and holds no addresses, so that it is the same in each run.
// Invariants: nothing here allocates or takes a lock that malloc takes; memory of the client's or of
// the heap is not read, only metadata that lies between guard pages and the program's own image.
// Thread-safety: any thread; one report at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/settings.h"
#include "core/mode/mode.h"

namespace hakmem::hardened {

enum class ErrorKind : std::uint8_t {
  kDoubleFree,
  kInvalidFree,
  kKindMismatch,
  kSizeMismatch,
  kAlignmentMismatch,
  kOverflow,
  kUnderflow,
  kUseAfterFree,
  kBrokenHeap,  // the allocator itself faulted
};
char const* name_of(ErrorKind kind) noexcept;

// What is known about an error. `record` is the state word and `trace` the trace word of the block.
struct Evidence {
  ErrorKind kind;
  char const* call = "";          // what the program called, or what found it: "free()"
  void const* address = nullptr;  // given by the program, or damaged, or touched
  BlockPlace place{};
  std::uint64_t record = 0;
  std::uint64_t trace = 0;
  std::size_t damaged = 0;  // bytes from `address` on that were changed, 0: unknown
  Claim claim{};
  char const* access = nullptr;  // "read", "write": a guard was hit
  void* frame = nullptr;         // where the stack of the access begins; null: at the current call
  void* pc = nullptr;
};

void start_reports(Settings const& settings) noexcept;
void set_report_callback(ReportCallback callback, void* context) noexcept;

// Tells, and ends the process unless HAKMEM_ON_ERROR says to go on.
void report(Evidence const& evidence) noexcept;
// The same, but always returns: the fault itself ends the process.
void report_only(Evidence const& evidence) noexcept;

}  // namespace hakmem::hardened
