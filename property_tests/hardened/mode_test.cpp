// The policies of the checked build on a pretend span: the life of a block, and what each misuse does to it.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "hardened/fixed.h"
#include "hardened/hardened_mode.h"
#include "property_tests/hardened/reports.h"
#include "property_tests/hardened/span.h"
#include "property_tests/model/build_kind.h"

namespace hakmem::hardened {
namespace {

BlockPlace nowhere;

class HardenedModeLife : public ::testing::Test {
 public:
  HardenedModeLife() {
    own.entry = {};
    for (std::size_t index = 0; index < Span::kBlocks; ++index) span.make_free(index);
  }

  ClientPtr arm(Request const& request, std::size_t index = 2) {
    return ClientPtr(HardenedMode::arm(span.place(index), request, false));
  }
  bool admit(ClientPtr pointer, Claim const& claim = {}, std::size_t index = 2) {
    return HardenedMode::admit(span.place(index), pointer, claim);
  }
  void expect_reports(std::vector<std::string> const& kinds) {
    std::vector<std::string> seen;
    for (auto const& report : reports.taken()) seen.push_back(report.kind);
    EXPECT_EQ(seen, kinds);
  }
  std::string only_line() {
    auto const taken = reports.taken();
    EXPECT_EQ(taken.size(), 1u);
    return taken.empty() ? "" : taken[0].first_line();
  }

