// What it owns: the worker threads of one benchmark, alive over all its passes.
// Thread-safety: run() is called by one thread; a team of one runs on the caller, so that a
// single-threaded benchmark stays single-threaded.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace hakmem::bench {

class Team {
 public:
  explicit Team(unsigned size);
  ~Team();
  Team(Team const&) = delete;
  Team& operator=(Team const&) = delete;

  unsigned size() const { return size_; }

  // Calls task(0) ... task(size - 1), each on its own thread; returns when all have returned.
  // Allocates nothing: it may be called within a measured pass.
  template <typename Task>
  void run(Task task) {
    run_erased([](void* erased, unsigned index) { (*static_cast<Task*>(erased))(index); }, &task);
  }

 private:
  using Call = void (*)(void* task, unsigned index);
  void run_erased(Call call, void* task);
  void work(unsigned index);

  unsigned size_;
  Call call_ = nullptr;  // nullptr in a started round: the worker ends
  void* task_ = nullptr;
  // protocol: written by run() after call_ and task_; a change is the start signal and publishes both.
  std::atomic<std::uint32_t> round_{0};
  // protocol: counted down by each worker when its task returned; 0 publishes all results to run().
  std::atomic<std::uint32_t> running_{0};
  std::vector<std::thread> threads_;
};

}  // namespace hakmem::bench
