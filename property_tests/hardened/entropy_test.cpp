// Secrets and random numbers: repeated by a seed, different without one, and spread over their range.
#include "hardened/entropy.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <set>
#include <thread>
#include <tuple>
#include <vector>

#include "property_tests/os/child.h"

namespace hakmem::hardened {
namespace {

using Drawn = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t, unsigned char>;

// By a child, whose secrets are its own; in which `before` is done first.
template <class Before>
Drawn drawn(std::uint64_t seed, Before before) {
  void* const shared = ::mmap(nullptr, sizeof(Drawn), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t const child = ::fork();
  if (child == 0) {
    before();
    start_entropy(seed);
    new (shared)
        Drawn(secrets.seal_keys[0], secrets.seal_keys[1], secrets.link_key, secrets.random_key, secrets.pattern());
    ::_exit(0);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  Drawn const copy = *static_cast<Drawn*>(shared);
  ::munmap(shared, sizeof(Drawn));
  return copy;
}
Drawn drawn(std::uint64_t seed) {
  return drawn(seed, [] {});
}

// Of splitmix64 from 1234567 on: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
TEST(HardenedEntropy, draws_from_a_seed_what_the_generator_is_known_to_give) {
  EXPECT_EQ(drawn(1234567), Drawn(6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                  4593380528125082431u, 0x81 + 16408922859458223821u % 0x7c));
}

TEST(HardenedEntropy, is_repeated_by_a_seed_and_differs_without_one) {
  for (std::uint64_t const seed : {std::uint64_t{1}, std::uint64_t{5}, ~std::uint64_t{0}})
    EXPECT_EQ(drawn(seed), drawn(seed)) << seed;
  std::set<std::uint64_t> words;
  constexpr int kTimes = 20;
  for (int i = 0; i < kTimes; ++i) {
    auto const [first, second, link, random, pattern] = drawn(0);
    words.insert({first, second, link, random});
  }
  EXPECT_EQ(words.size(), 4u * kTimes) << "none twice";
}

// What the generator gives from 0 on would be the same in each process.
TEST(HardenedEntropy, without_a_seed_and_without_the_kernels_random_numbers_still_depends_on_an_address) {
  Drawn const refused = drawn(0, [] { testing::filter_system_call(SYS_getrandom, 1, sizeof(std::uint64_t), EAGAIN); });
  EXPECT_NE(std::get<2>(refused), 0x06c45d188009454f);
  EXPECT_NE(std::get<3>(refused), 0xf88bb8a8724c81ec);
}

TEST(HardenedEntropy, draws_a_pattern_that_is_no_text_not_zero_and_not_all_ones) {
  std::set<unsigned char> seen;
  for (std::uint64_t seed = 0; seed < 150; ++seed) seen.insert(std::get<4>(drawn(seed)));
  EXPECT_GT(*seen.begin(), 0x80);
  EXPECT_LT(*seen.rbegin(), 0xff);
  EXPECT_GT(seen.size(), 70u);
}

TEST(HardenedEntropy, mixes_every_bit_of_both_words_into_the_result) {
  EXPECT_EQ(mix(0xffffffffffffffff, 2), 1u ^ 0xfffffffffffffffe);
  EXPECT_EQ(mix(std::uint64_t{1} << 63, 1u << 20), 1u << 19);
  EXPECT_EQ(mix(3, 5), 15u);
}

// The constants of Knuth's MMIX, from 1 on.
TEST(HardenedRandom, goes_on_as_the_generator_is_known_to) {
  own.random = 1;
  for (std::uint64_t const expected :
       {std::uint64_t{7806831264735756412u}, std::uint64_t{9396908728118811419u}, std::uint64_t{11960119808228829710u}, std::uint64_t{7062582979898595269u}})
    EXPECT_EQ(next_random(), expected);
}

class HardenedRandomKey : public ::testing::Test {
 public:
  ~HardenedRandomKey() override { secrets.random_key = before_; }

 private:
  std::uint64_t const before_ = secrets.random_key;
};

TEST_F(HardenedRandomKey, and_the_number_of_the_thread_choose_the_first_number) {
  auto const first = [](std::uint64_t key) {
    secrets.random_key = key;
    own.random = 0;
    return next_random();
  };
  std::set<std::uint64_t> numbers;
  for (std::uint64_t key = 1000; key < 1100; ++key) numbers.insert(first(key));
  EXPECT_EQ(numbers.size(), 100u);
  EXPECT_EQ(first(1000), first(1000));
  std::uint64_t of_another = 0;
  std::thread([&] { of_another = first(1000); }).join();
  EXPECT_NE(of_another, first(1000));
}

TEST(HardenedRandom, below_a_bound_takes_each_value_equally_often) {
  own.random = 0x9e3779b97f4a7c15;
  for (std::uint32_t const bound : {1u, 2u, 3u, 10u, 31u}) {
    constexpr unsigned kTimes = 3000;
    std::vector<unsigned> counts(bound);
    for (unsigned i = 0; i < kTimes * bound; ++i) {
      std::uint32_t const number = random_below(bound);
      ASSERT_LT(number, bound);
      ++counts[number];
    }
    for (unsigned const count : counts) EXPECT_NEAR(count, kTimes, kTimes / 10) << bound;
  }
  std::uint32_t most = 0;
  for (int i = 0; i < 1000; ++i) most = std::max(most, random_below(0xffffffff));
  EXPECT_GT(most, 0xf0000000);
}

TEST(HardenedThreads, are_numbered_in_the_order_in_which_they_ask_and_keep_their_number) {
  std::uint32_t const own = thread_number();
  EXPECT_GE(own, 1u);
  std::uint32_t before = 0;
  for (int i = 0; i < 5; ++i) {
    std::uint32_t number = 0, again = 0;
    std::thread([&] {
      number = thread_number();
      again = thread_number();
    }).join();
    EXPECT_EQ(again, number);
    EXPECT_GT(number, own);
    if (before != 0) {
      EXPECT_EQ(number, before + 1);
    }
    before = number;
  }
  EXPECT_EQ(thread_number(), own);
}

}  // namespace
}  // namespace hakmem::hardened
