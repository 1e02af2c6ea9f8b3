#include "bench/harness/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace hakmem::bench {
namespace {

void* as_block(std::uintptr_t number) { return reinterpret_cast<void*>(number); }

TEST(BenchMailbox, every_block_arrives_once_and_in_order) {
  constexpr std::uintptr_t kBlocks = 200'000;
  auto const mailbox = std::make_unique<Mailbox>();
  std::atomic<bool> in_order{true};
  std::thread producer([&] {
    for (std::uintptr_t number = 1; number <= kBlocks; ++number) {
      while (in_order && !mailbox->try_push(as_block(number))) std::this_thread::yield();
    }
  });
  std::uintptr_t last = 0;
  while (in_order && last < kBlocks) {
    mailbox->drain([&](void* block) { in_order = in_order && block == as_block(++last); });
  }
  producer.join();
  EXPECT_TRUE(in_order) << "at block " << last;
  EXPECT_EQ(mailbox->drain([](void*) {}), 0U);
}

TEST(BenchMailbox, a_full_mailbox_refuses_and_loses_nothing) {
  constexpr std::uint64_t kFarTooMany = 1'000'000;
  auto const mailbox = std::make_unique<Mailbox>();
  std::uint64_t accepted = 0;
  while (accepted < kFarTooMany && mailbox->try_push(as_block(accepted + 1))) ++accepted;
  EXPECT_GT(accepted, 0U);
  EXPECT_LT(accepted, kFarTooMany);
  EXPECT_EQ(mailbox->drain([](void*) {}), accepted);
  EXPECT_TRUE(mailbox->try_push(as_block(1)));
}

}  // namespace
}  // namespace hakmem::bench