  Span span;
  Reports reports;
};

TEST_F(HardenedModeLife, of_a_block_goes_from_free_to_live_and_back_with_a_new_generation_each_time) {
  std::mt19937 random(21);
  span.set(3, 0);
  for (int round = 0; round < 200; ++round) {
    std::size_t const index = 2 + static_cast<std::size_t>(round % 2);
    unsigned const before = span.facts(index).generation;
    Request const request{.bytes = random() % 60,
                          .alignment = std::size_t{16} << random() % 3,
                          .kind = static_cast<AllocationKind>(random() % 5)};
    ClientPtr const pointer = arm(request, index);
    ASSERT_EQ(pointer.unchecked(), span.place(index).start + request.alignment);
    Facts const live = span.facts(index);
    ASSERT_EQ(live.state, BlockState::kLive);
    ASSERT_EQ(live.bytes, request.bytes);
    ASSERT_EQ(live.alignment, request.alignment);
    ASSERT_EQ(live.kind, request.kind);
    ASSERT_EQ(live.generation, (before + 1) % 32);
    ASSERT_FALSE(live.left);
    ASSERT_EQ(HardenedMode::client_bytes(span.place(index)), request.bytes);
    ASSERT_TRUE(span.is_sound(index));
    Claim const claim{.kind = request.kind, .bytes = request.bytes, .alignment = request.alignment};
    ASSERT_TRUE(HardenedMode::inspect(span.place(index), pointer, claim));
    ASSERT_TRUE(admit(pointer, claim, index));
    ASSERT_EQ(span.facts(index).state, BlockState::kFree);
    ASSERT_EQ(span.facts(index).bytes, request.bytes) << "of a free block: what it was";
    ASSERT_TRUE(span.is_sound(index));
  }
  expect_reports({});
}

TEST_F(HardenedModeLife, notes_who_allocated_and_who_freed) {
  start_stacks(1);
  std::uintptr_t allocates[2] = {0, 0x1111}, frees[2] = {0, 0x2222};
  auto const caller_in = [](std::uint32_t stack) { return recall_stack(stack).frames[0]; };
  HardenedMode::entered(allocates);
  ClientPtr const pointer = arm({.bytes = 10});
  BlockRecord& record = *span.place(2).record;
  Trace trace = Trace::from(record.trace);
  EXPECT_EQ(caller_in(trace.allocated_by), reinterpret_cast<void*>(0x1111));
  EXPECT_EQ(trace.freed_by, 0u);
  EXPECT_EQ(trace.allocating_thread, thread_number());
  EXPECT_EQ(trace.freeing_thread, 0u);
  trace.allocating_thread = 77;
  trace.allocated_by = 5;
  record.trace = trace.word();
  HardenedMode::entered(frees);
  admit(pointer);
  trace = Trace::from(record.trace);
  EXPECT_EQ(caller_in(trace.freed_by), reinterpret_cast<void*>(0x2222));
  EXPECT_EQ(trace.allocating_thread, 77u);
  EXPECT_EQ(trace.allocated_by, 5u);
  EXPECT_EQ(trace.freeing_thread, thread_number());
  own.entry = {};
}

TEST_F(HardenedModeLife, is_reported_with_who_allocated_and_who_freed) {
  ClientPtr const pointer = arm({.bytes = 10});
  BlockRecord& record = *span.place(2).record;
  admit(pointer);
  record.trace = Trace{.allocating_thread = 77, .freeing_thread = 78}.word();
  admit(pointer);
  auto const taken = reports.taken();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_NE(taken[0].text.find("\n  allocated by thread 77"), std::string::npos) << taken[0].text;
  EXPECT_NE(taken[0].text.find("\n  freed by thread 78"), std::string::npos) << taken[0].text;
}

TEST_F(HardenedModeLife, begins_in_memory_of_any_content_that_was_never_used) {
  std::memset(span.place(2).start, 0x55, Span::kBytes);
  span.set(2, 0);
  arm({.bytes = 40, .alignment = 32});
  EXPECT_TRUE(span.is_sound(2));
  expect_reports({});
}

TEST_F(HardenedModeLife, of_a_mapping_of_its_own_is_at_the_end_that_the_settings_say_and_else_behind_its_header) {
  BlockPlace own = span.place(2);
  own.where = BlockPlace::Where::kLarge;
  std::byte* const end = own.start + own.bytes;
  for (auto const& [side, client] : {std::pair{GuardSide::kRight, end - 48}, {GuardSide::kLeft, own.start}}) {
    fixed.guard_side = side;
    span.set(2, 0);
    EXPECT_EQ(HardenedMode::arm(own, {.bytes = 40}, true), client);
    EXPECT_EQ(span.facts(2).left, side == GuardSide::kLeft);
    span.make_free(2);
    EXPECT_EQ(arm({.bytes = 40}).unchecked(), own.start + kHeaderBytes);
    EXPECT_FALSE(span.facts(2).left);
  }
  fixed.guard_side = GuardSide::kRight;
}

// Once there was a second thread, every change of a record is one that another could have made first.
TEST_F(HardenedModeLife, ends_once_as_well_when_there_were_other_threads) {
  std::thread([] {}).join();
  ClientPtr const pointer = arm({.bytes = 10});
  EXPECT_TRUE(admit(pointer));
  EXPECT_FALSE(admit(pointer));
  expect_reports({"double-free"});
}

constexpr char const* kLooks =
    "a look at a block that another thread changes is a race to the sanitizer; it is not believed unless the record "
    "stayed";

// The look at a block as long as this takes long enough that two threads meet in it.
TEST_F(HardenedModeLife, ends_by_one_of_two_threads_that_free_at_once_and_the_other_is_told) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << kLooks;
  constexpr int kRounds = 3000;
  constexpr std::size_t kLong = 512 * kKiB;
  alignas(64) static std::byte memory[kLong];
  BlockRecord record;
  BlockPlace const place{.where = BlockPlace::Where::kSmall,
                         .first = true,
                         .last = true,
                         .tail = false,
                         .start = memory,
                         .bytes = kLong,
                         .record = &record};
  std::atomic<int> round{0}, freed{0}, done{0};
  std::atomic<void*> block{nullptr};
  auto const free_block = [&] { freed += HardenedMode::admit(place, ClientPtr(block.load()), {}); };
  std::thread other([&] {
    for (int next = 1; next <= kRounds; ++next) {
      while (round.load() < next) std::this_thread::yield();
      free_block();
      done = next;
    }
  });
  for (int next = 1; next <= kRounds; ++next) {
    block = HardenedMode::arm(place, {.bytes = 40}, false);
    round = next;
    free_block();
    while (done.load() < next) std::this_thread::yield();
  }
  other.join();
  EXPECT_EQ(freed, kRounds);
  expect_reports(std::vector<std::string>(kRounds, "double-free"));
}

TEST_F(HardenedModeLife, ends_once_and_every_further_release_is_refused) {
  ClientPtr const pointer = arm({.bytes = 10});
  EXPECT_TRUE(admit(pointer));
  EXPECT_FALSE(admit(pointer));
  EXPECT_FALSE(admit(pointer));
  expect_reports({"double-free", "double-free"});
  EXPECT_FALSE(HardenedMode::inspect(span.place(2), pointer, {}));
  expect_reports({"use-after-free"});
  EXPECT_TRUE(span.is_sound(2));
}

TEST_F(HardenedModeLife, is_refused_to_what_is_not_exactly_the_start_of_a_block_and_changes_nothing) {
  ClientPtr const pointer = arm({.bytes = 10});
  std::uint64_t const word = span.word(2);
  for (int const off : {-16, -1, 1, 8, 16}) {
    ClientPtr const other(static_cast<std::byte*>(pointer.unchecked()) + off);
    EXPECT_FALSE(admit(other)) << off;
    expect_reports({"invalid-free"});
    EXPECT_FALSE(HardenedMode::inspect(span.place(2), other, {})) << off;
    expect_reports({"invalid-free"});
  }
  EXPECT_FALSE(HardenedMode::admit(nowhere, pointer, {}));
  expect_reports({"invalid-free"});
  EXPECT_FALSE(HardenedMode::inspect(nowhere, pointer, {}));
  expect_reports({"invalid-free"});
  span.set(1, 0);
  EXPECT_FALSE(admit(ClientPtr(span.place(1).start + 16), {}, 1)) << "it was never handed out";
  expect_reports({"invalid-free"});
  EXPECT_EQ(span.word(2), word);
}

TEST_F(HardenedModeLife, is_not_disturbed_by_another_thread_that_allocates_and_frees_on_both_sides) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << kLooks;
  constexpr int kRounds = 200'000;
  std::atomic<bool> done{false};
  std::thread other([&] {
    std::mt19937 random(22);
    while (!done.load()) {
      std::size_t const index = random() % 2 ? 1 : 3;
      admit(arm({.bytes = random() % 113}, index), {}, index);
    }
  });
  std::mt19937 random(23);
  for (int round = 0; round < kRounds; ++round) admit(arm({.bytes = random() % 113}));
  done = true;
  other.join();
  expect_reports({});
}

