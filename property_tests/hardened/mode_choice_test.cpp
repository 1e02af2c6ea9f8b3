// The policies of the checked build that need no block: what a claim demands, what is chosen how often, where each
// setting goes, and what is told of a fault.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "hardened/fixed.h"
#include "hardened/hardened_mode.h"
#include "property_tests/hardened/reports.h"

namespace hakmem::hardened {
namespace {

using Kind = AllocationKind;
bool differs(Claim const& claim, Facts facts) {
  facts.state = BlockState::kLive;
  return Demand(claim).differs(facts.word()) != 0;
}

TEST(HardenedModeDemand, is_met_by_every_block_where_nothing_is_said) {
  for (std::size_t const bytes : {0, 1, 2, 255, 1 << 20})
    EXPECT_FALSE(differs({.any_kind = true}, {.bytes = bytes, .alignment = 64, .kind = Kind::kNewArray})) << bytes;
}

TEST(HardenedModeDemand, of_an_alignment_is_met_by_that_one_alone) {
  for (std::size_t alignment = kMinAlignment; alignment <= kMaxAlignment; alignment *= 2) {
    EXPECT_FALSE(differs({.alignment = alignment}, {.bytes = 1, .alignment = alignment})) << alignment;
    for (std::size_t other = kMinAlignment; other <= kMaxAlignment; other *= 2) {
      EXPECT_EQ(differs({.alignment = alignment}, {.alignment = other}), alignment != other);
      for (std::size_t const impossible : {alignment + 1, 3 * alignment, 2 * kMaxAlignment, 2 * kMaxAlignment + 16})
        EXPECT_TRUE(differs({.alignment = impossible}, {.alignment = other})) << impossible << ' ' << other;
    }
  }
}

TEST(HardenedModePadding, leaves_room_for_a_header_and_a_byte_of_slack) {
  for (std::size_t const alignment : {16, 32, 4096})
    for (std::size_t const bytes : {std::size_t{0}, std::size_t{1}, std::size_t{112}, 32 * kKiB, kMiB})
      EXPECT_EQ(HardenedMode::padded_bytes(bytes, alignment), alignment + bytes + 1) << bytes;
}

TEST(HardenedModeGuards, are_chosen_as_often_and_on_the_side_that_the_settings_say) {
  own.random = 99;
  auto const chosen = [](GuardPolicy policy, std::uint32_t number) {
    fixed.guards.choice = policy;
    fixed.guards.number = number;
    int count = 0;
    for (int i = 0; i < 3000; ++i) count += HardenedMode::guards_next();
    fixed.guards = {};
    return count;
  };
  EXPECT_EQ(chosen(GuardPolicy::kOff, 1), 0);
  EXPECT_EQ(chosen(GuardPolicy::kAll, 0), 3000);
  EXPECT_EQ(chosen(GuardPolicy::kSample, 0), 0);
  EXPECT_EQ(chosen(GuardPolicy::kSample, 1), 3000);
  EXPECT_NEAR(chosen(GuardPolicy::kSample, 3), 1000, 150);
  auto const left = [](GuardSide side) {
    fixed.guard_side = side;
    int count = 0;
    for (int i = 0; i < 2000; ++i) count += lies_left();
    fixed.guard_side = GuardSide::kRight;
    return count;
  };
  EXPECT_EQ(left(GuardSide::kRight), 0);
  EXPECT_EQ(left(GuardSide::kLeft), 2000);
  EXPECT_NEAR(left(GuardSide::kRandom), 1000, 150);
  int in_front = 0;
  for (int i = 0; i < 2000; ++i) in_front += HardenedMode::carve_in_front();
  EXPECT_NEAR(in_front, 1000, 150);
}

TEST(HardenedModeFill, is_whole_for_one_in_so_many_releases) {
  auto const whole = [](int times) {
    int count = 0;
    for (int i = 0; i < times; ++i) {
      next_random(own.leaving, kLeavingStream);
      count += fills_whole();
    }
    return count;
  };
  EXPECT_EQ(whole(10), 10);
  fixed.fill_most = ~std::uint32_t{0} / 5;
  EXPECT_NEAR(whole(20000), 4000, 300);
  own.leaving = 0;
  EXPECT_TRUE(fills_whole()) << "nothing left the quarantine yet";
  fixed.fill_most = ~std::uint32_t{0};
}

// The secret is the third number of splitmix64 from 1234567 on; the report goes elsewhere, and the program goes on.
TEST(HardenedModeSettings, reach_the_parts_that_act_on_them) {
  run_in_child(
      [] {
        Settings settings;
        settings.seed = 1234567;
        settings.stack_depth = 1;
        settings.on_error.choice = ErrorAction::kContinue;
        settings.report_file = "/dev/null";
        settings.quarantine_bytes = 12345;
        settings.fill_one_in = 7;
        settings.guard.choice = GuardPolicy::kSample;
        settings.guard.number = 9;
        settings.guard_side = GuardSide::kLeft;
        settings.check.choice = CheckTime::kEvery;
        settings.check.number = 8;
        settings.failures = "nth:2";
        HardenedMode::configure(settings);
        report({ErrorKind::kBrokenHeap});
        EXPECT_EQ(secrets.link_key, 9817491932198370423u);
        EXPECT_EQ(fixed.quarantine_bytes, 12345u);
        EXPECT_EQ(fixed.fill_most, 0xffffffffu / 7);
        EXPECT_EQ(fixed.guards.choice, GuardPolicy::kSample);
        EXPECT_EQ(fixed.guards.number, 9u);
        EXPECT_EQ(fixed.guard_side, GuardSide::kLeft);
        EXPECT_EQ(HardenedMode::check_time().choice, CheckTime::kEvery);
        EXPECT_EQ(HardenedMode::check_time().number, 8u);
        EXPECT_STREQ(HardenedMode::failure_token(), "HAKMEM_FAIL=nth:2");
        std::uintptr_t frames[4] = {reinterpret_cast<std::uintptr_t>(frames + 2), 0x1111, 0, 0x2222};
        note_entry(frames);
        EXPECT_EQ(recall_stack(remember_stack()).count, 1u);
      },
      "^$");
}

// Of every setting, in a program: property_tests/misuse/fixed_test.cpp.
TEST(HardenedModeSettings, are_written_by_nobody_once_they_are_sealed) {
  auto const write = [] {
    std::signal(SIGSEGV, SIG_DFL);
    HardenedMode::configure(Settings{});
    fixed.quarantine_bytes = 1;
    HardenedMode::seal();
    fixed.quarantine_bytes = 0;
  };
  EXPECT_EXIT(write(), ::testing::KilledBySignal(SIGSEGV), "");
}

TEST(HardenedModeSettings, that_plan_failures_are_told_of_when_they_are_malformed) {
  auto const configure = [](char const* plan) {
    Settings settings;
    settings.seed = 1;
    settings.failures = plan;
    HardenedMode::configure(settings);
  };
  run_in_child([&] { configure(nullptr); }, "^$");
  run_in_child([&] { configure("nth:2"); }, "^$");
  run_in_child(
      [&] {
        configure("often");
        EXPECT_STREQ(HardenedMode::failure_token(), "");
      },
      "^hakmem: HAKMEM_FAIL must be nth:N, every:N or rate:P, with ,size>=S and ,seed:N if wanted; ignored\n$");
}

TEST(HardenedModeFailures, are_started_and_stopped_by_a_text) {
  EXPECT_EQ(HardenedMode::start_failures("every:2"), 0);
  EXPECT_STREQ(HardenedMode::failure_token(), "HAKMEM_FAIL=every:2");
  EXPECT_FALSE(HardenedMode::refuses(1));
  EXPECT_TRUE(HardenedMode::refuses(1));
  EXPECT_EQ(HardenedMode::failures(), 1u);
  EXPECT_EQ(HardenedMode::start_failures("often"), EINVAL);
  EXPECT_STREQ(HardenedMode::failure_token(), "HAKMEM_FAIL=every:2") << "malformed: nothing changes";
  EXPECT_EQ(HardenedMode::start_failures(nullptr), 0);
  EXPECT_STREQ(HardenedMode::failure_token(), "");
  EXPECT_FALSE(HardenedMode::refuses(1));
}

TEST(HardenedModeReports, go_to_the_callback_that_was_set) {
  static std::string told;
  Reports reports;
  HardenedMode::set_report_callback(
      [](void* to, char const* kind, char const*, std::size_t) { *static_cast<std::string*>(to) += kind; }, &told);
  report({ErrorKind::kBrokenHeap});
  EXPECT_EQ(told, "broken-heap");
}

// A block at the start of the second of three pages, of which the program may touch none.
struct Guarded {
  std::byte* page = static_cast<std::byte*>(::mmap(nullptr, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  BlockRecord record;
  BlockPlace place{.where = BlockPlace::Where::kLarge, .start = page + 4096, .bytes = 4096, .record = &record};
};
Guarded& guarded() {
  static Guarded one;
  return one;
}

using FindBlock = BlockPlace (*)(void const*);
BlockPlace find_guarded(void const*) { return guarded().place; }
BlockPlace find_nothing(void const*) { return {}; }

// What is told of a write at so many bytes from what the client got of the block.
void expect_told(std::ptrdiff_t at, BlockState state, FindBlock find, char const* told) {
  auto const touch = [&] {
    std::signal(SIGSEGV, SIG_DFL);
    guarded().record.state = Facts{.bytes = 4000, .state = state, .left = true}.word();
    HardenedMode::watch(find);
    std::byte volatile* const client = guarded().place.start;
    client[at] = std::byte{1};
  };
  EXPECT_EXIT(touch(), ::testing::KilledBySignal(SIGSEGV), told);
}

TEST(HardenedModeFaults, are_told_by_what_is_known_of_the_block_whose_guards_were_hit) {
  expect_told(4001, BlockState::kLive, &find_guarded,
              "^hakmem: overflow: (write|access) 1 byte past the end of a 4000-byte block from malloc\n"
              "  address 0x.*\n  accessed by thread [0-9]+:\n    #0 0x");
  expect_told(0, BlockState::kLive, &find_guarded, "^hakmem: overflow: (write|access) 0 bytes inside a 4000-byte");
  expect_told(-1, BlockState::kLive, &find_guarded, "^hakmem: underflow: (write|access) 1 byte before a 4000-byte");
  expect_told(8, BlockState::kFree, &find_guarded,
              "^hakmem: use-after-free: (write|access) 8 bytes inside a freed 4000-byte");
}

// Beside a small block lies the guard between two SuperSlabs.
BlockPlace find_small(void const*) {
  BlockPlace small = guarded().place;
  small.where = BlockPlace::Where::kSmall;
  return small;
}
BlockPlace find_between(void const*) { return {.where = BlockPlace::Where::kBetween}; }

TEST(HardenedModeFaults, between_two_super_slabs_are_told_by_the_block_beside_whatever_its_state) {
  expect_told(4096, BlockState::kLive, &find_small,
              "^hakmem: overflow: (write|access) 80 bytes past the end of a 4000-byte");
  expect_told(4096, BlockState::kFree, &find_small,
              "^hakmem: overflow: (write|access) 80 bytes past the end of a freed 4000-byte");
  expect_told(-1, BlockState::kFree, &find_small,
              "^hakmem: underflow: (write|access) 17 bytes before a freed 4000-byte");
  expect_told(0, BlockState::kFree, &find_small,
              "^hakmem: use-after-free: (write|access) 16 bytes before a freed 4000");
  expect_told(4095, BlockState::kFree, &find_small, "^hakmem: use-after-free: (write|access) 79 bytes past the end of");
  expect_told(8, BlockState::kNever, &find_between,
              "^hakmem: overflow: (write|access) at an address in the heap where no block is\n  address 0x");
}

TEST(HardenedModeFaults, of_the_program_itself_are_none_of_ours) {
  expect_told(8, BlockState::kNever, &find_guarded, "^$");
  expect_told(8, BlockState::kNever, &find_nothing, "^$");
}

}  // namespace
}  // namespace hakmem::hardened
