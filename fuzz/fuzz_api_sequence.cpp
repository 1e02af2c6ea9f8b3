// The whole allocator: every call in any order, from up to four threads, on both modes, both geometries, the real and
// the simulated system, while system calls fail. Oracle: the reference model.
#include "fuzz/programs.h"
#include "property_tests/model/sabotage.h"

namespace hakmem::fuzz {
namespace {

void check(Input input, unsigned seeded) {
  Program const program = program_of(input);
  auto const subject = testing::sabotaged(testing::make_subject(program.kind), static_cast<testing::Sabotage>(seeded));
  testing::ReferenceHeap heap(*subject);
  for (testing::Operation const& operation : program.operations) testing::perform(operation, heap);
  heap.finish();
}

}  // namespace

Surface const surface{"api_sequence", true, &check, testing::kSabotages - 1, &print_program};

}  // namespace hakmem::fuzz
