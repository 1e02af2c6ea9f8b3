// What a report consists of, where it goes and what follows it.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "property_tests/api/child.h"
#include "property_tests/scratch_path.h"

namespace hakmem {
namespace {

std::string const kLine = "hakmem: double-free: free() of a freed 24-byte block from malloc\n";

ChildResult run_bug(char const* bug, std::vector<std::string> environment) {
  return run_child(LIBRARY, {PROGRAM, bug, "24", "main", "wrong"}, std::move(environment));
}

TEST(HardenedReport, tells_all_three_stacks_with_module_offset_and_build_id) {
  ChildResult const result = run_bug("double_free", {});
  EXPECT_EQ(result.err.find(kLine), 0u) << result.err;
  for (char const* part : {"\n  found by thread 1:\n    #0 0x", "\n  allocated by thread 1:\n    #0 0x",
                           "\n  freed by thread 1:\n    #0 0x"})
    EXPECT_EQ(count_of(result.err, part), 1) << part << result.err;
  EXPECT_GE(count_of(result.err, std::string(PROGRAM) + "+0x"), 3) << result.err;
  EXPECT_GE(count_of(result.err, " (build-id "), 3) << result.err;
}

TEST(HardenedReport, has_whole_stacks_of_every_way_to_allocate_and_free) {
  for (char const* bug : {"double_free", "delete_of_new_array", "delete_with_another_alignment", "realloc_of_new",
                          "usable_size_of_dead", "free_sized_with_another_size"}) {
    std::string const text = run_bug(bug, {"HAKMEM_SYMBOLIZE=1"}).err;
    int const stacks = count_of(text, " by thread 1:\n");
    EXPECT_GE(stacks, 2) << text;
    EXPECT_EQ(count_of(text, " in main+0x"), stacks) << text;
  }
  std::string const fault = run_bug("read_after_free", {"HAKMEM_SYMBOLIZE=1", "HAKMEM_GUARD=all"}).err;
  EXPECT_EQ(count_of(fault, " by thread 1:\n"), 3) << fault;
  EXPECT_EQ(count_of(fault, " in main+0x"), 3) << fault;
  EXPECT_EQ(count_of(fault, "read_after_freeEv+0x"), 3) << "once in each: " << fault;
}

TEST(HardenedReport, is_one_json_line_when_asked) {
  ChildResult const result = run_bug("double_free", {"HAKMEM_REPORT_FORMAT=json"});
  auto const report = nlohmann::json::parse(result.err);
  EXPECT_EQ(report["kind"], "double-free");
  EXPECT_EQ(report["message"].get<std::string>() + "\n", kLine);
  EXPECT_EQ(report["size"], 24);
  EXPECT_EQ(report["allocating_thread"], 1);
  EXPECT_FALSE(report["stack"].empty());
  EXPECT_FALSE(report["allocated"].empty());
  EXPECT_FALSE(report["freed"].empty());
  EXPECT_EQ(count_of(run_bug("double_free", {"HAKMEM_REPORT_FORMAT=both"}).err, "double-free"), 3);
}

TEST(HardenedReport, names_functions_when_asked) {
  ChildResult const text = run_bug("double_free", {"HAKMEM_SYMBOLIZE=1"});
  EXPECT_EQ(text.err.find(kLine), 0u) << text.err;
  EXPECT_GE(count_of(text.err, "double_freeEv+0x"), 2) << "found and freed: " << text.err;
  EXPECT_GE(count_of(text.err, "allocatedEv+0x"), 1) << text.err;
  auto const report = nlohmann::json::parse(
      run_bug("double_free", {"HAKMEM_SYMBOLIZE=1", "HAKMEM_REPORT_FORMAT=json"}).err, nullptr, false);
  EXPECT_NE(report["stack"].dump().find(" in main+0x"), std::string::npos) << report;
  EXPECT_EQ(count_of(run_bug("double_free", {}).err, " in main+0x"), 0);
}

TEST(HardenedReport, goes_to_a_file_when_asked) {
  testing::ScratchPath const file("report");
  EXPECT_EQ(run_bug("double_free", {"HAKMEM_REPORT=" + file.text()}).err, "");
  std::ostringstream text;
  text << std::ifstream(file.text()).rdbuf();
  EXPECT_EQ(text.str().find(kLine), 0u) << text.str();
  EXPECT_EQ(run_bug("double_free", {"HAKMEM_REPORT=/no/such/folder/file"}).err.find(kLine), 0u);
}

TEST(HardenedReport, is_followed_by_what_was_asked) {
  EXPECT_EQ(run_bug("double_free", {}).signal, SIGABRT);
  EXPECT_EQ(run_bug("double_free", {"HAKMEM_ON_ERROR=exit:77"}).exit_code, 77);
  for (char const* bug : {"double_free", "free_inside", "free_stack", "delete_of_malloc", "delete_with_another_size",
                          "write_past_end", "write_before_start", "write_after_free", "realloc_of_dead"}) {
    ChildResult const result = run_bug(bug, {"HAKMEM_ON_ERROR=continue"});
    EXPECT_EQ(result.exit_code, 0) << bug << result.err << result.signal;
    EXPECT_EQ(count_of(result.err, "hakmem: "), 1) << "once, and mended: " << bug << result.err;
  }
}

TEST(HardenedReport, of_damage_at_exit_can_be_switched_off) {
  EXPECT_EQ(run_bug("write_after_free", {"HAKMEM_CHECK=free"}).exit_code, 0);
  EXPECT_EQ(run_bug("write_after_free", {"HAKMEM_CHECK=exit"}).signal, SIGABRT);
}

TEST(HardenedReport, has_no_stored_stacks_when_none_are_kept) {
  ChildResult const result = run_bug("double_free", {"HAKMEM_STACKS=0"});
  EXPECT_EQ(count_of(result.err, "allocated by thread 1, no stack kept"), 1) << result.err;
  EXPECT_EQ(count_of(result.err, "found by thread 1:\n"), 1) << result.err;
}

TEST(HardenedSeed, repeats_the_placement_of_blocks) {
  auto const distances = [](char const* seed, char const* where) {
    return run_child(LIBRARY, {PROGRAM, "print_distances", "100", where, "right"}, {seed}).out;
  };
  for (char const* where : {"main", "thread"}) {
    std::string const once = distances("HAKMEM_SEED=5", where);
    EXPECT_EQ(count_of(once, "\n"), 200);
    EXPECT_EQ(distances("HAKMEM_SEED=5", where), once);
    EXPECT_NE(distances("HAKMEM_SEED=6", where), once);
  }
}

TEST(HardenedReport, finds_a_damaged_block_without_quarantine) {
  EXPECT_EQ(run_bug("write_after_free", {"HAKMEM_QUARANTINE=0"}).signal, SIGABRT);
  EXPECT_EQ(run_bug("double_free", {"HAKMEM_QUARANTINE=0"}).err.find(kLine), 0u);
}

TEST(HardenedReport, finds_damage_at_every_so_many_releases) {
  constexpr char const* kBug = "write_past_end_while_others_are_freed";
  std::string const line =
      "hakmem: overflow: written 0 bytes past the end of a 24-byte block from malloc, found by a heap check\n";
  EXPECT_EQ(run_bug(kBug, {"HAKMEM_CHECK=every:20"}).err.find(line), 0u);
  EXPECT_EQ(run_bug(kBug, {"HAKMEM_CHECK=every:21"}).err, "") << "it ends before the 21st release, by _exit()";
  EXPECT_EQ(run_bug(kBug, {}).err, "");
}

TEST(HardenedReport, continues_after_a_realloc_of_another_kind_with_one_report) {
  ChildResult const result = run_bug("realloc_of_new", {"HAKMEM_ON_ERROR=continue"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(count_of(result.err, "hakmem: "), 1) << result.err;
}

}  // namespace
}  // namespace hakmem
