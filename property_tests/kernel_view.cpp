#include "property_tests/kernel_view.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "core/base/geometry.h"

namespace hakmem::testing {
namespace {

// PAGEMAP_SCAN (Linux 6.7), which older headers lack.
struct ScanArgument {
  std::uint64_t size, flags, start, end, walk_end, vector, vector_length, max_pages;
  std::uint64_t category_inverted, category_mask, category_any, return_mask;
};
struct ScannedRegion {
  std::uint64_t start, end, categories;
};
constexpr std::uint64_t kPresent = 1 << 3, kSwapped = 1 << 4, kZeroPage = 1 << 5, kHuge = 1 << 6;
// A page that the kernel moves while it makes room for a huge one is listed like one that is swapped out.
constexpr std::uint64_t kHeld = kPresent | kSwapped;

// Bytes of the range whose pages have one of `either`, all of `wanted` and not the page of zeroes;
// nothing if the kernel cannot tell.
std::optional<std::size_t> scan(void const* base, std::size_t bytes, std::uint64_t either, std::uint64_t wanted) {
  int const fd = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  ScannedRegion regions[64];
  ScanArgument argument{};
  argument.size = sizeof argument;
  argument.start = reinterpret_cast<std::uintptr_t>(base);
  argument.end = argument.start + bytes;
  argument.vector = reinterpret_cast<std::uintptr_t>(regions);
  argument.vector_length = std::size(regions);
  argument.category_any = either;
  argument.category_mask = wanted | kZeroPage;
  argument.category_inverted = kZeroPage;
  argument.return_mask = either;
  std::optional<std::size_t> total = 0;
  while (total && argument.start < argument.end) {
    int const found = ::ioctl(fd, _IOWR('f', 16, ScanArgument), &argument);
    if (found < 0) total.reset();
    for (int i = 0; i < found; ++i) *total += regions[i].end - regions[i].start;
    argument.start = argument.walk_end;
  }
  ::close(fd);
  return total;
}

struct Overlap {
  std::uintptr_t start, end;
  // Reads a line of maps or smaps that begins a mapping.
  static std::optional<Overlap> of(std::string const& line, void const* base, std::size_t bytes) {
    std::uintptr_t start = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &start, &end) != 2) return std::nullopt;
    auto const from = reinterpret_cast<std::uintptr_t>(base), to = from + bytes;
    start = start > from ? start : from;
    end = end < to ? end : to;
    return Overlap{start, end > start ? end : start};
  }
};

std::size_t smaps_bytes(char const* field, void const* base, std::size_t bytes) {
  std::ifstream smaps("/proc/self/smaps");
  std::size_t total = 0;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::size_t kib = 0;
    if (auto const overlap = Overlap::of(line, base, bytes)) {
      inside = overlap->start != overlap->end;
    } else if (inside && line.rfind(field, 0) == 0 &&
               std::sscanf(line.c_str() + line.find(':') + 1, "%zu", &kib) == 1) {
      total += kib * kKiB;
    }
  }
  return total;
}

}  // namespace

std::size_t kernel_mapped_bytes(void const* base, std::size_t bytes) {
  std::ifstream maps("/proc/self/maps");
  std::size_t total = 0;
  for (std::string line; std::getline(maps, line);)
    if (auto const overlap = Overlap::of(line, base, bytes)) total += overlap->end - overlap->start;
  return total;
}

std::size_t smaps_resident_bytes(void const* base, std::size_t bytes) { return smaps_bytes("Rss:", base, bytes); }

std::size_t kernel_resident_bytes(void const* base, std::size_t bytes) {
  auto const scanned = scan(base, bytes, kHeld, 0);
  return scanned ? *scanned : smaps_resident_bytes(base, bytes);
}

std::size_t kernel_huge_bytes(void const* base, std::size_t bytes) {
  auto const scanned = scan(base, bytes, kPresent, kHuge);
  return scanned ? *scanned : smaps_bytes("AnonHugePages:", base, bytes);
}

std::size_t kernel_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

std::uint64_t minor_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return static_cast<std::uint64_t>(usage.ru_minflt);
}

}  // namespace hakmem::testing
