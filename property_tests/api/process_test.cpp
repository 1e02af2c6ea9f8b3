// Programs under the shipped libraries. The report at exit proves each time that the library was
// really the allocator.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "property_tests/api/child.h"
#include "property_tests/scratch_path.h"

namespace hakmem {
namespace {

std::string const kPrograms = PROGRAMS;
std::string const kHeading = "hakmem: allocator statistics\n";

ChildResult run_preloaded(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
  return run_child(LIBRARY, std::move(arguments), std::move(environment));
}

// The figure behind a label of the text report; -1 when it is not there.
long figure(std::string const& report, std::string const& label) {
  std::size_t const at = report.find("  " + label + "  ");
  return at == std::string::npos ? -1 : std::stol(report.substr(at + label.size() + 2));
}

void expect_served(ChildResult const& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err << "signal " << result.signal;
  EXPECT_EQ(count_of(result.err, kHeading), 1) << result.err;
  EXPECT_GT(figure(result.err, "small blocks allocated"), 0) << result.err;
}

TEST(ApiProcess, shared_library_needs_libc_alone) {
  ChildResult const result = run_child("", {READELF, "--dynamic", LIBRARY}, {});
  EXPECT_EQ(count_of(result.out, "(NEEDED)"), 1) << result.out;
  EXPECT_EQ(count_of(result.out, "Shared library: [libc.so.6]"), 1) << result.out;
  EXPECT_EQ(count_of(result.out, "Library soname: [libhakmem.so.0]"), 1) << result.out;
}

TEST(ApiProcess, c_program_without_a_cxx_library_calls_everything_in_the_shared_library) {
  ChildResult const result = run_child("", {kPrograms + "calls_everything_shared"}, {});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(count_of(result.err, kHeading), 2) << "malloc_stats and hak_stats_print write the report";
}

TEST(ApiProcess, c_program_without_a_cxx_library_calls_everything_in_the_static_library) {
  for (char const* program : {"calls_everything_static", "calls_everything_all_static"}) {
    ChildResult const result = run_child("", {kPrograms + program}, {"HAKMEM_STATS=1"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(count_of(result.err, kHeading), 3) << "malloc_stats, hak_stats_print and the exit write the report";
  }
}

TEST(ApiProcess, cxx_operators_work_and_fail_as_the_standard_says) {
  expect_served(run_preloaded({kPrograms + "cxx_operators"}, {"HAKMEM_STATS=1"}));
  expect_served(run_child("", {kPrograms + "cxx_operators_static"}, {"HAKMEM_STATS=1"}));
}

TEST(ApiProcess, failing_new_without_a_cxx_library_says_so_and_aborts) {
  ChildResult const result = run_child("", {kPrograms + "new_without_cxx_library"}, {});
  EXPECT_EQ(result.signal, SIGABRT);
  EXPECT_NE(result.err.find("operator new: out of memory, and the program has no C++ library"), std::string::npos);
}

TEST(ApiProcess, calls_are_served_until_the_thread_and_the_process_are_gone) {
  for (ChildResult const& result : {run_preloaded({kPrograms + "late_calls"}, {"HAKMEM_STATS=1"}),
                                    run_child("", {kPrograms + "late_calls_all_static"}, {"HAKMEM_STATS=1"})}) {
    expect_served(result);
    EXPECT_LE(figure(result.err, "thread heaps"), 3) << "a hundred threads, one at a time: " << result.err;
  }
}

TEST(ApiProcess, report_is_written_once_when_a_thread_calls_exit) {
  expect_served(run_preloaded({kPrograms + "late_calls", "exit-in-thread"}, {"HAKMEM_STATS=1"}));
}

TEST(ApiProcess, report_is_written_once_when_main_ends_before_a_thread_calls_exit) {
  expect_served(run_preloaded({kPrograms + "late_calls", "main-leaves-first"}, {"HAKMEM_STATS=1"}));
}

TEST(ApiProcess, each_process_that_calls_exit_writes_its_report) {
  ChildResult const result = run_preloaded({kPrograms + "forks"}, {"HAKMEM_STATS=1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(count_of(result.err, kHeading), 2) << result.err;
}

TEST(ApiProcess, children_forked_while_threads_allocate_allocate_too) {
  expect_served(run_preloaded({kPrograms + "forks_with_threads"}, {"HAKMEM_STATS=1"}));
}

TEST(ApiProcess, no_report_is_written_unless_asked_for) {
  ChildResult const result = run_preloaded({kPrograms + "forks"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
}

TEST(ApiProcess, report_is_written_when_the_program_closed_standard_error) {
  ChildResult const result = run_preloaded({"/bin/ls", "/"}, {"HAKMEM_STATS=1"});
  expect_served(result);
  EXPECT_NE(result.out, "");
}

TEST(ApiProcess, report_goes_nowhere_when_standard_error_became_another_file) {
  testing::ScratchPath const path("not_standard_error");
  std::ofstream{path.text()};
  ChildResult const result = run_preloaded({kPrograms + "replaces_standard_error", path.text()}, {"HAKMEM_STATS=1"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(std::ifstream(path.text()).peek(), std::ifstream::traits_type::eof());
}

TEST(ApiProcess, report_goes_nowhere_when_standard_error_was_a_file_and_became_its_neighbour) {
  testing::ScratchPath const before("standard_error"), after("its_neighbour");
  for (testing::ScratchPath const* path : {&before, &after}) std::ofstream{path->text()};
  ChildResult const result = run_preloaded({"/bin/sh", "-c", R"(exec "$0" "$1" 2>>"$2")",
                                            kPrograms + "replaces_standard_error", after.text(), before.text()},
                                           {"HAKMEM_STATS=1"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  for (testing::ScratchPath const* path : {&before, &after})
    EXPECT_EQ(std::ifstream(path->text()).peek(), std::ifstream::traits_type::eof()) << path->text();
}

TEST(ApiProcess, json_report_is_one_valid_object) {
  ChildResult const result = run_preloaded({kPrograms + "late_calls"}, {"HAKMEM_STATS=json"});
  auto const report = nlohmann::json::parse(result.err);
  EXPECT_EQ(report.at("allocator"), "hakmem");
  EXPECT_GT(report.at("small_blocks_handed_out").get<long>(), 0);
  EXPECT_GE(report.at("heaps_now").get<long>(), 1);
}

TEST(ApiProcess, unknown_and_malformed_options_are_reported_and_the_program_goes_on) {
  ChildResult const result =
      run_preloaded({"/bin/echo", "on it goes"}, {"HAKMEM_NO_SUCH=1", "HAKMEM_SS_PREFAULT=banana"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "on it goes\n");
  EXPECT_EQ(count_of(result.err, "\n"), 2) << result.err;
  EXPECT_NE(result.err.find("unknown option \"HAKMEM_NO_SUCH\""), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("HAKMEM_SS_PREFAULT is \"banana\", must be off, populate, touch, ahead or background"),
            std::string::npos)
      << result.err;
}

// Runs as another user than the one who starts it: a program that AT_SECURE is set for.
TEST(ApiProcess, options_are_ignored_in_a_program_with_more_rights_than_its_user) {
  testing::ScratchPath const place("set_user_id");
  std::string const& program = place.text();
  std::filesystem::copy_file(kPrograms + "calls_everything_static", program);
  constexpr uid_t kNobody = 65534;
  if (chown(program.c_str(), kNobody, kNobody) != 0) GTEST_SKIP() << "only root can make the program";
  ASSERT_EQ(chmod(program.c_str(), 04755), 0);
  ChildResult const result = run_child("", {program}, {"HAKMEM_STATS=1", "HAKMEM_NO_SUCH=1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(count_of(result.err, kHeading), 2) << "those that the program asked for";
  EXPECT_EQ(count_of(result.err, "HAKMEM_NO_SUCH"), 0);
}

TEST(ApiProcess, help_lists_every_option) {
  ChildResult const result = run_preloaded({"/bin/echo"}, {"HAKMEM_HELP=1"});
  for (char const* name : {"HAKMEM_SS_PREFAULT", "HAKMEM_WARMUP", "HAKMEM_STATS", "HAKMEM_HELP"})
    EXPECT_EQ(count_of(result.err, std::string("\n  ") + name), 1) << result.err;
}

TEST(ApiProcess, plugin_and_host_share_blocks_across_dlopen_and_dlclose) {
  expect_served(run_preloaded({kPrograms + "plugin_host", PLUGIN}, {"HAKMEM_STATS=1"}));
}

TEST(ApiProcess, exhausted_address_space_gives_enomem_and_leaves_earlier_blocks_intact) {
  expect_served(run_preloaded({kPrograms + "out_of_memory"}, {"HAKMEM_STATS=1"}));
}

}  // namespace
}  // namespace hakmem
