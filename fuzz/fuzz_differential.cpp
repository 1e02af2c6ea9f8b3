// One program on the fast and on the checked build: both must serve and refuse the same requests, and neither may
// violate the reference model. Failures of the system are left out, for they come at other calls of the two.
#include "fuzz/programs.h"
#include "property_tests/model/sabotage.h"

namespace hakmem::fuzz {
namespace {

// Requests that either build serves.
bool comparable(testing::Operation const& operation) {
  if (auto const* const aligned = std::get_if<testing::AlignedAlloc>(&operation)) return aligned->alignment <= kMiB;
  return !std::holds_alternative<testing::Fault>(operation);
}

std::vector<bool> outcomes(Program const& program, bool hardened, testing::Sabotage sabotage) {
  testing::SubjectKind kind = program.kind;
  kind.hardened = hardened;
  auto const subject = testing::sabotaged(testing::make_subject(kind), sabotage);
  testing::ReferenceHeap heap(*subject);
  for (testing::Operation const& operation : program.operations)
    if (comparable(operation)) testing::perform(operation, heap);
  heap.finish();
  return heap.outcomes();
}

void check(Input input, unsigned seeded) {
  Program const program = program_of(input);
  auto const sabotage = static_cast<testing::Sabotage>(seeded);
  testing::require(outcomes(program, false, sabotage) == outcomes(program, true, testing::Sabotage::kNone),
                   "the builds do not serve the same requests");
}

}  // namespace

Surface const surface{"differential", true, &check, testing::kSabotages - 1, &print_program};

}  // namespace hakmem::fuzz
