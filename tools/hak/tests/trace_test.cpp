// `hak trace` as its users see it, on a program whose calls are known.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/compare/child.h"
#include "tools/hak/trace/trace_file.h"

namespace hakmem::tools {
namespace {

namespace fs = std::filesystem;
using bench::ChildResult;

constexpr unsigned kBlocks = 1000;
constexpr std::uint64_t kBytes = 12345;

ChildResult run(std::string const& words) { return bench::run_child({"/bin/sh", "-c", words + " 2>&1"}, ""); }
ChildResult hak(std::string const& arguments) { return run(std::string("exec ") + HAK + " trace " + arguments); }

void expect_one_line_and_failure(ChildResult const& result, std::string const& fragment) {
  EXPECT_NE(result.failure, "");
  EXPECT_NE(result.output.find(fragment), std::string::npos) << result.output;
  EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
}

class HakTrace : public testing::Test {
 protected:
  ~HakTrace() override { fs::remove(file_); }

  Trace recorded(std::string const& way, std::string const& failure = "", std::string const& options = "") {
    ChildResult const result = hak("record " + options + " -o " + file_ + " -- " + ALLOCATES + " " + way);
    EXPECT_EQ(result.failure, failure) << result.output;
    EXPECT_FALSE(fs::exists(file_ + ".recording"));
    return read_trace(file_);
  }
  // Calls of a kind with the program's own size; kFree: of blocks of that size.
  static std::ptrdiff_t count(Trace const& trace, CallKind kind, std::uint64_t bytes = kBytes) {
    std::vector<std::uint64_t> sizes(trace.blocks);
    std::ptrdiff_t found = 0;
    for (Call const& call : trace.calls) {
      if (call.kind != CallKind::kFree) sizes[call.block] = call.bytes;
      found += call.kind == kind && sizes[call.block] == bytes ? 1 : 0;
    }
    return found;
  }

