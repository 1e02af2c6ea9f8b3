// Allocation when a thread, or the process, is almost gone: in thread_local destructors, in every
// round of pthread key destructors, in atexit handlers and in destructors of static objects.
#include <limits.h>
#include <pthread.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "expect.h"

namespace {

// Blocks of many sizes, written, resized and freed again.
void use_heap() {
  std::vector<unsigned char*> blocks;
  for (std::size_t size = 1; size < 3'000'000; size = size * 3 + 1) {
    auto* block = static_cast<unsigned char*>(std::malloc(size));
    EXPECT(block);
    std::memset(block, 0x5a, size);
    block = static_cast<unsigned char*>(std::realloc(block, size + 50));
    EXPECT(block && block[0] == 0x5a && block[size - 1] == 0x5a);
    blocks.push_back(block);
  }
  for (unsigned char* block : blocks) std::free(block);
}

struct AtThreadExit {
  void* kept = std::malloc(100);
  ~AtThreadExit() {
    std::free(kept);
    use_heap();
  }
};
thread_local AtThreadExit at_thread_exit;

pthread_key_t early_key, late_key;
int rounds = 0;

// Runs in all of the four rounds that POSIX grants to key destructors.
void in_key_destructor(void* value) {
  ++rounds;
  use_heap();
  std::free(value);
  pthread_setspecific(late_key, std::malloc(64));
}

void in_early_key_destructor(void* value) {
  std::free(value);
  use_heap();
}

void thread_body() {
  EXPECT(at_thread_exit.kept);
  pthread_setspecific(early_key, std::malloc(32));
  pthread_setspecific(late_key, std::malloc(64));
}

// A thread that frees in its destructors what another one allocated, and never allocated itself.
void* only_frees(void* block) {
  std::free(block);
  return nullptr;
}

struct AtExit {
  std::vector<int> numbers = std::vector<int>(1000, 7);
  ~AtExit() { use_heap(); }
} at_static_exit;

}  // namespace

int main(int argc, char** argv) {
  pthread_key_create(&early_key, in_early_key_destructor);
  pthread_key_create(&late_key, in_key_destructor);
  std::atexit(use_heap);
  for (int i = 0; i < 50; ++i) std::thread(thread_body).join();
  EXPECT(rounds == 50 * PTHREAD_DESTRUCTOR_ITERATIONS);
  for (int i = 0; i < 50; ++i) {
    pthread_t thread;
    EXPECT(pthread_create(&thread, nullptr, only_frees, std::malloc(static_cast<std::size_t>(i) * 100'000)) == 0);
    pthread_join(thread, nullptr);
  }
  if (argc > 1 && std::strcmp(argv[1], "exit-in-thread") == 0) {
    std::thread([] { std::exit(0); }).join();
  }
  if (argc > 1 && std::strcmp(argv[1], "main-leaves-first") == 0) {
    std::thread([] {
      use_heap();
      std::exit(0);
    }).detach();
    pthread_exit(nullptr);
  }
  return 0;
}