struct Case {
  Request request;
  Claim claim;
  char const* line;  // null: the claim is right
};
using Kind = AllocationKind;
constexpr Case kClaims[] = {
    {{24, 16, Kind::kMalloc},
     {.kind = Kind::kNew},
     "hakmem: kind-mismatch: operator delete of a 24-byte block from malloc"},
    {{24, 16, Kind::kMalloc},
     {.kind = Kind::kNewArray},
     "hakmem: kind-mismatch: operator delete[] of a 24-byte block from malloc"},
    {{24, 16, Kind::kNew}, {}, "hakmem: kind-mismatch: free() of a 24-byte block from new"},
    {{24, 16, Kind::kNew}, {.any_kind = true}, nullptr},
    {{24, 16, Kind::kNew},
     {.kind = Kind::kNew, .bytes = 25},
     "hakmem: size-mismatch: operator delete with size 25 of a 24-byte block from new"},
    {{24, 16, Kind::kMalloc},
     {.bytes = 23},
     "hakmem: size-mismatch: free_sized() with size 23 of a 24-byte block from malloc"},
    {{24, 32, Kind::kMalloc},
     {.bytes = 23, .alignment = 32},
     "hakmem: size-mismatch: free_aligned_sized() with size 23 of a 24-byte block from malloc"},
    {{24, 32, Kind::kAligned},
     {.kind = Kind::kAligned, .alignment = 64},
     "hakmem: alignment-mismatch: aligned operator delete with alignment 64 of a 24-byte block from aligned "
     "new aligned to 32"},
    {{24, 32, Kind::kAlignedArray},
     {.kind = Kind::kAlignedArray, .alignment = 8},
     "hakmem: alignment-mismatch: aligned operator delete[] with alignment 8 of a 24-byte block from aligned "
     "new[] aligned to 32"},
    {{24, 16, Kind::kAligned},
     {.kind = Kind::kAligned, .alignment = 32},
     "hakmem: alignment-mismatch: aligned operator delete with alignment 32 of a 24-byte block from aligned "
     "new aligned to 16"},
    {{24, 16, Kind::kAligned}, {.kind = Kind::kAligned, .bytes = 24, .alignment = 8}, nullptr},
    {{24, 32, Kind::kAligned}, {.kind = Kind::kAligned, .bytes = 24, .alignment = 32}, nullptr},
    {{24, 16, Kind::kMalloc},
     {.kind = Kind::kNew, .call = "a call of its own"},
     "hakmem: kind-mismatch: a call of its own of a 24-byte block from malloc"},
};

TEST_F(HardenedModeLife, ends_with_a_report_when_the_claim_is_wrong) {
  for (Case const& wrong : kClaims) {
    SCOPED_TRACE(wrong.line ? wrong.line : "right");
    EXPECT_TRUE(admit(arm(wrong.request), wrong.claim)) << "told, and released";
    if (wrong.line)
      EXPECT_EQ(only_line(), wrong.line);
    else
      expect_reports({});
    EXPECT_TRUE(HardenedMode::inspect(span.place(2), arm(wrong.request), wrong.claim));
    expect_reports(
        wrong.line
            ? std::vector<std::string>{std::string(wrong.line).substr(8, std::string(wrong.line).find(':', 8) - 8)}
            : std::vector<std::string>{});
    span.make_free(2);
  }
}

TEST_F(HardenedModeLife, tells_damage_once_at_the_release_and_mends_it) {
  for (int const neighbour : {0, 1}) {
    ClientPtr const before = arm({.bytes = 106}, 1), pointer = arm({.bytes = 40}, 2);
    (neighbour ? span.layout(1).slack : span.layout(2).slack)[0] = std::byte{0};
    EXPECT_TRUE(admit(pointer));
    expect_reports({"overflow"});
    EXPECT_TRUE(span.is_sound(1));
    EXPECT_TRUE(span.is_sound(2));
    EXPECT_TRUE(admit(before, {}, 1));
    expect_reports({});
  }
}

