// What it owns: looking at a block and at the facing sides of its neighbours for bytes that nobody
// may have written.
// Invariants: reads only blocks of one span, their headers and the tail. A neighbour that another
// thread is changing counts as sound; what looks damaged is looked at again before it is believed.
// Thread-safety: any thread, for a block that it holds or whose span cannot go away.
#pragma once

#include "core/mode/mode.h"
#include "hardened/report.h"
#include "hardened/seal.h"

namespace hakmem::hardened {

struct Damage {
  bool found = false;
  ErrorKind kind{};
  BlockPlace place{};  // of the block that is blamed
  std::uint64_t record = 0;
  std::byte const* address = nullptr;  // the first changed byte
  std::size_t bytes = 0;               // from there to the last one
};

// Domain: the record said live, `record`, when the caller looked.
Damage damage_of_live(BlockPlace const& place, std::uint64_t record) noexcept;
// Domain: the same for free; not large.
Damage damage_of_free(BlockPlace const& place, std::uint64_t record) noexcept;

// Writes everything around the client's bytes of a live block.
void enclose(BlockPlace place, std::uint64_t record) noexcept;

}  // namespace hakmem::hardened
