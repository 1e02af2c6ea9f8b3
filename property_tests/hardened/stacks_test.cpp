// Walks along made-up frames and the store of stacks.
#include "hardened/stacks.h"

#include <alloca.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/geometry.h"
#include "property_tests/hardened/reports.h"

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
  if (remembered({++next}) == 0) return "what did not fit took room";
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

}  // namespace
}  // namespace hakmem::hardened
