#include "property_tests/model/subjects.h"

namespace hakmem::testing {

Settings SubjectKind::settings() const {
  Settings settings;
  settings.prefault = prefault;
  settings.huge = huge;
  settings.purge_delay_ms = purge_delay_ms;
  settings.large_cache_bytes = large_cache_bytes;
  return settings;
}

std::string SubjectKind::to_code() const {
  auto const flag = [](bool value) { return std::string(value ? "true" : "false"); };
  auto const number = [](auto value) { return std::to_string(static_cast<unsigned long>(value)); };
  return "SubjectKind{.hardened = " + flag(hardened) + ", .tiny = " + flag(tiny) + ", .simulated = " + flag(simulated) +
         ", .prefault = PrefaultPolicy{" + number(prefault) + "}, .huge = HugePolicy{" + number(huge) +
         "}, .purge_delay_ms = " + number(purge_delay_ms) + ", .large_cache_bytes = " + number(large_cache_bytes) +
         ", .quarantine_bytes = " + number(quarantine_bytes) + "}";
}

std::unique_ptr<Subject> make_subject(SubjectKind const& kind) {
  return kind.hardened ? make_hardened_subject(kind) : make_fast_subject(kind);
}

std::unique_ptr<Subject> make_fast_subject(SubjectKind const& kind) {
  Settings const settings = kind.settings();
  if (kind.simulated && kind.tiny)
    return std::make_unique<SubjectOn<FastMode, FaultySimulation, TinyGeometry>>(settings);
  if (kind.simulated) return std::make_unique<SubjectOn<FastMode, FaultySimulation, DefaultGeometry>>(settings);
  if (kind.tiny) return std::make_unique<SubjectOn<FastMode, FaultyLinux, TinyGeometry>>(settings);
  return std::make_unique<SubjectOn<FastMode, FaultyLinux, DefaultGeometry>>(settings);
}

}  // namespace hakmem::testing
