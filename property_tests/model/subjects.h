// What it owns: the choice among the allocators that the operation language runs on.
// Thread-safety: none.
#pragma once

#include <memory>
#include <string>

#include "property_tests/model/subject.h"

namespace hakmem::testing {

struct SubjectKind {
  bool hardened = false;
  bool tiny = true;
  bool simulated = false;  // or the real system; both fail on demand
  PrefaultPolicy prefault = PrefaultPolicy::kOff;
  HugePolicy huge = HugePolicy::kNever;
  unsigned purge_delay_ms = 500;
  std::size_t large_cache_bytes = 8 * kMiB;
  std::size_t quarantine_bytes = 4 * kKiB;

  Settings settings() const;
  // As C++ that makes the same choice.
  std::string to_code() const;
};

std::unique_ptr<Subject> make_subject(SubjectKind const& kind);
std::unique_ptr<Subject> make_fast_subject(SubjectKind const& kind);
std::unique_ptr<Subject> make_hardened_subject(SubjectKind const& kind);

// What the checked build reported since the last call, each by its kind and a blank; empty: nothing.
std::string take_reports();

}  // namespace hakmem::testing
