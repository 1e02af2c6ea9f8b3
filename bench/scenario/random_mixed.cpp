// The random mixed benchmark: 16 + rng % 1025 bytes, a random slot; a taken slot is freed, a free one
// is filled and both ends of the block are written. With several threads each has its own slots and
// iterations, and REMOTE % of the frees are handed to another thread through a mailbox.
#include <CLI/CLI.hpp>
#include <atomic>
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
constexpr std::uint64_t kDrainInterval = 64;  // iterations between two looks into the own mailboxes

// One mailbox for each ordered pair of threads, and the count of threads that may still send.
class PostOffice {
 public:
  explicit PostOffice(unsigned threads) : threads_(threads), mailboxes_(std::size_t{threads} * threads) {}

  void open() { senders_.store(threads_, std::memory_order_relaxed); }

  template <typename Release>
  void send(unsigned from, unsigned to, void* block, Release release) {
    while (!mailboxes_[from * threads_ + to].try_push(block)) {
      receive(from, release);  // whoever waits keeps receiving, so two full mailboxes cannot block each other
      std::this_thread::yield();
    }
  }

  template <typename Release>
  void receive(unsigned to, Release release) {
    for (unsigned from = 0; from < threads_; ++from) mailboxes_[from * threads_ + to].drain(release);
  }

  // Called by each thread after its last send: returns when everything sent to it has been received.
  template <typename Release>
  void close(unsigned thread, Release release) {
    senders_.fetch_sub(1, std::memory_order_acq_rel);
    while (senders_.load(std::memory_order_acquire) != 0) {
      receive(thread, release);
      std::this_thread::yield();
    }
    receive(thread, release);
  }

 private:
  unsigned threads_;
  PageBuffer<Mailbox> mailboxes_;
  // protocol: counted down by each thread after its last send; 0 publishes every block sent.
  std::atomic<unsigned> senders_{0};
};

class RandomMixed final : public Scenario {
 public:
  void declare_options(CLI::App& command) override {
    command.add_option("iterations", iterations_, "operations of each thread in each phase")
        ->check(CLI::Range(std::uint64_t{1}, kMostIterations));
    command.add_option("slots", slots_, "slots of each thread")->check(CLI::Range(1U, 100'000'000U));
    command.add_option("seed", seed_, "of the random numbers");
    command.add_option("--threads", thread_count_, "number of threads")->check(CLI::Range(1U, 1024U));
    command.add_option("--remote", remote_percent_, "frees done by another thread, in percent")
        ->check(CLI::Range(0U, 100U));
    command.add_option("--warmup-iterations", warmup_iterations_, "operations before the clock starts");
  }

  void prepare() override {
    if (remote_percent_ > 0 && thread_count_ < 2) throw CLI::ValidationError("--remote", "needs --threads 2 or more");
    slots_of_.resize(thread_count_);
    for (PageBuffer<void*>& slots : slots_of_) slots = PageBuffer<void*>(slots_);
    random_of_.assign(thread_count_, Random(0));
    work_of_.assign(thread_count_, Work{});
    seed_threads();
    post_office_.emplace(thread_count_);
    team_.emplace(thread_count_);
  }

  void warm_up() override {
    if (warmup_iterations_ > 0) run<ProcessHeap>(warmup_iterations_);
  }

  Work pass() override { return run<ProcessHeap>(iterations_); }

  void finish() override {
    team_->run([this](unsigned thread) {
      for (void*& block : slots_of_[thread].items()) ProcessHeap::release(std::exchange(block, nullptr));
    });
    seed_threads();
  }

  bool has_baseline() const override { return true; }
  Work baseline_pass() override { return run<Premade>(iterations_); }
  unsigned threads() const override { return thread_count_; }

 private:
  void seed_threads() {
    for (unsigned thread = 0; thread < thread_count_; ++thread) random_of_[thread] = Random(seed_ + thread);
  }

  template <typename Heap>
  Work run(std::uint64_t iterations) {
    post_office_->open();
    team_->run([&](unsigned thread) {
      work_of_[thread] =
          remote_percent_ == 0 ? mix<Heap, false>(thread, iterations) : mix<Heap, true>(thread, iterations);
    });
    Work total;
    for (Work const& work : work_of_) total += work;
    return total;
  }

  template <typename Heap, bool kRemote>
  Work mix(unsigned thread, std::uint64_t iterations) {
    Heap heap;
    auto const release = [&heap](void* block) { heap.release(block); };
    std::span<void*> const slots = slots_of_[thread].items();
    Random random = random_of_[thread];
    Work work{.operations = iterations};
    for (std::uint64_t iteration = 0; iteration < iterations; ++iteration) {
      std::uint64_t const draw = random.next();
      auto const decision = static_cast<std::uint32_t>(draw >> 32);
      void*& slot = slots[Random::scale(draw, static_cast<std::uint32_t>(slots.size()))];
      if (slot == nullptr) {
        std::size_t const bytes = kSmallestBytes + decision % kSizes;
        slot = heap.allocate(bytes);
        write_both_ends(slot, bytes);
        ++work.allocations;
      } else if (kRemote && decision % 100 < remote_percent_) {
        post_office_->send(thread, other_thread(thread, decision / 100), std::exchange(slot, nullptr), release);
        ++work.remote_frees;
      } else {
        heap.release(std::exchange(slot, nullptr));
      }
      if (kRemote && iteration % kDrainInterval == 0) post_office_->receive(thread, release);
    }
    if (kRemote) post_office_->close(thread, release);
    random_of_[thread] = random;
    return work;
  }

  unsigned other_thread(unsigned self, std::uint32_t decision) const {
    return (self + 1 + decision % (thread_count_ - 1)) % thread_count_;
  }

  std::uint64_t iterations_ = 1'000'000;
  std::uint32_t slots_ = 256;
  std::uint64_t seed_ = 42;
  unsigned thread_count_ = 1;
  unsigned remote_percent_ = 0;
  std::uint64_t warmup_iterations_ = 0;

  std::vector<PageBuffer<void*>> slots_of_;
  std::vector<Random> random_of_;
  std::vector<Work> work_of_;
  std::optional<PostOffice> post_office_;
  std::optional<Team> team_;
};

}  // namespace

std::unique_ptr<Scenario> make_random_mixed() { return std::make_unique<RandomMixed>(); }

}  // namespace hakmem::bench
