// What it owns: forgetting what a process remembers of its kernel, so that a test starts as a process does.
// Thread-safety: one thread, alone.
#pragma once

#include "core/os/huge.h"
#include "core/os/prefault.h"

namespace hakmem::testing {

template <class Os>
void forget_the_kernel() {
  KernelLacks<Os>::populate_write = false;
  KernelLacks<Os>::huge_advice = false;
  HugetlbFallbacks<Os>::count = 0;
  HugetlbFallbacks<Os>::warned = false;
}

}  // namespace hakmem::testing
