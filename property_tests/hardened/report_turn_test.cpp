// What follows a report, and that reports of several threads, or of one in the middle of another, do not mix.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "hardened/report.h"
#include "property_tests/hardened/reports.h"

namespace hakmem::hardened {
namespace {

TEST(HardenedReportForms, are_followed_by_what_was_asked) {
  static int elsewhere;
  Evidence const evidence{ErrorKind::kInvalidFree, "free()", &elsewhere};
  EXPECT_EXIT(report(evidence), ::testing::KilledBySignal(SIGABRT), "invalid-free");
  Settings settings;
  settings.on_error.choice = ErrorAction::kExit;
  settings.on_error.number = 33;
  EXPECT_EXIT((start_reports(settings), report(evidence)), ::testing::ExitedWithCode(33), "invalid-free");
  ::testing::internal::CaptureStderr();
  start_reports(Settings{});
  report_only(evidence);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("invalid-free"), std::string::npos) << "and it returns";
}

TEST(HardenedReportForms, may_be_made_by_the_callback_of_another) {
  static int elsewhere;
  static int calls;
  calls = 0;
  Settings settings;
  settings.on_error.choice = ErrorAction::kContinue;
  settings.report_file = "/dev/null";
  start_reports(settings);
  set_report_callback(
      [](void* address, char const*, char const*, std::size_t) {
        if (++calls < 3) report({ErrorKind::kDoubleFree, "free()", address});
      },
      &elsewhere);
  report({ErrorKind::kInvalidFree, "free()", &elsewhere});
  EXPECT_EQ(calls, 3);
  set_report_callback(nullptr, nullptr);
  start_reports(Settings{});
}

// The first report cannot end, for nobody reads its pipe; what the second one would write over it is seen when somebody
// does.
TEST(HardenedReportTurns, of_two_threads_are_one_after_the_other) {
  run_in_child([] {
    Settings settings;
    settings.on_error.choice = ErrorAction::kContinue;
    start_reports(settings);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_NONBLOCK), 0);
    while (::write(ends[1], "", 1) == 1) {
    }
    ::fcntl(ends[1], F_SETFL, 0);
    ::dup2(ends[1], STDERR_FILENO);
    static int one, other;
    std::thread first([] { report({ErrorKind::kDoubleFree, "free()", &one}); });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    std::thread second([] { report({ErrorKind::kInvalidFree, "free()", &other}); });
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    std::string read;
    auto const begin = std::chrono::steady_clock::now();
    while (std::count(read.begin(), read.end(), '\n') < 6 &&
           std::chrono::steady_clock::now() - begin < std::chrono::seconds(5)) {
      char buffer[4096];
      ssize_t const bytes = ::read(ends[0], buffer, sizeof buffer);
      if (bytes > 0) read.append(buffer, static_cast<std::size_t>(bytes));
      if (bytes < 0) std::this_thread::yield();
    }
    first.join();
    second.join();
    std::string const both = read.substr(read.find_first_not_of('\0'));
    auto const in_turn = [&both](std::string const& former, std::string const& latter) {
      return both.starts_with("hakmem: " + former) && both.find("\nhakmem: " + latter) != std::string::npos;
    };
    EXPECT_TRUE(in_turn("double-free: ", "invalid-free: ") || in_turn("invalid-free: ", "double-free: ")) << both;
  });
}

std::atomic<int> faults{0};
void report_the_fault(int) {
  if (++faults == 1) report_only({ErrorKind::kBrokenHeap});
  ::_exit(faults);
}

// By the thread that reports: it has the buffers and would wait for itself.
TEST(HardenedReportTurns, that_fail_themselves_are_a_line) {
  EXPECT_EXIT(
      {
        std::signal(SIGSEGV, &report_the_fault);
        void* const nothing = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        report({ErrorKind::kDoubleFree, static_cast<char const*>(nothing)});
      },
      ::testing::ExitedWithCode(1), "^hakmem: another error while reporting one\n$");
}

}  // namespace
}  // namespace hakmem::hardened
