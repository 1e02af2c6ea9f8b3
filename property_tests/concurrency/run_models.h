// What it owns: the table of models and how one is run. Each translation unit registers its own.
// Thread-safety: none.
#pragma once

#include <ostream>
#include <streambuf>

#include "property_tests/concurrency/relacy_sync.h"

namespace hakmem::model {

// How far each kind of search goes.
struct Effort {
  unsigned random = 10000;  // executions
  unsigned bound = 0;       // preemptions of which all schedules are enumerated; 0: not
  unsigned deep_bound = 0;  // the same under --deep
  bool deep_full = false;   // under --deep: all schedules, where that ends
};

struct Outcome {
  bool held = false;
  unsigned long long executions = 0;
  char const* report = "";  // of the failing execution
};

// Text that Relacy writes while its own heap is in force: kept without allocating, cut when full.
class ReportBuffer : public std::streambuf {
 public:
  ReportBuffer() { setp(text_, text_ + sizeof text_); }
  char const* text() {
    *(pptr() == epptr() ? pptr() - 1 : pptr()) = 0;
    return text_;
  }

 private:
  static inline char text_[1 << 16];
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
  ReportBuffer buffer;
  std::ostream text(&buffer);
  parameters.output_stream = &text;
  parameters.progress_stream = &text;
  bool const held = rl::simulate<Suite>(parameters);
  return {held, parameters.stop_iteration, buffer.text()};
}

template <class Suite>
Registered model_of(char const* name, Effort effort) {
  return {name, effort, &run_model<Suite>};
}

}  // namespace hakmem::model
