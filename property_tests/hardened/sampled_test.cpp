// The sample of the fast build: how far apart its blocks are, and how many a thread may afford.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "hardened/fixed.h"
#include "hardened/sampled_fast_mode.h"
#include "property_tests/hardened/reports.h"
#include "property_tests/hardened/span.h"

namespace hakmem::hardened {
namespace {

void sample_one_in(std::uint32_t number, GuardPolicy policy = GuardPolicy::kSample) {
  Settings settings;
  settings.seed = 3;
  settings.guard.choice = policy;
  settings.guard.number = number;
  SampledFastMode::configure(settings);
}

TEST(HardenedSample, is_none_unless_it_is_asked_for) {
  EXPECT_FALSE(SampledFastMode::samples());
  sample_one_in(100, GuardPolicy::kOff);
  EXPECT_FALSE(SampledFastMode::samples());
  sample_one_in(0);
  EXPECT_FALSE(SampledFastMode::samples());
  run_in_child([] {
    sample_one_in(0, GuardPolicy::kAll);
    EXPECT_TRUE(SampledFastMode::samples());
    EXPECT_EQ(SampledFastMode::next_sample(), 0u);
  });
}

// The secret is the third number of splitmix64 from 1234567 on; the report goes elsewhere, and the program goes on.
TEST(HardenedSample, has_the_seed_the_side_the_stacks_and_the_reports_that_the_settings_say) {
  run_in_child(
      [] {
        Settings settings;
        settings.seed = 1234567;
        settings.guard.choice = GuardPolicy::kAll;
        settings.guard_side = GuardSide::kLeft;
        settings.stack_depth = 2;
        settings.on_error.choice = ErrorAction::kContinue;
        settings.report_file = "/dev/null";
        SampledFastMode::configure(settings);
        report({ErrorKind::kBrokenHeap});
        EXPECT_EQ(secrets.link_key, 9817491932198370423u);
        EXPECT_EQ(fixed.guard_side, GuardSide::kLeft);
        std::uintptr_t frame[2] = {0, 0x1111};
        note_entry(frame);
        EXPECT_NE(remember_stack(), 0u);
      },
      "^$");
}

void expect_each_with_the_same_chance(std::uint32_t number) {
  constexpr int kTries = 200'000;
  sample_one_in(number);
  own.random = 17;
  double sum = 0;
  int at_once = 0, later = 0;
  for (int i = 0; i < kTries; ++i) {
    std::uint32_t const passed = SampledFastMode::next_sample();
    sum += passed;
    at_once += passed == 0;
    later += passed >= number;
  }
  double const chance = 1 - std::exp(-1 / (number - 0.5));  // nearly 1 of `number`
  EXPECT_NEAR(sum / kTries / (1 / chance - 1), 1, 0.02) << number;
  EXPECT_NEAR(at_once, kTries * chance, 6 * std::sqrt(kTries * chance) + 0.02 * kTries * chance) << number;
  EXPECT_NEAR(later, kTries * std::pow(1 - chance, number), 0.02 * kTries) << number;
}

TEST(HardenedSample, takes_each_block_with_the_same_chance) {
  for (std::uint32_t const number : {2u, 10u, 1000u, 100'000u})
    run_in_child([number] { expect_each_with_the_same_chance(number); });
  run_in_child([] {
    sample_one_in(1);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(SampledFastMode::next_sample(), 0u);
  });
}

// In a thread of its own, whose budget is untouched: how many of the asked times are afforded.
template <class Ask>
int afforded(Ask ask) {
  int count = 0;
  std::thread([&] { ask([&](std::uint64_t now_ms) { count += SampledFastMode::affords_sample(now_ms); }); }).join();
  return count;
}
int afforded_at_once(std::vector<std::uint64_t> const& times) {
  return afforded([&](auto ask) {
    for (std::uint64_t const now_ms : times)
      for (int i = 0; i < 50; ++i) ask(now_ms);
  });
}

TEST(HardenedSample, of_all_blocks_is_afforded_at_any_time) {
  run_in_child([] {
    sample_one_in(1);
    EXPECT_EQ(afforded([](auto ask) {
                for (int i = 0; i < 10'000; ++i) ask(100'000);
              }),
              10'000);
  });
}

// What is told of SIGSEGV when nobody asked for it: that a handler is there.
bool faults_are_watched() {
  struct sigaction action {};
  ::syscall(SYS_rt_sigaction, SIGSEGV, nullptr, &action, 8);
  return action.sa_handler != SIG_DFL;
}

TEST(HardenedSample, has_faults_watched_and_nothing_else_has) {
  auto const find = [](void const*) { return BlockPlace{}; };
  run_in_child([&] {
    std::signal(SIGSEGV, SIG_DFL);
    SampledFastMode::watch(find);
    EXPECT_FALSE(faults_are_watched());
    sample_one_in(10);
    SampledFastMode::watch(find);
    EXPECT_TRUE(faults_are_watched());
  });
}

TEST(HardenedSample, has_its_settings_sealed_and_nothing_else_has) {
  run_in_child([] {
    SampledFastMode::seal();
    sample_one_in(10);
  });
  auto const write = [] {
    std::signal(SIGSEGV, SIG_DFL);
    sample_one_in(10);
    SampledFastMode::seal();
    fixed.sample_in = 0;
  };
  EXPECT_EXIT(write(), ::testing::KilledBySignal(SIGSEGV), "");
}

TEST(HardenedSample, has_blocks_that_are_treated_as_those_of_the_checked_build) {
  Span span;
  Reports reports;
  std::uintptr_t frame[2] = {0, 0x1111};
  start_stacks(1);
  SampledFastMode::entered(frame);
  ClientPtr const pointer(SampledFastMode::arm(span.place(2), {.bytes = 40}, true));
  EXPECT_EQ(pointer.unchecked(), span.layout(2).client);
  EXPECT_EQ(recall_stack(Trace::from(span.place(2).record->trace).allocated_by).frames[0],
            reinterpret_cast<void*>(0x1111));
  EXPECT_EQ(SampledFastMode::client_bytes(span.place(2)), 40u);
  EXPECT_TRUE(SampledFastMode::inspect(span.place(2), pointer, {}));
  EXPECT_TRUE(SampledFastMode::admit(span.place(2), pointer, {}));
  EXPECT_FALSE(SampledFastMode::inspect(span.place(2), pointer, {}));
  std::string told;
  SampledFastMode::set_report_callback(
      [](void* to, char const* kind, char const*, std::size_t) { *static_cast<std::string*>(to) += kind; }, &told);
  EXPECT_FALSE(SampledFastMode::admit(span.place(2), pointer, {}));
  EXPECT_EQ(told, "double-free");
  EXPECT_EQ(reports.taken().size(), 1u);
  own.entry = {};
}

TEST(HardenedSample, affords_what_an_idle_thread_saved_and_then_one_block_in_so_many_microseconds) {
  run_in_child([] {
    sample_one_in(1000);  // 4 ms a block, 16 ms saved
    EXPECT_EQ(afforded_at_once({100'000}), 5);
    EXPECT_EQ(afforded_at_once({100'000, 200'000}), 10) << "however long it was idle";
    EXPECT_EQ(afforded_at_once({3}), 1) << "soon after the clock began";
    EXPECT_EQ(afforded([](auto ask) {
                for (int i = 0; i < 50; ++i) ask(100'000);
                for (std::uint64_t ms = 0; ms < 4000; ++ms) ask(100'000 + ms);
              }),
              5 + 999);
  });
  run_in_child([] {
    sample_one_in(100'000);
    EXPECT_EQ(afforded([](auto ask) {
                for (std::uint64_t ms = 0; ms < 4000; ++ms) ask(100'000 + ms);
              }),
              11);
  });
}

}  // namespace
}  // namespace hakmem::hardened
