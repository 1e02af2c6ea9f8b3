// What it owns: the result of one benchmark run, and how it is measured and written.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/harness/counters.h"
#include "bench/harness/identity.h"
#include "bench/harness/scenario.h"

namespace hakmem::bench {

struct PhaseResult {
  double seconds = 0;  // wall time without deliberate idling
  Work work;
  Counters used;

  double operations_per_second() const { return static_cast<double>(work.operations) / seconds; }
};

struct Report {
  std::string scenario;
  std::vector<std::string> arguments;
  AllocatorIdentity allocator;
  unsigned threads = 1;
  PhaseResult cold;
  PhaseResult warm;
  std::optional<PhaseResult> baseline;
  std::uint64_t process_minflt = 0;  // from exec to the end of the warm phase
  std::size_t start_rss_bytes = 0;   // before the cold phase
  std::size_t peak_rss_bytes = 0;    // up to the end of the warm phase
  std::size_t final_rss_bytes = 0;   // after everything was freed

  // Thread time per operation in nanoseconds, and the same without what the loop itself costs.
  double gross_nanoseconds(PhaseResult const& phase) const;
  std::optional<double> net_nanoseconds(PhaseResult const& phase) const;
};

Report measure(ScenarioEntry const& entry, Scenario& scenario);

std::string to_text(Report const& report);
nlohmann::json to_json(Report const& report);

}  // namespace hakmem::bench
