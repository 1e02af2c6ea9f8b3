// The store of stacks: numbers, what they recall, and what happens when it is full.
#include "hardened/stacks.h"

#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <new>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/geometry.h"
#include "core/os/linux.h"
#include "property_tests/hardened/frames.h"
#include "property_tests/hardened/reports.h"
#include "property_tests/os/child.h"

namespace hakmem::hardened {
namespace {

std::uint32_t remembered(Callers const& callers) {
  return with_frames(callers, [](void* frame) {
    static_cast<void>(thread_number());
    note_entry(frame);
    std::uint32_t const id = remember_stack();
    own.entry = {};
    return id;
  });
}

class HardenedStacks : public ::testing::Test {
 public:
  HardenedStacks() { start_stacks(Stack::kMaxFrames); }
};

TEST_F(HardenedStacks, are_recalled_as_they_were_under_one_number_each) {
  std::mt19937 random(8);
  std::vector<std::pair<Callers, std::uint32_t>> known;
  std::set<std::uint32_t> numbers;
  for (int i = 0; i < 2000; ++i) {
    Callers const callers = numbered(1 + random() % Stack::kMaxFrames, 0x10000u + 100u * static_cast<unsigned>(i));
    std::uint32_t const id = remembered(callers);
    ASSERT_NE(id, 0u);
    ASSERT_LT(id, 1u << kStackIdBits);
    known.emplace_back(callers, id);
    numbers.insert(id);
  }
  EXPECT_EQ(numbers.size(), known.size());
  for (auto const& [callers, id] : known) {
    ASSERT_EQ(callers_of(recall_stack(id)), callers);
    ASSERT_EQ(remembered(callers), id);
  }
}

TEST_F(HardenedStacks, that_differ_in_one_frame_or_in_order_have_different_numbers) {
  Callers const callers{101, 102, 103, 104};
  std::set<std::uint32_t> numbers{remembered(callers), remembered({101, 102, 103}), remembered({102, 101, 103, 104})};
  for (std::size_t i = 0; i < callers.size(); ++i) {
    Callers other = callers;
    other[i] += 1000;
    numbers.insert(remembered(other));
  }
  EXPECT_EQ(numbers.size(), 7u);
}

TEST_F(HardenedStacks, are_cut_at_the_depth_that_was_asked_for) {
  Callers const callers = numbered(Stack::kMaxFrames + 4, 0x500);
  for (unsigned const depth : {1u, 2u, 8u, 15u, 16u, 17u, 1000u}) {
    start_stacks(depth);
    std::size_t const kept = std::min(depth, Stack::kMaxFrames);
    EXPECT_EQ(callers_of(recall_stack(remembered(callers))),
              Callers(callers.begin(), callers.begin() + static_cast<std::ptrdiff_t>(kept)));
  }
}

TEST_F(HardenedStacks, that_are_empty_are_number_0) {
  EXPECT_EQ(remembered({0}), 0u);
  own.entry = {};
  EXPECT_EQ(remember_stack(), 0u);
  EXPECT_EQ(recall_stack(0).count, 0u);
  start_stacks(0);
  EXPECT_EQ(remembered({1, 2}), 0u);
}

TEST_F(HardenedStacks, that_a_spoilt_number_names_have_no_more_frames_than_fit) {
  for (unsigned const word : {1u, 16u, 17u, 18u, 0x777701u}) {
    Callers callers = numbered(Stack::kMaxFrames, 0x3000);
    callers[3] = word;  // lies where a second stack of four words would begin
    unsigned const count = recall_stack(remembered(callers) + 1).count;
    EXPECT_EQ(count, word <= Stack::kMaxFrames ? word : 0) << word;
  }
}

TEST_F(HardenedStacks, take_as_many_slots_as_their_frames_and_their_number_need) {
  std::uint32_t before = remembered({0x710000});
  for (unsigned frames = 1; frames <= Stack::kMaxFrames; ++frames) {
    std::uint32_t const id = remembered(numbered(frames, 0x720000 + 100 * frames));
    std::uint32_t const next = remembered({0x710000 + frames});
    EXPECT_EQ(next - id, (frames + 1 + 3) / 4) << frames;
    EXPECT_EQ(id - before, 1u);
    before = next;
  }
}

TEST_F(HardenedStacks, stay_when_they_are_started_again) {
  Callers const callers{0x730001, 0x730002};
  std::uint32_t const id = remembered(callers);
  start_stacks(4);
  EXPECT_EQ(callers_of(recall_stack(id)), callers);
}

TEST_F(HardenedStacks, are_recalled_without_a_write_behind_the_frames_that_fit) {
  std::uint32_t const id = remembered(numbered(Stack::kMaxFrames, 0x740000));
  alignas(Stack) std::byte memory[sizeof(Stack) + sizeof(void*)];
  std::memset(memory, 0x55, sizeof memory);
  new (memory) Stack(recall_stack(id));
  for (std::size_t at = sizeof(Stack); at < sizeof memory; ++at) EXPECT_EQ(memory[at], std::byte{0x55});
}

TEST_F(HardenedStacks, of_several_threads_share_numbers_and_are_all_kept) {
  constexpr unsigned kThreads = 4, kEach = 500;
  std::vector<std::vector<std::uint32_t>> ids(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : ids)
    threads.emplace_back([&mine] {
      for (unsigned i = 0; i < kEach; ++i) mine.push_back(remembered(numbered(1 + i % 9, 0x900000u + 100 * i)));
    });
  for (std::thread& thread : threads) thread.join();
  for (unsigned i = 0; i < kEach; ++i) {
    for (auto const& mine : ids) {
      ASSERT_EQ(mine[i], ids[0][i]);
      ASSERT_EQ(callers_of(recall_stack(mine[i])), numbered(1 + i % 9, 0x900000u + 100 * i));
    }
  }
}

// In a process of their own, whose store nobody else needs; what is wrong.
std::string wrong_with_a_full_store() {
  constexpr std::uint32_t kSlots = 1u << kStackIdBits;
  constexpr unsigned kSlotsOfLongest = 5;
  // Until the stacks of five slots will leave room for some of one.
  std::uintptr_t next = 0x100000000;
  std::uint32_t last = remembered({++next});
  while ((kSlots - last) % kSlotsOfLongest != 0) last = remembered({++next});
  std::vector<std::pair<std::uint32_t, std::uintptr_t>> known;
  // Some are refused earlier, for want of room in the table near their place.
  for (unsigned refused_in_turn = 0; refused_in_turn < 50;) {
    std::uint32_t const id = remembered(numbered(Stack::kMaxFrames, next += 100));
    refused_in_turn = id == 0 ? refused_in_turn + 1 : 0;
    if (id == 0) continue;
    if (id + kSlotsOfLongest > kSlots) return "a stack lies outside";
    known.emplace_back(id, next);
  }
  if (std::uint32_t const id = known.back().first; id + 2 * kSlotsOfLongest <= kSlots)
    return "full after " + std::to_string(id);
  // Of one slot each: so many that some find room in the table near their place.
  std::uint32_t greatest = 0;
  for (unsigned refused_in_turn = 0; refused_in_turn < 50;) {
    std::uint32_t const id = remembered({++next});
    refused_in_turn = id == 0 ? refused_in_turn + 1 : 0;
    greatest = std::max(greatest, id);
  }
  if (greatest == 0) return "what did not fit took room";
  if (greatest != kSlots - 1) return "the last slot is left empty";
  for (auto const& [id, first] : known) {
    if (callers_of(recall_stack(id)) != numbered(Stack::kMaxFrames, first)) return "a stack changed";
    if (remembered(numbered(Stack::kMaxFrames, first)) != id) return "a stack is not known any more";
  }
  return "";
}

TEST_F(HardenedStacks, are_not_numbered_any_more_when_the_store_is_full_and_the_others_stay) {
  run_in_child([] { EXPECT_EQ(wrong_with_a_full_store(), ""); });
}

// Many stacks of one slot: the table is full near their places before the slots are.
std::string wrong_with_a_full_table() {
  unsigned kept = 0;
  for (std::uintptr_t i = 0; i < 100'000; ++i) kept += remembered({0x200000000 + i}) != 0;
  if (kept < 95'000) return "only " + std::to_string(kept) + " kept";
  for (std::uintptr_t i = 0; i < 100'000; i += 7) {
    std::uint32_t const id = remembered({0x200000000 + i});
    if (id != 0 && callers_of(recall_stack(id)) != Callers{0x200000000 + i}) return "a stack changed";
  }
  return "";
}

TEST_F(HardenedStacks, are_kept_while_the_table_has_room_near_their_place) {
  run_in_child([] { EXPECT_EQ(wrong_with_a_full_table(), ""); });
}

// In a program that starts anew, where no other test has started the store.
class HardenedStacksAnew : public ::testing::Test {
 public:
  HardenedStacksAnew() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(HardenedStacksAnew, have_no_numbers_while_no_frames_are_kept) {
  run_in_child([] {
    start_stacks(0);
    EXPECT_EQ(remembered({1, 2}), 0u);
    EXPECT_EQ(recall_stack(0).count, 0u);
    EXPECT_EQ(recall_stack(5).count, 0u);
    start_stacks(1);
    EXPECT_NE(remembered({1, 2}), 0u);
  });
}

using Ranges = std::vector<std::pair<std::uintptr_t, std::uintptr_t>>;
Ranges mappings() {
  std::ifstream maps("/proc/self/maps");
  Ranges all;
  std::uintptr_t start = 0, end = 0;
  for (std::string line; std::getline(maps, line);)
    if (std::sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) all.emplace_back(start, end);
  return all;
}
// The longest stretch that is in the second list and not in the first.
std::pair<std::uintptr_t, std::uintptr_t> longest_new(Ranges const& before, Ranges const& after) {
  std::pair<std::uintptr_t, std::uintptr_t> longest{};
  auto const take = [&](std::uintptr_t from, std::uintptr_t to) {
    if (from < to && to - from > longest.second - longest.first) longest = {from, to};
  };
  Ranges joined;  // guard pages may be mappings of their own
  for (auto const& range : after) {
    if (!joined.empty() && joined.back().second == range.first)
      joined.back().second = range.second;
    else
      joined.push_back(range);
  }
  for (auto [from, to] : joined) {
    for (auto const& old : before) {
      if (old.second <= from || old.first >= to) continue;
      take(from, old.first);
      from = old.second;
    }
    take(from, to);
  }
  return longest;
}
bool is_readable(std::uintptr_t address) {
  char byte;
  iovec const to{&byte, 1}, from{reinterpret_cast<void*>(address), 1};
  return ::process_vm_readv(::getpid(), &to, 1, &from, 1, 0) == 1;
}

TEST_F(HardenedStacksAnew, lie_between_guard_pages) {
  run_in_child([] {
    Ranges const before = mappings();
    start_stacks(1);
    auto const [from, to] = longest_new(before, mappings());
    std::size_t const page = Linux::page_bytes();
    ASSERT_GT(to - from, 8 * kMiB);
    EXPECT_FALSE(is_readable(from));
    EXPECT_FALSE(is_readable(from + page - 1));
    EXPECT_TRUE(is_readable(from + page));
    EXPECT_TRUE(is_readable(to - page - 1));
    EXPECT_FALSE(is_readable(to - page));
    EXPECT_FALSE(is_readable(to - 1));
  });
}

// It says so by ending the process: not every kernel shows names.
TEST_F(HardenedStacksAnew, lie_in_memory_that_the_kernel_is_asked_to_name) {
  constexpr std::uint32_t kSetVma = 0x53564d41;  // PR_SET_VMA
  EXPECT_EXIT((testing::forbid_system_call(SYS_prctl, 0, kSetVma), start_stacks(1)), ::testing::KilledBySignal(SIGSYS),
              "");
}

// By the definition of the hash: the callers whose places in the table are the same.
std::vector<std::uintptr_t> callers_at_place(std::uint64_t place, unsigned count) {
  constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15;
  std::uint64_t inverse = kFactor;  // modulo 2^64, by Newton's steps
  for (int step = 0; step < 6; ++step) inverse *= 2 - kFactor * inverse;
  std::vector<std::uintptr_t> callers;
  for (std::uint64_t i = 0; i < count; ++i) callers.push_back((place << 47 | (i + 1) << 20) * inverse);
  return callers;
}

TEST_F(HardenedStacksAnew, that_share_a_place_in_the_table_are_kept_up_to_sixteen_of_them_around_its_end) {
  run_in_child([] {
    start_stacks(1);
    for (std::uint64_t const place : {std::uint64_t{0x8000}, (std::uint64_t{1} << 17) - 1}) {
      std::vector<std::uintptr_t> const callers = callers_at_place(place, 20);
      std::vector<std::uint32_t> ids;
      for (std::uintptr_t const caller : callers) ids.push_back(remembered({caller}));
      for (unsigned i = 0; i < 20; ++i) {
        EXPECT_EQ(ids[i] != 0, i < 16) << i;
        EXPECT_EQ(remembered({callers[i]}), ids[i]) << i;
        if (ids[i] != 0) {
          EXPECT_EQ(callers_of(recall_stack(ids[i])), Callers{callers[i]}) << i;
        }
      }
    }
  });
}

}  // namespace
}  // namespace hakmem::hardened
