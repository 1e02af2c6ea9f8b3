// What it owns: the table of models and how one is run. Each translation unit registers its own.
// Thread-safety: none.
#pragma once

#include <ostream>
#include <sstream>
#include <string>

#include "property_tests/concurrency/relacy_sync.h"

namespace hakmem::model {

// How far each kind of search goes.
struct Effort {
  unsigned random = 10000;  // executions
  unsigned bound = 0;       // preemptions enumerated; 0: not
  bool full = false;        // all schedules and all values, where that ends
};

struct Outcome {
  bool held = false;
  unsigned long long executions = 0;
  std::string report;  // of the failing execution
};

struct Registered {
  char const* name;
  Effort effort;
  Outcome (*run)(rl::test_params);
  Registered* next = nullptr;

  static inline Registered* first = nullptr;
  Registered(char const* model_name, Effort model_effort, Outcome (*runner)(rl::test_params))
      : name(model_name), effort(model_effort), run(runner), next(first) {
    first = this;
  }
};

template <class Suite>
Outcome run_model(rl::test_params parameters) {
  std::ostringstream text;
  parameters.output_stream = &text;
  parameters.progress_stream = &text;
  bool const held = rl::simulate<Suite>(parameters);
  return {held, parameters.stop_iteration, text.str()};
}

template <class Suite>
Registered model_of(char const* name, Effort effort) {
  return {name, effort, &run_model<Suite>};
}

}  // namespace hakmem::model
