// What is known of a block, as words: records, seals and links come back as they were stored, and what was
// tampered with is found.
#include "hardened/seal.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "property_tests/hardened/reports.h"

namespace hakmem::hardened {
namespace {

alignas(16) std::byte memory[4096];

Facts random_facts(std::mt19937_64& random) {
  return {.bytes = random() % (std::uint64_t{1} << (1 + random() % 48)),
          .alignment = kMinAlignment << random() % 27,
          .kind = static_cast<AllocationKind>(random() % 5),
          .state = static_cast<BlockState>(random() % 4),
          .left = random() % 2 != 0,
          .generation = static_cast<std::uint8_t>(random() % 32)};
}

void expect_same(Facts const& facts, Facts const& expected) {
  EXPECT_EQ(facts.bytes, expected.bytes);
  EXPECT_EQ(facts.alignment, expected.alignment);
  EXPECT_EQ(facts.kind, expected.kind);
  EXPECT_EQ(facts.state, expected.state);
  EXPECT_EQ(facts.left, expected.left);
  EXPECT_EQ(facts.generation, expected.generation);
}

TEST(HardenedFacts, come_back_from_their_word_and_change_only_their_state) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 5000 && !::testing::Test::HasFailure(); ++i) {
    Facts facts = random_facts(random);
    std::uint64_t const word = facts.word();
    expect_same(Facts::from(word), facts);
    EXPECT_EQ(Facts::state_of(word), facts.state);
    for (BlockState const state : {BlockState::kNever, BlockState::kLive, BlockState::kFree, BlockState::kBusy}) {
      facts.state = state;
      expect_same(Facts::from(Facts::in_state(word, state)), facts);
    }
  }
}

TEST(HardenedFacts, of_a_record_that_was_never_written_say_so) {
  Facts const facts = Facts::from(0);
  EXPECT_EQ(facts.state, BlockState::kNever);
  EXPECT_EQ(facts.bytes, 0u);
  EXPECT_FALSE(facts.left);
  expect_same(Facts{}, {0, kMinAlignment, AllocationKind::kMalloc, BlockState::kNever, false, 0});
}

TEST(HardenedFacts, count_generations_through_all_of_them_and_wrap) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 100; ++i) {
    Facts facts = random_facts(random);
    for (int step = 0; step < 64; ++step) {
      unsigned const next = Facts::generation_after(facts.word());
      ASSERT_EQ(next, (facts.generation + 1u) % 32);
      facts.generation = static_cast<std::uint8_t>(next);
    }
  }
}

TEST(HardenedFacts, tell_where_the_clients_bytes_are) {
  BlockPlace place{.where = BlockPlace::Where::kSmall, .start = memory, .bytes = 512};
  EXPECT_EQ(client_of(place, {.bytes = 40, .alignment = 16}), memory + 16);
  EXPECT_EQ(client_of(place, {.bytes = 40, .alignment = 128}), memory + 128);
  place.where = BlockPlace::Where::kLarge;
  place.start = memory + 16;
  auto const bits = [](std::byte* address) { return reinterpret_cast<std::uintptr_t>(address); };
  for (std::size_t const alignment : {16, 32, 64, 128}) {
    for (std::size_t bytes = 0; bytes <= 256; ++bytes) {
      std::byte* const right = client_of(place, {.bytes = bytes, .alignment = alignment});
      ASSERT_EQ(bits(right) % alignment, 0u);
      ASSERT_LE(right + bytes, place.start + place.bytes);
      ASSERT_GT(right + bytes + alignment, place.start + place.bytes) << "as far to the right as that allows";
      std::byte* const left = client_of(place, {.bytes = bytes, .alignment = alignment, .left = true});
      ASSERT_EQ(bits(left) % alignment, 0u);
      ASSERT_GE(left, place.start);
      ASSERT_LT(left, place.start + alignment);
    }
  }
}

TEST(HardenedSeal, depends_on_each_secret_word_and_on_every_bit_of_the_word_and_of_the_place) {
  std::uint64_t const seal = Header::of(7, memory).seal;
  EXPECT_EQ(Header::of(7, memory).seal, seal);
  for (unsigned bit = 0; bit < 64; ++bit) {
    EXPECT_NE(Header::of(7 ^ std::uint64_t{1} << bit, memory).seal, seal);
    auto const place = reinterpret_cast<std::uintptr_t>(memory) ^ std::uintptr_t{1} << bit;
    EXPECT_NE(Header::of(7, reinterpret_cast<std::byte const*>(place)).seal, seal);
    for (std::uint64_t& key : secrets.seal_keys) {
      key ^= std::uint64_t{1} << bit;
      EXPECT_NE(Header::of(7, memory).seal, seal);
      key ^= std::uint64_t{1} << bit;
    }
  }
}

