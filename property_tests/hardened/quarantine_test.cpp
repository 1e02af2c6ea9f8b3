// The quarantine against a model: what it holds, how long, and in which order blocks leave.
#include "hardened/quarantine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace hakmem::hardened {
namespace {

class HardenedQuarantine : public ::testing::Test {
 public:
  HardenedQuarantine() { own.leaving = 0x1234567; }
  ~HardenedQuarantine() override { fixed.set_quarantine(before_); }

  // Puts a block with a number of its own; what leaves for it, if anything, must be held.
  bool put(std::size_t bytes) {
    newest_ = ++numbers_;
    held_[newest_] = bytes;
    held_bytes_ += bytes;
    return leaves(quarantine_->put({block_of(newest_), slab_of(newest_), bytes}));
  }
  bool take_excess() { return leaves(quarantine_->take_excess()); }

  // With so many blocks of one byte, of which the newest one lies anywhere.
  void fill(std::size_t blocks) {
    fixed.set_quarantine(kGiB);
    while (held().size() < blocks) EXPECT_FALSE(put(1));
    fixed.set_quarantine(blocks);
    EXPECT_TRUE(put(1));
  }

  std::size_t newest() const { return newest_; }
  std::size_t last_out() const { return last_out_; }
  std::size_t held_bytes() const { return held_bytes_; }
  std::map<std::size_t, std::size_t> const& held() const { return held_; }

 private:
  static void* block_of(std::size_t number) { return reinterpret_cast<void*>(16 * number); }
  static void* slab_of(std::size_t number) { return reinterpret_cast<void*>(64 * number); }

  bool leaves(HeldBlock const& old) {
    if (!old.block) return false;
    last_out_ = reinterpret_cast<std::uintptr_t>(old.block) / 16;
    EXPECT_EQ(held_.count(last_out_), 1u) << "leaves once, and only what was put";
    EXPECT_NE(last_out_, newest_) << "the newest stays a turn";
    EXPECT_EQ(old.slab, slab_of(last_out_));
    EXPECT_EQ(old.bytes, held_[last_out_]);
    held_bytes_ -= old.bytes;
    held_.erase(last_out_);
    return true;
  }

  std::size_t const before_ = fixed.quarantine_bytes;
  std::unique_ptr<Quarantine> quarantine_ = std::make_unique<Quarantine>();
  std::map<std::size_t, std::size_t> held_;
  std::size_t numbers_ = 0, newest_ = 0, last_out_ = 0, held_bytes_ = 0;
};

TEST_F(HardenedQuarantine, lets_a_block_go_only_for_a_bound_and_until_the_bounds_are_kept) {
  std::mt19937 random(7);
  for (std::size_t const bound : {std::size_t{0}, std::size_t{1000}, 64 * kKiB}) {
    fixed.set_quarantine(bound);
    for (int step = 0; step < 20000 && !HasFailure(); ++step) {
      std::size_t const bytes = random() % 16 == 0 ? random() % (2 * bound + 16) : random() % 64;
      bool const room = held_bytes() + bytes <= bound - bound / 4 && held().size() < Quarantine::kBlocks;
      bool const expected = !room && !held().empty();
      ASSERT_EQ(put(bytes), expected) << "step " << step;
      for (;;) {
        bool const excess = held_bytes() > bound && held().size() > 1;
        ASSERT_EQ(take_excess(), excess) << "step " << step;
        if (!excess) break;
      }
      ASSERT_TRUE(held_bytes() <= bound || held().size() == 1);
      ASSERT_LE(held().size(), Quarantine::kBlocks);
    }
  }
}

TEST_F(HardenedQuarantine, holds_so_many_blocks_however_small_and_no_more) {
  fixed.set_quarantine(kGiB);
  for (std::uint32_t i = 0; i < Quarantine::kBlocks; ++i) ASSERT_FALSE(put(1)) << i;
  for (int i = 0; i < 10000; ++i) {
    ASSERT_TRUE(put(1));
    ASSERT_FALSE(take_excess());
  }
  EXPECT_EQ(held().size(), Quarantine::kBlocks);
}

TEST_F(HardenedQuarantine, fills_up_to_three_quarters_of_its_bound_in_bytes_and_holds_all_of_it) {
  fixed.set_quarantine(100);
  EXPECT_FALSE(put(40));
  EXPECT_FALSE(put(35));
  EXPECT_TRUE(put(1));
  std::size_t const bytes = held_bytes();
  fixed.set_quarantine(bytes);
  EXPECT_FALSE(take_excess());
  fixed.set_quarantine(bytes - 1);
  EXPECT_TRUE(take_excess());
}

// Blocks by their age, 0 the oldest, against how often one of that age leaves.
using Leaves = std::map<std::size_t, int>;
void expect_even(Leaves const& leaves, std::size_t ages, int tries) {
  EXPECT_EQ(leaves.size(), ages);
  for (auto const& [age, count] : leaves) EXPECT_NEAR(count, tries / static_cast<int>(ages), tries / 12) << age;
}

TEST_F(HardenedQuarantine, lets_each_block_that_it_holds_leave_for_a_fresh_one_with_the_same_chance) {
  constexpr int kTries = 6000;
  for (int i = 0; i < 4; ++i) ASSERT_FALSE(put(1));
  fixed.set_quarantine(4);
  Leaves leaves;
  for (int i = 0; i < kTries; ++i) {
    auto const before = held();
    ASSERT_TRUE(put(1));
    ++leaves[static_cast<std::size_t>(std::distance(before.begin(), before.find(last_out())))];
  }
  expect_even(leaves, 4, kTries);
}

TEST_F(HardenedQuarantine, lets_each_block_but_the_newest_leave_for_want_of_bytes_with_the_same_chance) {
  constexpr int kTries = 6000;
  Leaves leaves;
  for (int i = 0; i < kTries; ++i) {
    fill(5);
    auto const before = held();
    fixed.set_quarantine(4);
    ASSERT_TRUE(take_excess());
    ASSERT_FALSE(take_excess());
    ++leaves[static_cast<std::size_t>(std::distance(before.begin(), before.find(last_out())))];
  }
  expect_even(leaves, 4, kTries);
}

TEST_F(HardenedQuarantine, keeps_the_newest_block_whichever_others_leave) {
  for (int i = 0; i < 2000; ++i) {
    fill(8);
    fixed.set_quarantine(0);
    while (take_excess()) {
    }
    ASSERT_EQ(held().size(), 1u);
    ASSERT_EQ(held().begin()->first, newest());
  }
}

TEST_F(HardenedQuarantine, is_left_in_an_order_that_cannot_be_foreseen) {
  auto const order = [this](std::uint64_t state) {
    own.leaving = state;
    fixed.set_quarantine(16);
    std::vector<std::size_t> left;
    std::size_t const first = newest() + 1;
    for (int i = 0; i < 100; ++i)
      if (put(1)) left.push_back(last_out() - first);
    fixed.set_quarantine(0);
    while (take_excess()) left.push_back(last_out() - first);
    put(16);
    return left;
  };
  order(1);
  auto const once = order(5);
  EXPECT_EQ(order(5), once);
  EXPECT_NE(order(6), once);
  EXPECT_FALSE(std::is_sorted(once.begin(), once.end()));
}

}  // namespace
}  // namespace hakmem::hardened
