// `hak faults` as its users see it, on a program whose page faults are known.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/compare/child.h"

namespace hakmem::tools {
namespace {

using bench::ChildResult;

constexpr int kPages = 1500;

ChildResult run(std::string const& words) { return bench::run_child({"/bin/sh", "-c", words + " 2>&1"}, ""); }
ChildResult hak(std::string const& arguments) { return run(std::string("exec ") + HAK + " " + arguments); }

std::string scratch(std::string const& suffix) {
  return std::filesystem::temp_directory_path() / ("hak-faults-test-" + std::to_string(getpid()) + suffix);
}

class HakFaults : public testing::Test {
 protected:
  void SetUp() override {
    ChildResult const result = hak("faults -- /bin/true");
    if (result.output.find("forbids perf events") != std::string::npos) GTEST_SKIP() << result.output;
  }

  // The document for touching kPages pages of one kind of memory.
  static nlohmann::json document(std::string const& kind, std::string const& options = "") {
    std::string const json = scratch(".json");
    ChildResult const result =
        hak("faults " + options + " --json " + json + " -- " + TOUCHES + " " + kind + " " + std::to_string(kPages));
    EXPECT_EQ(result.failure, "") << result.output;
    nlohmann::json const document = nlohmann::json::parse(std::ifstream(json), nullptr, false);
    std::filesystem::remove(json);
    EXPECT_EQ(document["lost"], 0);
    return document;
  }

  static bool is_of(nlohmann::json const& row, std::string const& memory, std::string const& detail) {
    return row["memory"] == memory && row["detail"].get<std::string>().find(detail) != std::string::npos;
  }

  // Faults in memory of one use.
  static int faults_in(nlohmann::json const& document, std::string const& memory, std::string const& detail = "") {
    int sum = 0;
    for (nlohmann::json const& row : document["memory"])
      sum += is_of(row, memory, detail) ? row["faults"].get<int>() : 0;
    return sum;
  }

  // The same, as far as the function was the one that touches.
  static int touched(nlohmann::json const& document, std::string const& memory, std::string const& detail = "") {
    int sum = 0;
    for (nlohmann::json const& row : document["counts"]) {
      bool const by_function = row["function"].get<std::string>().find("write_to_each_page") != std::string::npos;
      if (by_function && is_of(row, memory, detail)) sum += row["faults"].get<int>();
    }
    return sum;
  }

  static void expect_all(int faults) {
    EXPECT_GE(faults, kPages - 4);  // the first and the last page may be there already
    EXPECT_LE(faults, kPages + 4);
  }
};

TEST_F(HakFaults, every_touch_of_a_mapping_is_counted_for_the_function_that_did_it) {
  expect_all(touched(document("anonymous"), "other anonymous memory"));
}

TEST_F(HakFaults, memory_from_brk_is_told_from_mapped_memory) { expect_all(touched(document("break"), "heap (brk)")); }

TEST_F(HakFaults, private_pages_of_a_file_are_counted_for_the_file) {
  expect_all(touched(document("file"), "file mappings", std::filesystem::temp_directory_path()));
}

TEST_F(HakFaults, zero_initialised_data_is_counted_for_its_program) {
  expect_all(touched(document("zero-data"), "file mappings", "touches"));
}

TEST_F(HakFaults, the_main_stack_is_told_from_thread_stacks) {
  expect_all(touched(document("stack"), "stacks", "main thread"));
  expect_all(touched(document("thread-stack"), "stacks", "other threads"));
}

TEST_F(HakFaults, thread_local_memory_is_told_from_other_anonymous_memory) {
  // libc writes it when the threads start: the main one and another
  int const faults = faults_in(document("thread-local"), "thread-local storage");
  EXPECT_GE(faults, 2 * 256);
  EXPECT_LE(faults, 2 * 256 + 16);
}

TEST_F(HakFaults, the_faults_of_forked_children_are_counted) {
  expect_all(touched(document("child"), "file mappings", "touches"));
}

TEST_F(HakFaults, large_blocks_of_hakmem_are_told_from_other_mappings) {
  expect_all(touched(document("large", "--preload " LIBHAKMEM), "large blocks"));
}

TEST_F(HakFaults, small_blocks_of_hakmem_are_counted_for_their_size_class) {
  ::setenv("HAKMEM_SS_PREFAULT", "off", 1);  // what is populated ahead does not fault
  nlohmann::json const small = document("small", "--preload " LIBHAKMEM);
  ::unsetenv("HAKMEM_SS_PREFAULT");
  int sum = 0;
  for (nlohmann::json const& row : small["memory"]) {
    if (is_of(row, "SuperSlab data", "") && row["block_bytes"] == 112) sum += row["faults"].get<int>();
  }
  expect_all(sum);
}

TEST_F(HakFaults, what_hakmem_keeps_for_itself_is_its_metadata) {
  nlohmann::json const small = document("small", "--preload " LIBHAKMEM);
  EXPECT_GE(faults_in(small, "hakmem metadata", "slab records in SuperSlabs"), 1);
  EXPECT_GE(faults_in(small, "hakmem metadata", "descriptors, registry, heaps"), 1);
  EXPECT_GE(faults_in(small, "hakmem metadata", "libhakmem.so"), 1);
}

TEST_F(HakFaults, the_exit_status_is_that_of_the_command) {
  EXPECT_EQ(hak("faults -- /bin/sh -c 'exit 7'").failure, "exit status 7");
  EXPECT_EQ(hak("faults -- /bin/sh -c 'kill -9 $$'").failure, "exit status 137");
}

TEST_F(HakFaults, the_picture_is_drawn) {
  std::string const png = scratch(".png");
  ChildResult const result = hak("faults --png " + png + " -- /bin/true");
  EXPECT_EQ(result.failure, "") << result.output;
  std::string signature(4, '\0');
  std::ifstream(png).read(signature.data(), 4);
  EXPECT_EQ(signature, "\x89PNG");
  std::filesystem::remove(png);
}

void expect_one_line_and_failure(ChildResult const& result, std::string const& fragment) {
  EXPECT_NE(result.failure, "");
  EXPECT_NE(result.output.find(fragment), std::string::npos) << result.output;
  EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
}

TEST_F(HakFaults, bad_input_is_one_line_and_a_failure) {
  expect_one_line_and_failure(hak("faults"), "COMMAND");
  expect_one_line_and_failure(hak("faults -- /nonexistent/program"), "cannot run /nonexistent/program");
  expect_one_line_and_failure(hak("faults --json /nonexistent/file -- /bin/true"), "/nonexistent/file");
  expect_one_line_and_failure(hak("faults --preload /nonexistent.so -- /bin/true"), "/nonexistent.so");
  expect_one_line_and_failure(hak("no-such-command"), "hak:");
}

TEST_F(HakFaults, a_library_with_records_of_another_version_is_refused_and_its_program_ended) {
  std::string const words = std::string("--preload ") + OTHER_LAYOUT + " -- " + TOUCHES + " anonymous 1";
  expect_one_line_and_failure(hak("faults " + words), "has debug layout 999");
}

TEST(HakFaultsRefused, a_kernel_that_forbids_perf_is_named_in_one_line) {
  ChildResult const result = run(std::string(WITHOUT_PERF) + " " + HAK + " faults -- /bin/true");
  expect_one_line_and_failure(result, "the kernel forbids perf events");
}

}  // namespace
}  // namespace hakmem::tools
