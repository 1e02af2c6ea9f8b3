// What it owns: the threads of a replay and the blocks that they share.
// Thread-safety: run_workers() by one thread; each call of a trace is performed by one worker, after all calls of the
// same block before it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tools/hak/trace/replay.h"

namespace hakmem::tools {

class Workers {
 public:
  explicit Workers(Trace const& trace) : trace_(trace), workers_(std::clamp(trace.threads, 1u, kMostWorkers)) {
    steps_.resize(workers_);
    std::vector<std::uint32_t> turns(trace.blocks, 0);
    for (Call const& call : trace.calls) steps_[call.thread % workers_].push_back({call, turns[call.block]++});
    blocks_ = std::make_unique<Block[]>(trace.blocks);
  }

  // perform(call, address) returns where the block is then: null after a free. What it throws ends the replay.
  template <class Perform>
  void run(Perform const& perform) {
    for (std::uint32_t i = 0; i < trace_.blocks; ++i) blocks_[i].turn.store(0, std::memory_order_relaxed);
    stop_.store(false, std::memory_order_relaxed);
    failure_ = nullptr;
    std::vector<std::thread> threads;
    for (std::uint32_t i = 1; i < workers_; ++i) threads.emplace_back([this, i, &perform] { work(i, perform); });
    work(0, perform);
    for (std::thread& thread : threads) thread.join();
    if (failure_) std::rethrow_exception(failure_);
  }

  // After run(): every block that is still live.
  template <class Act>
  void each_live(Act const& act) {
    for (std::uint32_t i = 0; i < trace_.blocks; ++i)
      if (void* const address = std::exchange(blocks_[i].address, nullptr)) act(i, address);
  }

 private:
  struct Step {
    Call call;
    std::uint32_t turn;  // the number of the call among those of its block
  };
  struct Block {
    void* address = nullptr;
    // protocol: the number of calls that were performed on the block; its address was written before by their worker.
    std::atomic<std::uint32_t> turn{0};
  };

  // False: another worker has failed.
  bool await(Block const& block, std::uint32_t turn) const {
    while (block.turn.load(std::memory_order_acquire) != turn) {
      if (stop_.load(std::memory_order_relaxed)) return false;
      std::this_thread::yield();
    }
    return true;
  }

  template <class Perform>
  void work(std::uint32_t worker, Perform const& perform) {
    try {
      for (Step const& step : steps_[worker]) {
        Block& block = blocks_[step.call.block];
        if (!await(block, step.turn)) return;
        block.address = perform(step.call, block.address);
        block.turn.store(step.turn + 1, std::memory_order_release);
      }
    } catch (...) {
      std::lock_guard const lock(failure_lock_);
      if (!failure_) failure_ = std::current_exception();
      stop_.store(true, std::memory_order_relaxed);
    }
  }

  Trace const& trace_;
  std::uint32_t const workers_;
  std::vector<std::vector<Step>> steps_;
  std::unique_ptr<Block[]> blocks_;
  std::atomic<bool> stop_{false};
  std::mutex failure_lock_;
  std::exception_ptr failure_;
};

// The call itself, with the function that the traced program called.
inline void* perform_call(Call const& call, void* address) {
  switch (call.kind) {
    case CallKind::kMalloc:
      return std::malloc(call.bytes);
    case CallKind::kCalloc:
      return std::calloc(1, call.bytes);
    case CallKind::kAligned:
      return std::aligned_alloc(std::size_t{1} << call.alignment_log2, call.bytes);
    case CallKind::kRealloc:
      return std::realloc(address, call.bytes);
    case CallKind::kFree:
      std::free(address);
      return nullptr;
  }
  return nullptr;
}

inline void require_memory(Call const& call, void const* address) {
  if (call.kind != CallKind::kFree && address == nullptr)
    throw std::runtime_error("the allocator has no " + std::to_string(call.bytes) + " bytes for block " +
                             std::to_string(call.block));
}

}  // namespace hakmem::tools