TEST(HardenedSeal, has_no_byte_that_is_text_or_zero) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 4000; ++i) {
    auto const* const place = reinterpret_cast<std::byte const*>(random() & ~std::uint64_t{15});
    ASSERT_EQ(Header::of(random(), place).seal & 0x8080808080808080, 0x8080808080808080);
  }
}

TEST(HardenedSeal, of_a_block_in_one_state_is_not_that_of_another) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 4000; ++i) {
    std::uint64_t const word = random_facts(random).word();
    std::byte const* const place = memory + 16 * (i % 200);
    ASSERT_NE(Header::of(Facts::in_state(word, BlockState::kLive), place).seal,
              Header::of(Facts::in_state(word, BlockState::kFree), place).seal);
  }
}

TEST(HardenedSeal, finds_every_flipped_bit_of_a_header) {
  Header const header = Header::of(Facts{.bytes = 77, .state = BlockState::kLive}.word(), memory + 32);
  header.store(memory + 32);
  EXPECT_EQ(Header::load(memory + 32), header);
  for (unsigned bit = 0; bit < 8 * kHeaderBytes; ++bit) {
    memory[32 + bit / 8] ^= std::byte{1} << bit % 8;
    EXPECT_NE(Header::load(memory + 32), header) << bit;
    memory[32 + bit / 8] ^= std::byte{1} << bit % 8;
  }
  EXPECT_EQ(memory[31], std::byte{0});
  EXPECT_EQ(memory[48], std::byte{0});
}

TEST(HardenedLinks, lead_back_to_what_was_stored) {
  std::mt19937_64 random(6);
  Reports reports;
  for (int i = 0; i < 5000; ++i) {
    void* const next = reinterpret_cast<void*>(random() % (std::uint64_t{1} << 48) & ~std::uint64_t{15});
    void* const place = reinterpret_cast<void*>(random() % (std::uint64_t{1} << 47) & ~std::uint64_t{15});
    ASSERT_EQ(SealedLinks::decode(SealedLinks::encode(next, place), place), next);
    ASSERT_EQ(SealedLinks::decode(SealedLinks::encode(nullptr, place), place), nullptr);
  }
  EXPECT_TRUE(reports.taken().empty());
}

TEST(HardenedLinks, hide_the_address_and_differ_by_place) {
  std::set<void*> stored;
  for (std::size_t i = 0; i < 100; ++i) stored.insert(SealedLinks::encode(memory, memory + 16 * i));
  EXPECT_EQ(stored.size(), 100u);
  EXPECT_EQ(stored.count(memory), 0u);
}

TEST(HardenedLinks, that_were_written_to_or_moved_are_reported_and_end_the_list) {
  Reports reports;
  auto* const next = reinterpret_cast<void*>(0x7f0123456780);
  auto* const place = reinterpret_cast<void*>(0x7f01fedcba90);
  auto const stored = reinterpret_cast<std::uintptr_t>(SealedLinks::encode(next, place));
  auto const expect_reported = [&](void* link, void* from) {
    EXPECT_EQ(SealedLinks::decode(link, from), nullptr);
    auto const taken = reports.taken();
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].kind, "use-after-free");
    EXPECT_EQ(taken[0].first_line(),
              "hakmem: use-after-free: written to the link of a free block, found by the free list");
    EXPECT_NE(taken[0].text.find(", 8 bytes changed\n"), std::string::npos) << taken[0].text;
  };
  for (unsigned bit = 0; bit < 64; ++bit) {
    SCOPED_TRACE(bit);
    expect_reported(reinterpret_cast<void*>(stored ^ std::uintptr_t{1} << bit), place);
  }
  expect_reported(reinterpret_cast<void*>(stored), reinterpret_cast<void*>(0x7f01fedcbaa0));
}

TEST(HardenedLinks, that_are_broken_end_the_program) {
  EXPECT_DEATH(SealedLinks::decode(memory, memory), "use-after-free: .*the free list");
}

}  // namespace
}  // namespace hakmem::hardened
