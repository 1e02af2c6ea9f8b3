#include "core/api/report.h"

#include <climits>

namespace hakmem {
namespace {

enum class Unit : std::uint8_t { count, bytes };

struct Figure {
  std::string_view key;
  std::string_view label;
  Unit unit;
  std::uint64_t Statistics::*value;
};

#define HAKMEM_FIGURE(field, unit, label) Figure{#field, label, Unit::unit, &Statistics::field},
constexpr Figure kFigures[] = {
#include "core/api/statistics.def"
};
#undef HAKMEM_FIGURE

static_assert(sizeof kFigures / sizeof kFigures[0] == sizeof(Statistics) / sizeof(std::uint64_t),
              "statistics.def lists every figure");
static_assert(sizeof(hak_statistics) == sizeof(std::size_t) + sizeof(Statistics), "hak_statistics has every figure");

constexpr int narrow(std::size_t value) noexcept { return value < INT_MAX ? static_cast<int>(value) : INT_MAX; }

}  // namespace

void write_statistics_text(TextWriter& out, Statistics const& statistics) noexcept {
  out << "hakmem: allocator statistics\n";
  for (Figure const& figure : kFigures) {
    out << "  " << figure.label;
    out.column(46).right(statistics.*figure.value, 18);
    out << (figure.unit == Unit::bytes ? " bytes\n" : "\n");
  }
}

void write_statistics_json(TextWriter& out, Statistics const& statistics) noexcept {
  out << "{\"allocator\":\"hakmem\",\"version\":\"" HAK_VERSION_STRING "\"";
  for (Figure const& figure : kFigures) out << ",\"" << figure.key << "\":" << statistics.*figure.value;
  out << "}\n";
}

void write_statistics_xml(TextWriter& out, Statistics const& statistics) noexcept {
  out << "<malloc version=\"hakmem-" HAK_VERSION_STRING "\">\n";
  for (Figure const& figure : kFigures)
    out << "<figure name=\"" << figure.key << "\" value=\"" << statistics.*figure.value << "\"/>\n";
  out << "</malloc>\n";
}

void write_statistics(TextWriter& out, StatsReport format, Statistics const& statistics) noexcept {
  (format == StatsReport::kJson ? write_statistics_json : write_statistics_text)(out, statistics);
}

hak_statistics to_c(Statistics const& statistics) noexcept {
  hak_statistics result{};
  result.size = sizeof result;
#define HAKMEM_FIGURE(field, unit, label) result.field = statistics.field;
#include "core/api/statistics.def"
#undef HAKMEM_FIGURE
  return result;
}

struct mallinfo2 to_mallinfo2(Statistics const& statistics, std::size_t super_slab_bytes) noexcept {
  struct mallinfo2 info {};
  info.arena = statistics.super_slabs_now * super_slab_bytes;
  info.ordblks = statistics.super_slabs_warm_now + statistics.super_slabs_cold_now;
  info.hblks = statistics.large_blocks_now;
  info.hblkhd = statistics.large_bytes_now;
  info.uordblks = statistics.small_bytes_now;
  info.fordblks = info.arena - info.uordblks;
  info.keepcost = statistics.super_slabs_warm_now * super_slab_bytes + statistics.large_cached_bytes_now;
  return info;
}

struct mallinfo to_mallinfo(struct mallinfo2 const& wide) noexcept {
  struct mallinfo info {};
  info.arena = narrow(wide.arena);
  info.ordblks = narrow(wide.ordblks);
  info.hblks = narrow(wide.hblks);
  info.hblkhd = narrow(wide.hblkhd);
  info.uordblks = narrow(wide.uordblks);
  info.fordblks = narrow(wide.fordblks);
  info.keepcost = narrow(wide.keepcost);
  return info;
}

}  // namespace hakmem
