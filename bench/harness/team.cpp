#include "bench/harness/team.h"

namespace hakmem::bench {

Team::Team(unsigned size) : size_(size) {
  if (size == 1) return;
  threads_.reserve(size);
  for (unsigned index = 0; index < size; ++index) threads_.emplace_back([this, index] { work(index); });
  run([](unsigned) {});  // every thread has started and touched its stack before anything is measured
}

Team::~Team() {
  call_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Team::run_erased(Call call, void* task) {
  if (threads_.empty()) return call(task, 0);
  call_ = call;
  task_ = task;
  running_.store(size_, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::uint32_t left; (left = running_.load(std::memory_order_acquire)) != 0;) running_.wait(left);
}

void Team::work(unsigned index) {
  for (std::uint32_t seen = 0;;) {
    round_.wait(seen, std::memory_order_acquire);
    seen = round_.load(std::memory_order_acquire);
    if (call_ == nullptr) return;
    call_(task_, index);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace hakmem::bench