  std::string const file_ = fs::temp_directory_path() / ("hak-trace-test-" + std::to_string(getpid()));
};

TEST_F(HakTrace, every_kind_of_call_is_recorded_with_its_size) {
  Trace const trace = recorded("each");
  EXPECT_EQ(trace.program, "hak_allocates");
  EXPECT_TRUE(trace.whole);
  EXPECT_EQ(count(trace, CallKind::kCalloc, 5 * kBytes), 1);
  EXPECT_EQ(count(trace, CallKind::kAligned), 1);
  EXPECT_EQ(count(trace, CallKind::kMalloc), 1);
  EXPECT_EQ(count(trace, CallKind::kRealloc, 2 * kBytes), 1);
  EXPECT_EQ(count(trace, CallKind::kFree, 2 * kBytes), 1);
}

TEST_F(HakTrace, a_block_freed_by_another_thread_is_freed_by_it) {
  Trace const trace = recorded("thread");
  EXPECT_EQ(trace.threads, 2u);
  EXPECT_EQ(count(trace, CallKind::kFree), kBlocks);
  nlohmann::json const summary = nlohmann::json::parse(hak("show --json " + file_).output);
  EXPECT_GE(summary["freed_by_another_thread"], kBlocks);
  EXPECT_GE(summary["peak"]["bytes"], kBlocks * kBytes);
}

TEST_F(HakTrace, calls_of_threads_that_run_at_a_time_have_one_order) {
  setenv("MALLOC_ARENA_MAX", "1", 1);  // what one thread frees, another gets at once
  Trace const trace = recorded("threads");
  unsetenv("MALLOC_ARENA_MAX");
  EXPECT_EQ(count(trace, CallKind::kMalloc), 40 * kBlocks);
  int freed_by_another = 0;
  constexpr std::uint32_t kAnybody = ~0u;
  EXPECT_EQ(count(trace, CallKind::kFree), 40 * kBlocks);
  EXPECT_NO_THROW(trace.validate());
  std::vector<std::uint32_t> owner(trace.blocks);
  for (Call const& call : trace.calls) {
    if (call.allocates()) owner[call.block] = call.bytes == kBytes ? call.thread : kAnybody;
    bool const anybody = owner[call.block] == kAnybody;
    if (call.kind == CallKind::kFree && !anybody && owner[call.block] != call.thread) ++freed_by_another;
  }
  EXPECT_EQ(freed_by_another, 0) << "a free lies behind the allocation that got its memory";
  ChildResult const checked = hak("replay --check " + file_);
  EXPECT_EQ(checked.failure, "") << checked.output;
}

TEST_F(HakTrace, the_child_of_fork_is_a_program_of_its_own) {
  EXPECT_EQ(count(recorded("fork"), CallKind::kMalloc), 2 * kBlocks) << "the child has the most calls";
}

TEST_F(HakTrace, nothing_is_lost_however_the_program_ends) {
  EXPECT_EQ(count(recorded("exit", "exit status 7"), CallKind::kMalloc), kBlocks);
  EXPECT_EQ(count(recorded("killed", "exit status 137"), CallKind::kMalloc), kBlocks);
  EXPECT_EQ(count(recorded("exec"), CallKind::kFree), kBlocks);
}

TEST_F(HakTrace, the_limit_keeps_a_prefix) {
  Trace const trace = recorded("threads", "", "--limit 500");
  EXPECT_FALSE(trace.whole);
  EXPECT_LE(trace.calls.size(), 500u);
  EXPECT_GE(trace.calls.size(), 400u);
  EXPECT_NO_THROW(trace.validate());
}

TEST_F(HakTrace, a_full_disc_ends_the_recording_and_not_the_program) {
  std::string const mount = "unshare -Urm sh -c 'mount -t tmpfs -o size=300k none /mnt && ";
  if (!run(mount + "true'").failure.empty()) GTEST_SKIP() << "this system has no mounts for users";
  ChildResult const result =
      run(mount + HAK + " trace record -o /mnt/x -- " + ALLOCATES + " threads && " + HAK + " trace show /mnt/x'");
  EXPECT_EQ(result.failure, "") << result.output;
  EXPECT_NE(result.output.find("No space left on device"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("not all it made"), std::string::npos) << result.output;
}

TEST_F(HakTrace, a_trace_is_the_same_after_writing_and_reading) {
  Trace const trace = recorded("thread");
  EXPECT_EQ(decode(encode(trace)).calls, trace.calls);
}

TEST_F(HakTrace, a_damaged_file_is_refused_and_never_followed) {
  std::string const bytes = encode(recorded("each"));
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_THROW(decode(bytes.substr(0, length)), std::runtime_error) << length;
  unsigned state = 1;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    for (int i = 0; i < 3; ++i) {
      state = state * 1664525 + 1013904223;
      damaged[state % bytes.size()] = static_cast<char>(state >> 16);
    }
    try {
      decode(damaged).validate();
    } catch (std::runtime_error const&) {
    }
  }
}

TEST_F(HakTrace, bad_input_is_one_line_and_a_failure) {
  expect_one_line_and_failure(hak("record -o " + file_ + " -- /nonexistent/program"),
                              "cannot run /nonexistent/program");
  EXPECT_FALSE(fs::exists(file_));
  expect_one_line_and_failure(hak("record -o /nonexistent/file -- /bin/true"), "cannot write /nonexistent/file");
  expect_one_line_and_failure(hak(std::string("record --program other -o ") + file_ + " -- " + ALLOCATES + " each"),
                              "no program called other");
  expect_one_line_and_failure(hak("show /nonexistent/file"), "/nonexistent/file");
  expect_one_line_and_failure(hak(std::string("replay ") + HAK), "not a trace");
  std::ofstream(file_) << "hak-trace\x7f";
  expect_one_line_and_failure(hak("show " + file_), "format version 127");
  expect_one_line_and_failure(hak("replay --allocator other " CORPUS "/traces/sqlite3.trace"), "--allocator other");
}

TEST_F(HakTrace, a_replay_finds_an_allocator_that_does_not_keep_contents) {
  ChildResult const result = hak("replay --check --allocator " FORGETS " " CORPUS "/traces/sqlite3.trace");
  EXPECT_EQ(result.failure, "exit status 1");
  EXPECT_NE(result.output.find("was changed"), std::string::npos) << result.output;
}

TEST_F(HakTrace, a_timed_replay_names_the_library_that_served_it) {
  ChildResult const result =
      hak("replay --repeat 1 --json --allocator glibc --allocator hakmem " CORPUS "/traces/sqlite3.trace");
  EXPECT_EQ(result.failure, "") << result.output;
  EXPECT_NE(result.output.find("\"allocator\":\"hakmem\""), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("calls_per_second"), std::string::npos) << result.output;
}

// A call recorded on both builds and in glibc must read back the same contents.
class HakTraceCorpus : public testing::TestWithParam<char const*> {};

TEST_P(HakTraceCorpus, replays_alike_and_without_report_on_both_builds) {
  ChildResult const result = hak(std::string("replay --check --json --allocator glibc --allocator hakmem --allocator "
                                             "hakmem-hardened " CORPUS "/traces/") +
                                 GetParam() + ".trace");
  ASSERT_EQ(result.failure, "") << result.output;
  EXPECT_EQ(result.output.find("hakmem: "), std::string::npos) << "a report: " << result.output;
  std::istringstream lines(result.output);
  nlohmann::json digest;
  int replays = 0;
  for (std::string line; std::getline(lines, line); ++replays) {
    nlohmann::json const replayed = nlohmann::json::parse(line);
    if (replays == 0) digest = replayed["digest"];
    EXPECT_EQ(replayed["digest"], digest) << line;
  }
  EXPECT_EQ(replays, 3);
}

INSTANTIATE_TEST_SUITE_P(Trace, HakTraceCorpus, testing::Values("sqlite3", "python3", "cc1plus", "redis-server"),
                         [](auto const& which) {
                           std::string name = which.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hakmem::tools
