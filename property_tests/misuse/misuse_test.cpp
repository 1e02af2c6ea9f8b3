// Invariants H1 and H2: each bug, at each size, in the first and in another thread, ends the program
// with the promised signal and the promised first line; its corrected twin says nothing.
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "property_tests/api/child.h"

namespace hakmem {
namespace {

constexpr std::size_t kLarge = 3'000'000;
constexpr std::size_t kBands[] = {24, 100, 4000, 70'000, kLarge};

// What is promised for blocks in slabs, and for those with a mapping of their own where it differs.
// SIZE, HALF, MORE and LESS stand for the size, its half, one more and one less.
struct Promise {
  char const* bug;
  char const* line;
  char const* large_line = nullptr;  // and SIGSEGV
  std::size_t most = kLarge;         // the largest size for which it is promised
  std::size_t least = 0;
};
constexpr Promise kPromises[] = {
    {"double_free", "double-free: free() of a freed SIZE-byte block from malloc"},
    {"double_free_by_another_thread", "double-free: free() of a freed SIZE-byte block from malloc"},
    {"double_free_in_another_thread", "double-free: free() of a freed SIZE-byte block from malloc"},
    {"double_free_much_later", "double-free: free() of a freed SIZE-byte block from malloc"},
    {"free_inside", "invalid-free: free() of an address 8 bytes inside a SIZE-byte block from malloc"},
    {"free_misaligned", "invalid-free: free() of an address 1 byte inside a SIZE-byte block from malloc"},
    {"free_stack", "invalid-free: free() of an address on the stack"},
    {"free_static", "invalid-free: free() of an address that is not in the heap"},
    {"free_wild", "invalid-free: free() of an address that is not in the heap"},
    {"delete_of_malloc", "kind-mismatch: operator delete of a SIZE-byte block from malloc"},
    {"free_of_new", "kind-mismatch: free() of a SIZE-byte block from new"},
    {"delete_array_of_new", "kind-mismatch: operator delete[] of a SIZE-byte block from new"},
    {"delete_of_new_array", "kind-mismatch: operator delete of a SIZE-byte block from new[]"},
    {"free_of_aligned_new", "kind-mismatch: free() of a SIZE-byte block from aligned new"},
    {"delete_with_another_size", "size-mismatch: operator delete with size MORE of a SIZE-byte block from new"},
    {"delete_with_another_alignment",
     "alignment-mismatch: aligned operator delete with alignment 128 of a SIZE-byte block from aligned new aligned to "
     "64"},
    {"free_sized_with_another_size", "size-mismatch: free_sized() with size LESS of a SIZE-byte block from malloc"},
    {"realloc_of_dead", "use-after-free: realloc() of a freed SIZE-byte block from malloc"},
    {"realloc_of_new", "kind-mismatch: realloc() of a SIZE-byte block from new"},
    {"usable_size_of_dead", "use-after-free: malloc_usable_size() of a freed SIZE-byte block from malloc"},
    {"write_past_end", "overflow: written 0 bytes past the end of a SIZE-byte block from malloc, found by free()",
     "overflow: write 0 bytes past the end of a SIZE-byte block from malloc"},
    {"write_seven_past_end", "overflow: written 7 bytes past the end of a SIZE-byte block from malloc, found by free()",
     "overflow: write 7 bytes past the end of a SIZE-byte block from malloc"},
    {"write_past_end_and_never_free",
     "overflow: written 0 bytes past the end of a SIZE-byte block from malloc, found by a heap check",
     "overflow: write 0 bytes past the end of a SIZE-byte block from malloc"},
    {"write_before_start", "underflow: written 1 byte before a SIZE-byte block from malloc, found by free()"},
    {"write_sixteen_before_start", "underflow: written 16 bytes before a SIZE-byte block from malloc, found by free()"},
    {"write_past_zero_bytes", "overflow: written 0 bytes past the end of a 0-byte block from malloc, found by free()"},
    {"write_after_free",
     "use-after-free: written HALF bytes inside a freed SIZE-byte block from malloc, found by a heap check",
     "use-after-free: write HALF bytes inside a freed SIZE-byte block from malloc"},
    {"write_after_free_before_reuse",
     "use-after-free: written HALF bytes inside a freed SIZE-byte block from malloc, found by the next allocation of "
     "this memory",
     nullptr, 4000},
    {"read_after_free", nullptr, "use-after-free: read HALF bytes inside a freed SIZE-byte block from malloc", kLarge,
     kLarge},
    {"read_past_end", nullptr, "overflow: read 0 bytes past the end of a SIZE-byte block from malloc", kLarge, kLarge},
};

std::string filled_in(std::string text, std::size_t size) {
  std::pair<char const*, std::size_t> const words[] = {
      {"SIZE", size}, {"HALF", size / 2}, {"MORE", size + 1}, {"LESS", size - 1}};
  for (auto const& [word, value] : words)
    for (std::size_t at; (at = text.find(word)) != std::string::npos;) text.replace(at, 4, std::to_string(value));
  return "hakmem: " + text;
}

class Misuse : public ::testing::TestWithParam<Promise> {};

TEST_P(Misuse, is_stopped_with_the_promised_line_and_its_twin_is_not) {
  Promise const& promise = GetParam();
  for (std::size_t const size : kBands) {
    if (size < promise.least || size > promise.most) continue;
    bool const guarded = size == kLarge && promise.large_line;
    std::string const expected = filled_in(guarded ? promise.large_line : promise.line, size);
    for (char const* where : {"main", "thread"}) {
      SCOPED_TRACE(std::to_string(size) + " bytes, " + where);
      ChildResult const bug = run_child(LIBRARY, {PROGRAM, promise.bug, std::to_string(size), where, "wrong"}, {});
      EXPECT_EQ(bug.signal, guarded ? SIGSEGV : SIGABRT);
      EXPECT_EQ(bug.err.substr(0, bug.err.find('\n')), expected);
      EXPECT_EQ(count_of(bug.err, "hakmem: "), 1) << "one bug, one report: " << bug.err;
      ChildResult const twin = run_child(LIBRARY, {PROGRAM, promise.bug, std::to_string(size), where, "right"}, {});
      EXPECT_EQ(twin.exit_code, 0);
      EXPECT_EQ(twin.err, "");
    }
  }
}

// --- a guard page for each block ------------------------------------------------------------------

struct Guarded {
  char const* bug;
  char const* side;
  char const* line;
  int signal = SIGSEGV;
};
constexpr Guarded kGuarded[] = {
    {"read_past_end", "right", "overflow: read 0 bytes past the end of a SIZE-byte block from malloc"},
    {"write_past_end", "right", "overflow: write 0 bytes past the end of a SIZE-byte block from malloc"},
    {"write_before_start", "right", "underflow: written 1 byte before a SIZE-byte block from malloc, found by free()",
     SIGABRT},
    {"read_before_start", "left", "underflow: read 1 byte before a SIZE-byte block from malloc"},
    {"write_before_start", "left", "underflow: write 1 byte before a SIZE-byte block from malloc"},
    {"write_past_end", "left",
     "overflow: written 0 bytes past the end of a SIZE-byte block from malloc, found by free()", SIGABRT},
    {"read_after_free", "right", "use-after-free: read HALF bytes inside a freed SIZE-byte block from malloc"},
    {"read_after_free", "left", "use-after-free: read HALF bytes inside a freed SIZE-byte block from malloc"},
    {"write_after_free", "random", "use-after-free: write HALF bytes inside a freed SIZE-byte block from malloc"},
    {"double_free_much_later", "random", "double-free: free() of a freed SIZE-byte block from malloc", SIGABRT},
};
constexpr std::size_t kGuardedSizes[] = {32, 112, 4000, 70'000, kLarge - kLarge % 16};

class MisuseGuarded : public ::testing::TestWithParam<Guarded> {};

TEST_P(MisuseGuarded, is_stopped_where_it_happens) {
  Guarded const& guarded = GetParam();
  std::vector<std::string> const options = {"HAKMEM_GUARD=all", std::string("HAKMEM_GUARD_SIDE=") + guarded.side};
  for (std::size_t const size : kGuardedSizes) {
    SCOPED_TRACE(std::to_string(size) + " bytes");
    ChildResult const bug = run_child(LIBRARY, {PROGRAM, guarded.bug, std::to_string(size), "main", "wrong"}, options);
    EXPECT_EQ(bug.signal, guarded.signal);
    EXPECT_EQ(bug.err.substr(0, bug.err.find('\n')), filled_in(guarded.line, size));
    ChildResult const twin = run_child(LIBRARY, {PROGRAM, guarded.bug, std::to_string(size), "main", "right"}, options);
    EXPECT_EQ(twin.exit_code, 0);
    EXPECT_EQ(twin.err, "");
  }
}

INSTANTIATE_TEST_SUITE_P(Hardened, MisuseGuarded, ::testing::ValuesIn(kGuarded),
                         [](auto const& guarded) { return std::string(guarded.param.bug) + "_" + guarded.param.side; });

// --- between SuperSlabs ---------------------------------------------------------------------------

struct Between {
  char const* bug;
  char const* line;  // AWAY: as many bytes as the program says
  std::size_t most = kLarge;
};
constexpr Between kBetween[] = {
    {"read_on_to_the_next_super_slab", "overflow: read AWAY bytes past the end of a SIZE-byte block from malloc"},
    {"write_on_to_the_next_super_slab", "overflow: write AWAY bytes past the end of a SIZE-byte block from malloc"},
    {"read_back_to_the_last_super_slab", "underflow: read 17 bytes before a SIZE-byte block from malloc", 4000},
    {"read_between_super_slabs", "overflow: read at an address in the heap where no block is"},
};

class MisuseBetween : public ::testing::TestWithParam<Between> {};

TEST_P(MisuseBetween, is_stopped_where_the_next_super_slab_would_begin_and_its_twin_is_not) {
  Between const& between = GetParam();
  for (std::size_t const size : kBands) {
    if (size > between.most || size == kLarge) continue;
    SCOPED_TRACE(std::to_string(size) + " bytes");
    ChildResult const bug = run_child(LIBRARY, {PROGRAM, between.bug, std::to_string(size), "main", "wrong"}, {});
    std::string expected = filled_in(between.line, size);
    if (std::size_t const at = expected.find("AWAY"); at != std::string::npos)
      expected.replace(at, 4, bug.out.substr(0, bug.out.find('\n')));
    EXPECT_EQ(bug.signal, SIGSEGV);
    EXPECT_EQ(bug.err.substr(0, bug.err.find('\n')), expected);
    ChildResult const twin = run_child(LIBRARY, {PROGRAM, between.bug, std::to_string(size), "main", "right"}, {});
    EXPECT_EQ(twin.exit_code, 0);
    EXPECT_EQ(twin.err, "");
  }
}

INSTANTIATE_TEST_SUITE_P(Hardened, MisuseBetween, ::testing::ValuesIn(kBetween),
                         [](auto const& between) { return std::string(between.param.bug); });

TEST(HardenedGuards, hold_for_more_blocks_than_there_may_be_mappings) {
  ChildResult const many =
      run_child(LIBRARY, {PROGRAM, "hold_many", "40", "main", "right"}, {"HAKMEM_GUARD=all", "HAKMEM_STATS=json"});
  EXPECT_EQ(many.exit_code, 0);
  EXPECT_EQ(many.out, "");
  auto const figures = nlohmann::json::parse(many.err);
  EXPECT_GE(figures["guarded_blocks_allocated"], 50'000);
  EXPECT_EQ(figures["guards_refused"], 0);
}

TEST(HardenedGuards, that_the_kernel_refuses_are_counted_and_said_once_and_fail_nothing) {
  for (bool const json : {false, true}) {
    ChildResult const some = run_child(LIBRARY, {PROGRAM, "hold_some_without_guards", "40", "main", "right"},
                                       {"HAKMEM_GUARD=all", json ? "HAKMEM_STATS=json" : "HAKMEM_STATS=off"});
    EXPECT_EQ(some.exit_code, 0);
    EXPECT_EQ(some.out, "");
    std::string const line = "hakmem: a guard page was refused: the kernel is out of memory; going on without it\n";
    EXPECT_EQ(some.err.substr(0, line.size()), line);
    if (json)
      EXPECT_GE(nlohmann::json::parse(some.err.substr(line.size()))["guards_refused"], 100);
    else
      EXPECT_EQ(some.err, line);
  }
}

TEST(HardenedGuards, are_given_up_with_one_line_when_the_kernel_allows_no_more_mappings) {
  ChildResult const many =
      run_child(LIBRARY, {PROGRAM, "hold_many_on_an_older_kernel", "40", "main", "right"}, {"HAKMEM_GUARD=all"});
  EXPECT_EQ(many.exit_code, 0);
  EXPECT_EQ(many.out, "");
  EXPECT_EQ(many.err,
            "hakmem: blocks get no guard pages: half of the mappings that vm.max_map_count allows are in use\n");
}

TEST(HardenedLevel, decides_what_is_guarded_unless_that_is_said) {
  auto const stops = [](char const* library, std::vector<std::string> const& options) {
    return run_child(library, {PROGRAM, "read_past_end", "4000", "main", "wrong"}, options).signal == SIGSEGV;
  };
  EXPECT_TRUE(stops(LIBRARY, {"HAKMEM_LEVEL=full"}));
  EXPECT_TRUE(stops(FAST_LIBRARY, {"HAKMEM_LEVEL=full"}));
  EXPECT_FALSE(stops(LIBRARY, {"HAKMEM_LEVEL=full", "HAKMEM_GUARD=off"}));
  EXPECT_FALSE(stops(LIBRARY, {"HAKMEM_LEVEL=harden"}));
  for (char const* library : {LIBRARY, FAST_LIBRARY}) {
    ChildResult const many = run_child(library, {PROGRAM, "hold_many", "40", "main", "right"},
                                       {"HAKMEM_LEVEL=guard", "HAKMEM_SEED=3", "HAKMEM_STATS=json"});
    auto const figures = nlohmann::json::parse(many.err);
    int const chosen = figures["guarded_blocks_allocated"].get<int>() + figures["guarded_blocks_forgone"].get<int>();
    EXPECT_GT(chosen, 20) << library;
    EXPECT_LT(chosen, 100) << library;
  }
}

TEST(HardenedGuards, of_a_sample_stop_about_one_bug_in_so_many) {
  unsigned stopped = 0;
  for (int seed = 1; seed <= 60; ++seed) {
    ChildResult const child = run_child(LIBRARY, {PROGRAM, "read_past_end", "4000", "main", "wrong"},
                                        {"HAKMEM_GUARD=sample:4", "HAKMEM_SEED=" + std::to_string(seed)});
    stopped += child.signal == SIGSEGV;
  }
  EXPECT_GE(stopped, 4u);
  EXPECT_LE(stopped, 30u);
}

TEST(HardenedFill, of_one_in_so_many_finds_writes_at_both_ends_of_every_block) {
  for (char const* bug : {"write_after_free_at_start", "write_after_free_at_end"})
    for (char const* size : {"24", "150", "1000", "4079", "61423"}) {  // with less than 64 bytes of slack
      SCOPED_TRACE(std::string(bug) + " of " + size + " bytes");
      ChildResult const child = run_child(LIBRARY, {PROGRAM, bug, size, "main", "wrong"}, {"HAKMEM_FILL=1000000"});
      EXPECT_EQ(child.signal, SIGABRT);
      EXPECT_EQ(child.err.find("hakmem: use-after-free: "), 0u) << child.err;
      EXPECT_EQ(run_child(LIBRARY, {PROGRAM, bug, size, "main", "right"}, {"HAKMEM_FILL=1000000"}).err, "");
    }
}

// Of sixty programs, each with another seed.
unsigned found_further_in(char const* bug, std::vector<std::string> environment) {
  unsigned found = 0;
  for (int seed = 1; seed <= 60; ++seed) {
    environment.push_back("HAKMEM_SEED=" + std::to_string(seed));
    found += run_child(LIBRARY, {PROGRAM, bug, "4000", "main", "wrong"}, environment).signal == SIGABRT;
    environment.pop_back();
  }
  return found;
}

TEST(HardenedFill, of_one_in_so_many_finds_about_that_share_of_writes_further_in) {
  char const* const bug = "write_after_free_when_much_was_freed";
  unsigned const of_a_quarter = found_further_in(bug, {"HAKMEM_FILL=4"});
  EXPECT_GE(of_a_quarter, 4u);
  EXPECT_LE(of_a_quarter, 30u);
  EXPECT_LE(found_further_in(bug, {}), 15u) << "one in sixteen is the default";
  EXPECT_EQ(found_further_in(bug, {"HAKMEM_FILL=1"}), 60u);
}

TEST(HardenedFill, is_whole_until_the_quarantine_is_full) {
  EXPECT_EQ(found_further_in("write_after_free", {"HAKMEM_FILL=1000000"}), 60u);
}

// A guard that is hit is told of although the program has installed a handler since; then that one runs.
TEST(MisuseHandled, is_told_before_a_handler_that_the_program_installed_later) {
  for (char const* how : {"sigaction", "signal", "bsd_signal", "sysv_signal", "strict_signal"}) {
    SCOPED_TRACE(how);
    ChildResult const bug = run_child(
        LIBRARY, {PROGRAM, std::string("read_past_end_with_") + how, "4000", "main", "wrong"}, {"HAKMEM_GUARD=all"});
    EXPECT_EQ(bug.exit_code, 7);
    EXPECT_EQ(bug.out, "handled\n");
    EXPECT_EQ(bug.err.substr(0, bug.err.find('\n')),
              "hakmem: overflow: read 0 bytes past the end of a 4000-byte block from malloc");
  }
}

// Python's handler prints, puts back what was there before and sends the signal again.
TEST(MisuseHandled, leaves_the_handlers_of_real_programs_as_they_are) {
  for (char const* library : {LIBRARY, FAST_LIBRARY}) {
    ChildResult const python = run_child(
        library, {"/usr/bin/env", "python3", "-X", "faulthandler", "-c", "import ctypes; ctypes.string_at(16)"},
        {"PYTHONMALLOC=malloc"});
    EXPECT_EQ(python.signal, SIGSEGV) << library;
    EXPECT_TRUE(python.err.starts_with("Fatal Python error: Segmentation fault")) << python.err;
  }
}

TEST(MisuseHandled, says_nothing_of_faults_that_are_not_the_allocators) {
  for (char const* library : {LIBRARY, FAST_LIBRARY}) {
    ChildResult const python = run_child(
        library, {"/usr/bin/env", "python3", "-c", "import ctypes; ctypes.string_at(16)"}, {"PYTHONMALLOC=malloc"});
    EXPECT_EQ(python.signal, SIGSEGV) << library;
    EXPECT_EQ(python.err, "") << library;
  }
}

INSTANTIATE_TEST_SUITE_P(Hardened, Misuse, ::testing::ValuesIn(kPromises),
                         [](auto const& promise) { return std::string(promise.param.bug); });

}  // namespace
}  // namespace hakmem
