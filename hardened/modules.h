// What it owns: which file a code address comes from, as the kernel tells it: the loader's own lists
// live in memory that a wrecked heap may have changed.
// Invariants: allocates nothing, takes no lock; reads /proc/self/maps and the first page of modules.
// Thread-safety: one caller at a time (the report's own buffers).
#pragma once

#include "hardened/symbols.h"
#include "hardened/text.h"

namespace hakmem::hardened {

// False where this code is linked into the program itself.
bool is_in_own_library(void const* code) noexcept;

// Appends "PATH+0xOFFSET (build-id HEX)", and with HAKMEM_SYMBOLIZE " in FUNCTION+0xOFFSET"; "?" where no file is
// mapped.
void write_code_address(Text& out, void const* address, CodeAddress kind) noexcept;

}  // namespace hakmem::hardened
