// What it owns: reading an input as a sequence of steps of eight bytes, for surfaces below the whole allocator, and
// checks that all of them share.
// Thread-safety: none.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "fuzz/surface.h"
#include "property_tests/model/operation.h"

namespace hakmem::fuzz {

using Record = testing::Record;
using testing::require;

// The steps by their names and fields, one a line.
inline std::string print_steps(Input input, char const* const* names, unsigned count) {
  std::ostringstream out;
  for (Record const& record : testing::records_of(input))
    out << "// " << names[record.kind % count] << " slot " << unsigned{record.slot} << " thread "
        << unsigned{record.thread} << " shape " << unsigned{record.shape} << " value " << record.value << '\n';
  return out.str();
}

// A scenario is made from the first record and performs the others; `seeded` as in Surface.
template <class Scenario>
void check_steps(Input input, unsigned seeded) {
  constexpr std::size_t kMost = 200;
  std::vector<Record> const records = testing::records_of(input);
  if (records.empty()) return;
  Scenario scenario(records[0], seeded);
  for (std::size_t i = 1; i < records.size() && i < kMost; ++i) scenario.perform(records[i]);
  scenario.finish();
}

inline constexpr int kCodes[] = {ENOMEM, EINVAL, EAGAIN, EINTR, EFAULT, EHWPOISON, EPERM, ENOMEM};

// The plan that a record asks for, and, when a bug is seeded, one in which the calls of `lying` do nothing.
inline testing::FaultPlan plan_of(Record const& record) {
  return {testing::kEveryCall, testing::CallBits{record.value} << record.slot % 16, (record.shape & 1) != 0,
          kCodes[record.thread % 8]};
}
inline testing::FaultPlan lying(testing::OsCall call) {
  return testing::FaultPlan::always(testing::FaultPlan::kLies, testing::only(call));
}

}  // namespace hakmem::fuzz
