// What it owns: the agreement between the probe (the traced program) and the tracer: which calls are
// traced, and the breakpoints around them. x86-64 only.
#pragma once

#include <cstdint>
#include <iterator>

namespace hakmem::bench {

// In the order in which the probe makes the calls; the symbols are what dlsym resolves.
struct TracedCall {
  char const* name;
  char const* symbol;
};
enum TracedIndex : std::uint64_t { kMalloc, kFree, kNew, kDelete, kDeleteSized, kCallEnd };
constexpr TracedCall kTracedCalls[] = {
    {"malloc", "malloc"},
    {"free", "free"},
    {"operator_new", "_Znwm"},
    {"operator_delete", "_ZdlPv"},
    {"operator_delete_sized", "_ZdlPvm"},
};
static_assert(std::size(kTracedCalls) == kCallEnd);

// Stops the probe; the tracer reads the mark from rax.
inline void mark(TracedIndex index) { asm volatile("int3" : : "a"(static_cast<std::uint64_t>(index)) : "memory"); }

}  // namespace hakmem::bench
