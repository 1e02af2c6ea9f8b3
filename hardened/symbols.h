// What it owns: the name of the function that an offset of an ELF file lies in, from the file's own symbol tables.
// Invariants: allocates nothing, takes no lock; reads through small buffers, so that a file of any content, which may
// change meanwhile, is read in bounds; at most kMostSymbols symbols are looked at.
// Thread-safety: any thread.
#pragma once

#include <cstdint>

#include "hardened/text.h"

namespace hakmem::hardened {

// A call's return address belongs to the function that the byte before it lies in.
enum class CodeAddress : bool { kExact, kReturn };

// Appends " in NAME+0xOFFSET", the name as the linker has it; nothing where the tables do not tell.
void write_symbol(Text& out, int file, std::uint64_t offset, CodeAddress kind) noexcept;

}  // namespace hakmem::hardened
