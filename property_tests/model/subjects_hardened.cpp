#include <utility>

#include "hardened/hardened_mode.h"
#include "property_tests/model/subjects.h"

namespace hakmem::testing {
namespace {

std::string reports;

// The mode has one state for the process. Its secrets are drawn once, from a seed.
void start_mode(std::size_t quarantine_bytes) {
  static bool const started = [] {
    Settings settings;
    settings.seed = 1;
    settings.fill_one_in = 1;  // the oracles promise that every write after free is found
    settings.on_error.choice = ErrorAction::kContinue;
    settings.report_file = "/dev/null";
    HardenedMode::configure(settings);
    HardenedMode::set_report_callback(
        [](void*, char const* kind, char const*, std::size_t) { reports += std::string(kind) + ' '; }, nullptr);
    return true;
  }();
  static_cast<void>(started);
  hardened::fixed.set_quarantine(quarantine_bytes);
}

}  // namespace

std::string take_reports() { return std::exchange(reports, {}); }

std::unique_ptr<Subject> make_hardened_subject(SubjectKind const& kind) {
  start_mode(kind.quarantine_bytes);
  take_reports();
  Settings const settings = kind.settings();
  if (kind.simulated && kind.tiny)
    return std::make_unique<SubjectOn<HardenedMode, FaultySimulation, TinyGeometry>>(settings);
  if (kind.simulated) return std::make_unique<SubjectOn<HardenedMode, FaultySimulation, DefaultGeometry>>(settings);
  if (kind.tiny) return std::make_unique<SubjectOn<HardenedMode, FaultyLinux, TinyGeometry>>(settings);
  return std::make_unique<SubjectOn<HardenedMode, FaultyLinux, DefaultGeometry>>(settings);
}

}  // namespace hakmem::testing
