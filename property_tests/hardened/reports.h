// What it owns: what tests of hardened/ share: a process of their own, and the reports that are made.
// Thread-safety: none.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "hardened/report.h"

namespace hakmem::hardened {

// Runs body() in a child, where what cannot be undone is done: secrets are drawn, or what is fixed is sealed. `told`
// matches what it writes to standard error.
template <class Body>
void run_in_child(Body body, char const* told = "") {
  EXPECT_EXIT(
      {
        body();
        std::fflush(stdout);
        std::_Exit(::testing::Test::HasFailure() ? 1 : 0);
      },
      ::testing::ExitedWithCode(0), told);
}

// While it lives, errors are collected and the program goes on.
class Reports {
 public:
  struct Report {
    std::string kind, text;
    std::string first_line() const { return text.substr(0, text.find('\n')); }
  };

  explicit Reports(ReportFormat format = ReportFormat::kText, char const* file = "/dev/null", bool symbolize = false) {
    Settings settings;
    settings.symbolize = symbolize;
    settings.on_error.choice = ErrorAction::kContinue;
    settings.report_format = format;
    settings.report_file = file;
    start_reports(settings);
    set_report_callback(
        [](void* reports, char const* kind, char const* text, std::size_t bytes) {
          static_cast<Reports*>(reports)->all_.push_back({kind, {text, bytes}});
        },
        this);
  }
  ~Reports() {
    set_report_callback(nullptr, nullptr);
    start_reports(Settings{});
  }
  Reports(Reports const&) = delete;
  Reports& operator=(Reports const&) = delete;

  // Those since the last question.
  std::vector<Report> taken() { return std::exchange(all_, {}); }

 private:
  std::vector<Report> all_;
};

}  // namespace hakmem::hardened
