// What it owns: the tests under a kernel that refuses, for real, in a child process: an older one,
// one at vm.max_map_count, one that ran out of address space.
#include <sys/resource.h>

#include <cerrno>
#include <fstream>

#include "core/base/geometry.h"
#include "core/os/huge.h"
#include "property_tests/kernel_view.h"
#include "property_tests/os/child.h"
#include "property_tests/os/systems.h"

namespace hakmem::testing {
namespace {

constexpr std::size_t kSuper = 2 * kMiB;
constexpr std::uint32_t kPopulateWrite = 23;  // MADV_POPULATE_WRITE

using Os = FaultyLinux;

AlignedMapping map_supers(std::size_t count, Leftovers<Os>& leftovers) {
  return map_aligned<Os>(nullptr, count * kSuper, kSuper, MapKind::kNormal, leftovers);
}

void on_a_kernel_that_cannot_populate() {
  Leftovers<Os> leftovers;
  AlignedMapping const mapping = map_supers(2, leftovers);
  filter_system_call(SYS_madvise, 2, kPopulateWrite, EINVAL);
  for (PrefaultPolicy const policy : {PrefaultPolicy::kPopulate, PrefaultPolicy::kTouch, PrefaultPolicy::kAhead}) {
    require(Os::purge(mapping.base, mapping.kept).ok(), "other advice still works");
    PrefaultResult const result = prefault<Os>({mapping.base, mapping.kept}, policy);
    require(result.status.ok() && result.method == PrefaultMethod::kTouch, "touched instead");
    require(result.populated_bytes == mapping.kept, "all is claimed");
    require(kernel_resident_bytes(mapping.base, mapping.kept) == mapping.kept, "all is resident");
  }
  require(Os::calls(OsCall::kPopulateWrite) == 1, "the kernel is asked once");
}

TEST(OsLimits, an_older_kernel_is_asked_once_and_touched) {
  Os::reset();
  forget_the_kernel<Os>();
  EXPECT_CHILD(on_a_kernel_that_cannot_populate);
}

template <int kCode, OsError kError>
void when_populating_fails() {
  Leftovers<Os> leftovers;
  AlignedMapping const mapping = map_supers(2, leftovers);
  filter_system_call(SYS_madvise, 2, kPopulateWrite, kCode);
  PrefaultResult const result = prefault<Os>({mapping.base, mapping.kept}, PrefaultPolicy::kTouch);
  require(result.status.error == kError && result.status.code == kCode, "the failure is typed");
  require(result.populated_bytes == 0, "nothing is claimed");
  require(kernel_resident_bytes(mapping.base, mapping.kept) == 0, "nothing is touched");
  *static_cast<char*>(mapping.base) = 1;
}

TEST(OsLimits, other_failures_of_populating_leave_usable_memory) {
  Os::reset();
  forget_the_kernel<Os>();
  EXPECT_CHILD((when_populating_fails<ENOMEM, OsError::kOutOfMemory>));
  EXPECT_CHILD((when_populating_fails<EFAULT, OsError::kBadAddress>));
  EXPECT_CHILD((when_populating_fails<EHWPOISON, OsError::kPoisoned>));
  EXPECT_CHILD((when_populating_fails<EAGAIN, OsError::kInterrupted>));
}

std::size_t max_map_count() {
  std::size_t limit = 0;
  std::ifstream("/proc/sys/vm/max_map_count") >> limit;
  return limit;
}

// Cuts a reservation into mappings until the kernel allows no more.
void use_up_the_mappings(void* base, std::size_t pages) {
  std::size_t const page = Linux::page_bytes();
  auto* const start = static_cast<std::byte*>(base);
  std::size_t i = 1;
  while (i < pages && Linux::protect_read_write(start + i * page, page).ok()) i += 2;
  require(i < pages, "the limit of mappings is reached");
}

void at_the_limit_of_mappings() {
  Leftovers<Os> leftovers;
  AlignedMapping const area = map_supers(8, leftovers);
  std::size_t const pages = 2 * max_map_count();
  OsMapping const filler = Linux::map(nullptr, pages * Linux::page_bytes(), MapKind::kReserve);
  require(area.ok() && filler.ok(), "room to begin with");
  use_up_the_mappings(filler.address, pages);

  auto* const middle = static_cast<std::byte*>(area.base) + 3 * kSuper;
  Released const released = release<Os>(middle, kSuper, leftovers);
  require(released.disposal == Disposal::kLeftover, "the kernel refuses to split, and the range is kept");
  require(released.status.error == OsError::kOutOfMemory, "the reason is told");
  require(leftovers.bytes() == kSuper && leftovers.retry() == 0, "a retry changes nothing yet");
  require(kernel_mapped_bytes(middle, kSuper) == kSuper, "it is still mapped");

  AlignedMapping const more = map_supers(1, leftovers);  // may succeed by merging, may be refused
  require(Os::ledger().bytes() == area.kept + leftovers.bytes() - kSuper + more.kept, "mapped = held + leftovers");

  require(Linux::unmap(filler.address, pages * Linux::page_bytes()).ok(), "room again");
  leftovers.retry();
  require(leftovers.ranges() == 0, "leftovers go once there is room");
  require(kernel_mapped_bytes(middle, kSuper) == 0, "the leftover is unmapped");
  require(Os::ledger().bytes() == area.kept - kSuper + more.kept && Os::violation().empty(), "the books agree");
}

TEST(OsLimits, at_max_map_count_what_cannot_be_unmapped_is_kept_and_goes_later) {
  if (max_map_count() > 500'000) GTEST_SKIP() << "vm.max_map_count is too high to reach";
  Os::reset();
  EXPECT_CHILD(at_the_limit_of_mappings);
}

void at_the_limit_of_address_space() {
  Leftovers<Os> leftovers;
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit const limit{pages * Linux::page_bytes() + 5 * kSuper, RLIM_INFINITY};
  require(::setrlimit(RLIMIT_AS, &limit) == 0, "a limit of address space");
  std::size_t held = 0;
  for (int i = 0; i < 10; ++i) {
    AlignedMapping const mapping = map_supers(1, leftovers);
    require(mapping.ok() || mapping.status.error == OsError::kOutOfMemory, "refused for want of memory");
    if (mapping.ok()) *static_cast<char*>(mapping.base) = 1;
    held += mapping.kept;
    require(Os::ledger().bytes() == held, "a refused request leaves nothing mapped");
  }
  require(held >= 2 * kSuper && held <= 5 * kSuper, "what fits was served");
  require(!map_supers(6, leftovers).ok() && Os::ledger().bytes() == held, "what does not fit was not");
  require(leftovers.ranges() == 0 && Os::violation().empty(), "nothing is left over");
}

TEST(OsLimits, out_of_address_space_requests_are_refused_whole) {
  Os::reset();
  EXPECT_CHILD(at_the_limit_of_address_space);
}

}  // namespace
}  // namespace hakmem::testing
