// What it owns: the statistics as text for people, as JSON, as the XML that malloc_info promises,
// and as the C structures of hakmem.h and malloc.h. The figures are listed in statistics.def.
// Thread-safety: pure functions.
#pragma once

#include <malloc.h>

#include "core/api/text_writer.h"
#include "core/base/settings.h"
#include "core/global/statistics.h"
#include "core/include/hakmem/hakmem.h"

namespace hakmem {

// First line "hakmem: allocator statistics", then one figure a line.
void write_statistics_text(TextWriter& out, Statistics const& statistics) noexcept;
void write_statistics_json(TextWriter& out, Statistics const& statistics) noexcept;
void write_statistics_xml(TextWriter& out, Statistics const& statistics) noexcept;

// Text or JSON. Domain: not kOff.
void write_statistics(TextWriter& out, StatsReport format, Statistics const& statistics) noexcept;

hak_statistics to_c(Statistics const& statistics) noexcept;

// What mallinfo2 means by its members: `arena` SuperSlab bytes, `uordblks` of them held by the
// program, `fordblks` the rest, `hblks` and `hblkhd` large blocks, `ordblks` free SuperSlabs,
// `keepcost` bytes that malloc_trim can give back.
struct mallinfo2 to_mallinfo2(Statistics const& statistics, std::size_t super_slab_bytes) noexcept;

// The same in ints: what does not fit is shown as INT_MAX.
struct mallinfo to_mallinfo(struct mallinfo2 const& wide) noexcept;

}  // namespace hakmem
