// Pairs of threads: one allocates and hands over, the other frees. Every free is remote, and one side
// never allocates.
#include <CLI/CLI.hpp>
#include <optional>
#include <thread>

#include "bench/harness/heap_under_test.h"
#include "bench/harness/mailbox.h"
#include "bench/harness/page_buffer.h"
#include "bench/harness/random.h"
#include "bench/harness/team.h"
#include "bench/scenario/scenarios.h"

namespace hakmem::bench {
namespace {

constexpr std::uint32_t kSmallestBytes = 16;
constexpr std::uint32_t kSizes = 1025;
static_assert(kSmallestBytes + kSizes <= Premade::kBlockBytes);

class ProducerConsumer final : public Scenario {
 public:
  void declare_options(CLI::App& command) override {
    command.add_option("iterations", iterations_, "blocks of each pair in each phase")
        ->check(CLI::Range(std::uint64_t{1}, kMostIterations));
    command.add_option("--pairs", pairs_, "pairs of threads")->check(CLI::Range(1U, 512U));
    command.add_option("--seed", seed_, "of the random numbers");
  }

  void prepare() override {
    mailboxes_ = PageBuffer<Mailbox>(pairs_);
    team_.emplace(2 * pairs_);
  }

  Work pass() override { return run<ProcessHeap>(); }
  bool has_baseline() const override { return true; }
  Work baseline_pass() override { return run<Premade>(); }
  unsigned threads() const override { return 2 * pairs_; }

 private:
  template <typename Heap>
  Work run() {
    team_->run([this](unsigned thread) {
      Mailbox& mailbox = mailboxes_[thread / 2];
      thread % 2 == 0 ? produce<Heap>(mailbox, seed_ + thread) : consume<Heap>(mailbox);
    });
    std::uint64_t const blocks = iterations_ * pairs_;
    return {.operations = 2 * blocks, .allocations = blocks, .remote_frees = blocks};
  }

  template <typename Heap>
  void produce(Mailbox& mailbox, std::uint64_t seed) const {
    Heap heap;
    Random random(seed);
    for (std::uint64_t left = iterations_; left > 0; --left) {
      std::size_t const bytes = kSmallestBytes + random.below(kSizes);
      void* const block = heap.allocate(bytes);
      write_both_ends(block, bytes);
      while (!mailbox.try_push(block)) std::this_thread::yield();
    }
  }

  template <typename Heap>
  void consume(Mailbox& mailbox) const {
    Heap heap;
    for (std::uint64_t left = iterations_; left > 0;) {
      std::uint64_t const received = mailbox.drain([&heap](void* block) { heap.release(block); });
      if (received == 0) std::this_thread::yield();
      left -= received;
    }
  }

  std::uint64_t iterations_ = 1'000'000;
  unsigned pairs_ = 1;
  std::uint64_t seed_ = 42;
  PageBuffer<Mailbox> mailboxes_;
  std::optional<Team> team_;
};

}  // namespace

std::unique_ptr<Scenario> make_producer_consumer() { return std::make_unique<ProducerConsumer>(); }

}  // namespace hakmem::bench
