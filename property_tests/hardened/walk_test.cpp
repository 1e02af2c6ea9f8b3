// Walks along made-up frames, up to every bound of a step and of a stack.
#include <alloca.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "core/base/geometry.h"
#include "property_tests/hardened/frames.h"

namespace hakmem::hardened {
namespace {

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
      own.entry = {at, 1};
      own.entry_at = at - sizeof(Frame);
      unsigned const reached = walk_stack(nullptr, 3).count;
      own.entry = {};
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

}  // namespace
}  // namespace hakmem::hardened