TEST_F(HardenedModeLife, tells_damage_of_a_live_block_when_it_is_used_and_mends_it) {
  ClientPtr const pointer = arm({.bytes = 40});
  static_cast<std::byte*>(pointer.unchecked())[-1] = std::byte{0};
  EXPECT_TRUE(HardenedMode::inspect(span.place(2), pointer, {}));
  EXPECT_EQ(only_line(), "hakmem: underflow: written 1 byte before a 40-byte block from malloc, found by free()");
  EXPECT_TRUE(HardenedMode::inspect(span.place(2), pointer, {}));
  expect_reports({});
}

TEST_F(HardenedModeLife, tells_writes_after_free_before_the_next_use_and_mends_them) {
  admit(arm({.bytes = 40}));
  span.place(2).start[20] = std::byte{0};
  ClientPtr const pointer = arm({.bytes = 100});
  EXPECT_EQ(only_line(),
            "hakmem: use-after-free: written 4 bytes inside a freed 40-byte block from malloc, found by the next "
            "allocation of this memory");
  EXPECT_TRUE(span.is_sound(2));
  EXPECT_TRUE(admit(pointer));
  expect_reports({});
}

TEST_F(HardenedModeLife, is_swept_in_every_state) {
  arm({.bytes = 40}, 1);
  EXPECT_TRUE(HardenedMode::sweep(span.place(1)));
  EXPECT_TRUE(HardenedMode::sweep(span.place(2)));
  expect_reports({});
  span.layout(1).slack[3] = std::byte{0};
  EXPECT_FALSE(HardenedMode::sweep(span.place(1)));
  EXPECT_EQ(only_line(),
            "hakmem: overflow: written 3 bytes past the end of a 40-byte block from malloc, found by a heap check");
  EXPECT_TRUE(HardenedMode::sweep(span.place(1))) << "mended";
  span.place(2).start[30] = std::byte{0};
  EXPECT_FALSE(HardenedMode::sweep(span.place(2)));
  EXPECT_EQ(only_line(),
            "hakmem: use-after-free: written 14 bytes inside a freed 40-byte block from malloc, found by a heap check");
  EXPECT_TRUE(HardenedMode::sweep(span.place(2))) << "mended";
  BlockPlace large = span.place(2);
  large.where = BlockPlace::Where::kLarge;
  std::memset(large.start, 0, large.bytes);
  EXPECT_TRUE(HardenedMode::sweep(large)) << "the memory of a free large block is gone";
  for (std::uint64_t const word : {std::uint64_t{0}, Facts{.state = BlockState::kBusy}.word()}) {
    span.set(2, word);
    EXPECT_TRUE(HardenedMode::sweep(span.place(2)));
  }
  expect_reports({});
}

TEST_F(HardenedModeLife, goes_on_where_it_stands_with_another_size) {
  ClientPtr const pointer = arm({.bytes = 40});
  unsigned const generation = span.facts(2).generation;
  for (std::size_t const bytes : {100, 10, 0, 112}) {
    span.place(2).record->trace = 0;
    std::memset(pointer.unchecked(), 1, HardenedMode::client_bytes(span.place(2)));
    EXPECT_TRUE(HardenedMode::resize(span.place(2), bytes));
    EXPECT_EQ(HardenedMode::client_bytes(span.place(2)), bytes);
    EXPECT_EQ(span.facts(2).state, BlockState::kLive);
    EXPECT_TRUE(span.is_sound(2)) << bytes;
    EXPECT_EQ(Trace::from(span.place(2).record->trace).allocating_thread, thread_number());
  }
  EXPECT_EQ(span.facts(2).generation, (generation + 4u) % 32);
  EXPECT_TRUE(admit(pointer));
  arm({.bytes = 40, .kind = AllocationKind::kNew});
  EXPECT_FALSE(HardenedMode::resize(span.place(2), 50));
  span.make_free(2);
  arm({.bytes = 40, .alignment = 32});
  EXPECT_FALSE(HardenedMode::resize(span.place(2), 50));
  expect_reports({});
}

TEST_F(HardenedModeLife, ends_with_a_fill_that_its_record_tells) {
  EXPECT_TRUE(admit(arm({.bytes = 40})));
  EXPECT_NE(span.word(2) & Facts::kWhole, 0u);
  fixed.fill_most = 1000;
  for (std::uint32_t const drawn : {1000u, 1001u}) {
    own.leaving = drawn;
    EXPECT_TRUE(admit(arm({.bytes = 40})));
    EXPECT_EQ((span.word(2) & Facts::kWhole) != 0, drawn == 1000);
    EXPECT_TRUE(span.is_sound(2));
  }
  fixed.fill_most = ~std::uint32_t{0};
}

}  // namespace
}  // namespace hakmem::hardened
