// Seals and links of the checked build depend on its secrets, and what was tampered with is found.
#include "hardened/seal.h"

#include <gtest/gtest.h>

namespace hakmem::hardened {
namespace {

alignas(16) std::byte memory[32];

TEST(HardenedSeal, depends_on_each_secret_word_and_on_the_place) {
  std::uint64_t const seal = Header::of_live(7, memory).seal;
  EXPECT_EQ(Header::of_live(7, memory).seal, seal);
  EXPECT_NE(Header::of_live(8, memory).seal, seal);
  EXPECT_NE(Header::of_live(7, memory + 16).seal, seal);
  for (std::uint64_t& key : secrets.seal_keys) {
    key ^= 0x1234567;
    EXPECT_NE(Header::of_live(7, memory).seal, seal);
    key ^= 0x1234567;
  }
}

TEST(HardenedLinks, lead_back_to_what_was_stored) {
  EXPECT_EQ(SealedLinks::decode(SealedLinks::encode(memory + 16, memory), memory), memory + 16);
  EXPECT_EQ(SealedLinks::decode(SealedLinks::encode(nullptr, memory), memory), nullptr);
}

TEST(HardenedLinks, that_were_written_to_are_reported) {
  auto const stored = reinterpret_cast<std::uintptr_t>(SealedLinks::encode(memory + 16, memory));
  for (unsigned bit : {0u, 20u, 43u, 44u, 63u}) {
    auto* const tampered = reinterpret_cast<void*>(stored ^ std::uintptr_t{1} << bit);
    EXPECT_DEATH(SealedLinks::decode(tampered, memory), "use-after-free: .*the free list") << bit;
  }
}

}  // namespace
}  // namespace hakmem::hardened
