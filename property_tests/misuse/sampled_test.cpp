// The fast build with HAKMEM_GUARD: a block of the sample is guarded as by the checked build, all others
// are untouched; the sample is as large as was asked for.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "property_tests/api/child.h"

namespace hakmem {
namespace {

constexpr std::size_t kSizes[] = {32, 112, 4000, 70'000, 1'000'000};

std::string filled_in(std::string text, std::size_t size) {
  std::pair<char const*, std::size_t> const words[] = {{"SIZE", size}, {"HALF", size / 2}};
  for (auto const& [word, value] : words)
    for (std::size_t at; (at = text.find(word)) != std::string::npos;) text.replace(at, 4, std::to_string(value));
  return "hakmem: " + text;
}

std::uint64_t figure(std::string const& statistics, std::string const& name) {
  std::size_t const at = statistics.find(name);
  return at == std::string::npos ? 0 : std::strtoull(statistics.c_str() + at + name.size(), nullptr, 10);
}
std::uint64_t guarded_in(ChildResult const& child) { return figure(child.err, "blocks between guard pages"); }
std::uint64_t forgone_in(ChildResult const& child) {
  return figure(child.err, "blocks chosen for guard pages that got none");
}

ChildResult misuse(std::string const& bug, std::size_t size, char const* where, bool wrong,
                   std::vector<std::string> const& options) {
  return run_child(FAST_LIBRARY, {PROGRAM, bug, std::to_string(size), where, wrong ? "wrong" : "right"}, options);
}

struct Sampled {
  char const* bug;
  char const* side;
  char const* line;
  int signal;
};
constexpr Sampled kSampled[] = {
    {"read_past_end", "right", "overflow: read 0 bytes past the end of a SIZE-byte block from malloc", SIGSEGV},
    {"write_past_end", "right", "overflow: write 0 bytes past the end of a SIZE-byte block from malloc", SIGSEGV},
    {"write_before_start", "right", "underflow: written 1 byte before a SIZE-byte block from malloc, found by free()",
     SIGABRT},
    {"read_before_start", "left", "underflow: read 1 byte before a SIZE-byte block from malloc", SIGSEGV},
    {"write_before_start", "left", "underflow: write 1 byte before a SIZE-byte block from malloc", SIGSEGV},
    {"read_after_free", "right", "use-after-free: read HALF bytes inside a freed SIZE-byte block from malloc", SIGSEGV},
    {"write_after_free", "random", "use-after-free: write HALF bytes inside a freed SIZE-byte block from malloc",
     SIGSEGV},
    {"double_free", "right", "double-free: free() of a freed SIZE-byte block from malloc", SIGABRT},
    {"double_free_by_another_thread", "right", "double-free: free() of a freed SIZE-byte block from malloc", SIGABRT},
    {"double_free_much_later", "random", "double-free: free() of a freed SIZE-byte block from malloc", SIGABRT},
    {"free_inside", "right", "invalid-free: free() of an address 8 bytes inside a SIZE-byte block from malloc",
     SIGABRT},
    {"free_of_new", "right", "kind-mismatch: free() of a SIZE-byte block from new", SIGABRT},
    {"realloc_of_dead", "right", "use-after-free: realloc() of a freed SIZE-byte block from malloc", SIGABRT},
    {"usable_size_of_dead", "right", "use-after-free: malloc_usable_size() of a freed SIZE-byte block from malloc",
     SIGABRT},
};

class MisuseSampled : public ::testing::TestWithParam<Sampled> {};

TEST_P(MisuseSampled, is_stopped_by_the_fast_build_where_it_happens) {
  Sampled const& sampled = GetParam();
  std::vector<std::string> const options = {"HAKMEM_GUARD=sample:1", std::string("HAKMEM_GUARD_SIDE=") + sampled.side};
  for (std::size_t const size : kSizes) {
    for (char const* where : {"main", "thread"}) {
      SCOPED_TRACE(std::to_string(size) + " bytes, " + where);
      ChildResult const bug = misuse(sampled.bug, size, where, true, options);
      EXPECT_EQ(bug.signal, sampled.signal);
      EXPECT_EQ(bug.err.substr(0, bug.err.find('\n')), filled_in(sampled.line, size));
      EXPECT_NE(bug.err.find("allocated by thread"), std::string::npos) << bug.err;
      EXPECT_NE(bug.err.find("/misuse+0x"), std::string::npos) << "a stack of the program: " << bug.err;
      ChildResult const twin = misuse(sampled.bug, size, where, false, options);
      EXPECT_EQ(twin.exit_code, 0);
      EXPECT_EQ(twin.err, "");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fast, MisuseSampled, ::testing::ValuesIn(kSampled),
                         [](auto const& sampled) { return std::string(sampled.param.bug) + "_" + sampled.param.side; });

TEST(FastSample, is_empty_by_default) {
  ChildResult const child = misuse("hold_many", 40, "main", false, {"HAKMEM_STATS=text"});
  EXPECT_EQ(child.exit_code, 0);
  EXPECT_EQ(guarded_in(child) + forgone_in(child), 0u);
}

// 50,000 blocks that are held, and 100,000 of which each is freed before the next: the chances are the same.
TEST(FastSample, has_one_in_so_many_blocks_whatever_the_order_of_frees) {
  for (char const* bug : {"hold_many", "write_after_free_before_reuse"}) {
    std::uint64_t const blocks = bug == std::string("hold_many") ? 50'000 : 100'000;
    ChildResult const child =
        misuse(bug, 40, "main", false, {"HAKMEM_GUARD=sample:50", "HAKMEM_SEED=7", "HAKMEM_STATS=text"});
    EXPECT_EQ(child.exit_code, 0);
    std::uint64_t const chosen = guarded_in(child) + forgone_in(child);
    EXPECT_GT(chosen, blocks / 50 * 8 / 10) << bug;
    EXPECT_LT(chosen, blocks / 50 * 12 / 10) << bug;
  }
}

TEST(FastSample, has_a_budget_of_time) {
  ChildResult const child =
      misuse("write_after_free_before_reuse", 40, "main", false, {"HAKMEM_GUARD=sample:200", "HAKMEM_STATS=text"});
  EXPECT_EQ(child.exit_code, 0);
  EXPECT_GT(guarded_in(child), 0u);
  EXPECT_GT(forgone_in(child), guarded_in(child)) << "allocations far apart in time: the machine is very slow";
}

TEST(FastSample, has_more_blocks_than_there_may_be_mappings) {
  ChildResult const many = misuse("hold_many", 40, "main", false, {"HAKMEM_GUARD=all", "HAKMEM_STATS=text"});
  EXPECT_EQ(many.exit_code, 0);
  EXPECT_GE(guarded_in(many), 50'000u);
}

TEST(FastSample, takes_ordinary_blocks_when_mappings_run_out) {
  ChildResult const many = misuse("hold_many_on_an_older_kernel", 40, "main", false, {"HAKMEM_GUARD=all"});
  EXPECT_EQ(many.exit_code, 0);
  EXPECT_EQ(many.out, "");
  EXPECT_EQ(many.err,
            "hakmem: blocks get no guard pages: half of the mappings that vm.max_map_count allows are in use\n");
}

}  // namespace
}  // namespace hakmem
