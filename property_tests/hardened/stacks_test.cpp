// Walks along made-up frames and the store of stacks.
#include "hardened/stacks.h"

#include <alloca.h>
#include <gtest/gtest.h>
#include <pthread.h>
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
#include "property_tests/hardened/reports.h"
#include "property_tests/os/child.h"

namespace hakmem::hardened {
namespace {

using Callers = std::vector<std::uintptr_t>;
Callers callers_of(Stack const& stack) {
  Callers callers;
  for (unsigned i = 0; i < stack.count; ++i) callers.push_back(reinterpret_cast<std::uintptr_t>(stack.frames[i]));
  return callers;
}
Callers numbered(std::size_t count, std::uintptr_t first) {
  Callers callers(count);
  for (std::uintptr_t& caller : callers) caller = first++;
  return callers;
}

// Links frames that lie one behind the other, on the stack; the last one leads to `beyond`.
void* link(Frame* frames, Callers const& callers, std::uintptr_t beyond = 0) {
  for (std::size_t i = 0; i < callers.size(); ++i) {
    frames[i] = {i + 1 < callers.size() ? reinterpret_cast<std::uintptr_t>(frames + i + 1) : beyond, callers[i]};
  }
  return frames;
}

// Calls use(frame) with such frames in the real stack of this thread.
template <class Use>
auto with_frames(Callers const& callers, Use use) {
  auto* const memory = static_cast<Frame*>(alloca(sizeof(Frame) * (callers.size() + 1)));
  return use(link(memory, callers));
}

std::uint32_t remembered(Callers const& callers) {
  return with_frames(callers, [](void* frame) {
    note_entry(frame);
    std::uint32_t const id = remember_stack();
    entry_frame = {};
    return id;
  });
}

TEST(HardenedWalk, visits_each_frame_from_the_inside_out_up_to_the_limit) {
  for (unsigned length = 1; length <= Stack::kMaxFrames + 2; ++length) {
    Callers const callers = numbered(length, 0x1000);
    for (unsigned most = 0; most <= Stack::kMaxFrames; ++most) {
      Callers const seen = with_frames(callers, [&](void* frame) { return callers_of(walk_stack(frame, most)); });
      ASSERT_EQ(seen, Callers(callers.begin(), callers.begin() + std::min(most, length)));
    }
  }
}

TEST(HardenedWalk, ends_before_a_frame_that_returns_nowhere) {
  EXPECT_EQ(with_frames({5, 6, 0, 7}, [](void* frame) { return callers_of(walk_stack(frame, 9)); }), (Callers{5, 6}));
}

// From a frame of one caller to a second frame, `distance` bytes further out.
std::size_t walked_over(std::ptrdiff_t distance) {
  constexpr std::size_t kRoom = 600 * kKiB;
  auto* const memory = static_cast<std::byte*>(alloca(kRoom));
  auto* const aligned = memory + kRoom / 2 - reinterpret_cast<std::uintptr_t>(memory) % 16;
  auto* const inner = reinterpret_cast<Frame*>(aligned);
  Frame const outer{0, 2};
  std::byte* const at = aligned + distance;
  std::copy_n(reinterpret_cast<std::byte const*>(&outer), sizeof outer, at);
  *inner = {reinterpret_cast<std::uintptr_t>(at), 1};
  return walk_stack(inner, 5).count;
}

TEST(HardenedWalk, takes_no_step_inwards_to_itself_too_far_or_off_the_words) {
  constexpr std::ptrdiff_t kFarthest = 256 * kKiB;
  for (std::ptrdiff_t const distance : {std::ptrdiff_t{16}, std::ptrdiff_t{24}, std::ptrdiff_t{4096}, kFarthest})
    EXPECT_EQ(walked_over(distance), 2u) << distance;
  for (std::ptrdiff_t const distance :
       {std::ptrdiff_t{0}, std::ptrdiff_t{-16}, std::ptrdiff_t{-4096}, kFarthest + 8, kFarthest + 4096})
    EXPECT_EQ(walked_over(distance), 1u) << distance;
  for (std::ptrdiff_t odd = 1; odd < 8; ++odd) EXPECT_EQ(walked_over(4096 + odd), 1u) << odd;
}

TEST(HardenedWalk, does_not_begin_off_the_stack) {
  static Frame elsewhere[2];
  EXPECT_EQ(walk_stack(link(elsewhere, {1, 2}), 9).count, 0u);
  Frame of_another[2];
  unsigned above = 9;
  std::thread([&] { above = walk_stack(link(of_another, {1, 2}), 9).count; }).join();
  EXPECT_EQ(above, 0u) << "above the thread's own";
  EXPECT_EQ(walk_stack(nullptr, 9).count, 0u);
}

TEST(HardenedWalk, measures_each_step_from_the_frame_before_it) {
  constexpr std::size_t kRoom = 600 * kKiB;
  auto* const memory = static_cast<std::byte*>(alloca(kRoom));
  auto* const start = memory + 16 - reinterpret_cast<std::uintptr_t>(memory) % 16;
  auto const walked = [&](std::size_t second, std::size_t third) {
    auto const at = [&](std::size_t offset) { return reinterpret_cast<Frame*>(start + offset); };
    *at(0) = {reinterpret_cast<std::uintptr_t>(at(second)), 1};
    *at(third) = {0, 3};
    *at(second) = {reinterpret_cast<std::uintptr_t>(at(third)), 2};
    return walk_stack(at(0), 5).count;
  };
  EXPECT_EQ(walked(200 * kKiB, 400 * kKiB), 3u);
  EXPECT_EQ(walked(4096, 2048), 2u) << "inwards again";
}

// What lies below the top of a thread's stack is put back.
TEST(HardenedWalk, begins_as_far_as_the_top_of_the_stack_and_no_further) {
  std::thread([] {
    EXPECT_EQ(walk_stack(nullptr, 1).count, 0u);
    auto* const last = static_cast<Frame*>(__builtin_thread_pointer()) - 1;
    std::uintptr_t const before = last->caller;
    if (before == 0) last->caller = 1;
    unsigned const counts[] = {walk_stack(last, 1).count, walk_stack(&last->caller, 1).count,
                               walk_stack(last + 1, 1).count};
    last->caller = before;
    EXPECT_EQ(counts[0], 1u);
    EXPECT_EQ(counts[1], 0u);
    EXPECT_EQ(counts[2], 0u);
  }).join();
}

// In a thread whose stack is longer than is believed in: `use` gets its top, and is called from so far below it.
template <class Use>
void run_deep_below_the_top(std::size_t depth, Use use) {
  struct Run {
    std::size_t depth;
    Use* use;
  } run{depth, &use};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, depth + kMiB), 0);
  pthread_t thread;
  auto const start = [](void* argument) -> void* {
    auto const& wanted = *static_cast<Run*>(argument);
    auto const top = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
    std::size_t const here = top - reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    void* const memory = alloca(wanted.depth - here);
    asm volatile("" : : "r"(memory) : "memory");
    (*wanted.use)(top);
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, start, &run), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(HardenedWalk, believes_in_stacks_of_64_mib_and_no_more) {
  constexpr std::size_t kLargest = 64 * kMiB;
  run_deep_below_the_top(kLargest + 64 * kKiB, [&](std::uintptr_t top) {
    auto const walked_from = [](std::uintptr_t at) {
      auto* const frame = reinterpret_cast<Frame*>(at);
      *frame = {0, 2};
      unsigned const begun = walk_stack(frame, 3).count;
      entry_frame = {at, 1};
      unsigned const reached = walk_stack(nullptr, 3).count;
      entry_frame = {};
      return std::pair{begun, reached};
    };
    EXPECT_EQ(walked_from(top - kLargest), (std::pair{1u, 2u}));
    EXPECT_EQ(walked_from(top - kLargest - 8), (std::pair{0u, 2u})) << "the last frame ends 16 bytes below the top";
    EXPECT_EQ(walked_from(top - kLargest - 16), (std::pair{0u, 2u}));
    EXPECT_EQ(walked_from(top - kLargest - 24), (std::pair{0u, 1u}));
  });
}

// Of the last two words below the top of a thread's stack: the walk may read them, and none above.
TEST(HardenedWalk, goes_as_far_as_the_top_of_the_stack_and_no_further) {
  std::thread([] {
    auto const top = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
    auto const count_to = [](std::uintptr_t outer) {
      auto* const memory = static_cast<Frame*>(alloca(sizeof(Frame)));
      return walk_stack(link(memory, {1}, outer), 2).count;
    };
    auto const* const last = reinterpret_cast<Frame const*>(top) - 1;
    unsigned const counted = count_to(top - 16);
    EXPECT_EQ(counted, last->caller != 0 ? 2u : 1u);
    EXPECT_EQ(count_to(top - 8), 1u);
    EXPECT_EQ(count_to(top), 1u);
    EXPECT_EQ(count_to(top + 8), 1u);
  }).join();
}

TEST(HardenedWalk, knows_which_addresses_lie_on_the_stack) {
  static int elsewhere;
  int local = 0;
  EXPECT_TRUE(is_on_stack(&local));
  EXPECT_FALSE(is_on_stack(&elsewhere));
  EXPECT_FALSE(is_on_stack(nullptr));
  bool others = true, own = false;
  std::uintptr_t top = 0;
  std::thread([&] {
    int inner = 0;
    others = is_on_stack(&local);
    own = is_on_stack(&inner);
    top = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
    EXPECT_FALSE(is_on_stack(reinterpret_cast<void*>(top)));
    EXPECT_TRUE(is_on_stack(reinterpret_cast<void*>(top - 1)));
  }).join();
  EXPECT_FALSE(others);
  EXPECT_TRUE(own);
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
  entry_frame = {};
  EXPECT_EQ(remember_stack(), 0u);
  EXPECT_EQ(recall_stack(0).count, 0u);
  start_stacks(0);
  EXPECT_EQ(remembered({1, 2}), 0u);
}

TEST_F(HardenedStacks, that_a_spoilt_number_names_have_no_more_frames_than_fit) {
  for (unsigned const low : {0u, 1u, 16u, 17u, 18u, 255u}) {
    Callers callers = numbered(Stack::kMaxFrames, 0x3000);
    callers[3] = 0x777700 + low;  // lies where a second stack of four words would begin
    unsigned const count = recall_stack(remembered(callers) + 1).count;
    EXPECT_EQ(count, low <= Stack::kMaxFrames ? low : 0) << low;
  }
}

TEST_F(HardenedStacks, take_as_many_slots_as_their_frames_and_a_hash_need) {
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
        if (ids[i] != 0) EXPECT_EQ(callers_of(recall_stack(ids[i])), Callers{callers[i]}) << i;
      }
    }
  });
}

}  // namespace
}  // namespace hakmem::hardened
