// What it owns: the programs on the checked build. Its records are std::atomic, so their accesses are no switch points.
// Thread-safety: none.
#include "hardened/hardened_mode.h"
#include "property_tests/schedules/programs.h"

namespace hakmem::testing {
namespace {

// The mode has one state for the process. A report, of a program that does nothing wrong, ends the run.
bool const started = [] {
  Settings settings;
  settings.seed = 1;
  settings.stack_depth = 0;
  settings.quarantine_bytes = 0;
  HardenedMode::configure(settings);
  return true;
}();

}  // namespace

Programs<HardenedMode> const checked_programs;

}  // namespace hakmem::testing
