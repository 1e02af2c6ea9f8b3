// What it owns: which file a code address comes from, as the kernel tells it: the loader's own lists
// live in memory that a wrecked heap may have changed.
// Invariants: allocates nothing, takes no lock; reads /proc/self/maps and the first page of modules.
// Thread-safety: one caller at a time (the report's own buffers).
#pragma once

#include "hardened/text.h"

namespace hakmem::hardened {

// Appends "PATH+0xOFFSET (build-id HEX)", or "?" where no file is mapped.
void write_code_address(Text& out, void const* address) noexcept;

}  // namespace hakmem::hardened
