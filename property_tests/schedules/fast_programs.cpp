// What it owns: the programs on the fast build.
// Thread-safety: none.
#include "property_tests/schedules/programs.h"

namespace hakmem::testing {

Programs<FastMode> const fast_programs;

}  // namespace hakmem::testing
