// Forks while other threads allocate: each child allocates, frees, starts a thread and exits.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

#include "expect.h"

namespace {

constexpr int kForks = 200;
std::atomic<bool> stop{false};

// Keeps blocks of many sizes moving until `rounds` are done or the program stops.
void churn(int rounds) {
  std::vector<void*> blocks(64);
  for (int i = 0; i < rounds && !stop.load(); ++i) {
    std::size_t const at = static_cast<std::size_t>(i) % blocks.size();
    std::free(blocks[at]);
    std::size_t const size = static_cast<std::size_t>(i % 17 == 0 ? i % 3'000'000 : i % 5000);
    blocks[at] = std::malloc(size);
    EXPECT(blocks[at]);
  }
  for (void* block : blocks) std::free(block);
}

}  // namespace

int main() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(churn, 1 << 30);
  void* const shared = std::malloc(100);
  for (int i = 0; i < kForks; ++i) {
    pid_t const child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
      alarm(20);
      std::free(shared);
      churn(500);
      std::thread(churn, 500).join();
      _Exit(0);
    }
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  return 0;
}
