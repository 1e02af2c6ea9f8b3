// What it owns: libhakmem - the fast allocator on Linux under libc's names.
#include <cstring>
#include <new>

#include "core/api/debug_layout.h"
#include "core/api/entry.h"
#include "core/api/linux_process.h"
#include "core/api/new_handler.h"
#include "core/api/runtime.h"
#include "core/os/linux.h"
#include "hardened/sampled_fast_mode.h"

namespace {

using Host = hakmem::LinuxProcess;
using Process = hakmem::Runtime<hakmem::SampledFastMode, hakmem::Linux, Host>;
using Libc = hakmem::Entry<Process>;

// Runs when the process exits, from whichever thread called exit().
[[gnu::destructor]] void at_exit() noexcept { Process::report_at_exit(); }

}  // namespace

#include "core/api/exports.inc"
#include "core/api/operators.inc"
