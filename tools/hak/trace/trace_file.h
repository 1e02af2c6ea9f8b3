// What it owns: a trace - the allocation calls of one process in an order that all its threads agree on - and the
// compact file of it, whose format docs/traces.md describes.
// Invariants: a block is allocated once, before its other calls, and freed at most once; threads and blocks are
// numbered from 0 in the order of their first call. Thread-safety: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hakmem::tools {

enum class CallKind : std::uint8_t { kMalloc, kCalloc, kAligned, kRealloc, kFree };
inline constexpr unsigned kCallKinds = 5;
char const* name_of(CallKind kind);

struct Call {
  CallKind kind = CallKind::kMalloc;
  std::uint8_t alignment_log2 = 0;  // of kAligned
  std::uint32_t thread = 0;
  std::uint32_t block = 0;
  std::uint64_t bytes = 0;  // 0 for kFree

  bool allocates() const { return kind < CallKind::kRealloc; }
  bool operator==(Call const&) const = default;
};

struct Trace {
  std::string program;
  bool whole = true;  // false: the program made more calls than are here
  std::uint32_t threads = 0;
  std::uint32_t blocks = 0;
  std::vector<Call> calls;

  // The invariant; throws std::runtime_error naming the first call that breaks it.
  void validate() const;
};

std::string encode(Trace const& trace);
// Both throw std::runtime_error where the file is not a trace.
Trace decode(std::string const& bytes);
Trace read_trace(std::string const& path);
void write_trace(std::string const& path, Trace const& trace);

}  // namespace hakmem::tools
