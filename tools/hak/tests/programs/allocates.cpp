// Makes known allocation calls, in one of several ways: allocates WAY.
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kBytes = 12345;  // a size that nobody else asks for
constexpr int kBlocks = 1000;

std::vector<void*> blocks() {
  std::vector<void*> result(kBlocks);
  for (void*& block : result) block = std::malloc(kBytes);
  return result;
}
void release(std::vector<void*> const& all) {
  for (void* const block : all) std::free(block);
}

void one_of_each() {
  void* const zeroed = std::calloc(5, kBytes);
  void* aligned = nullptr;
  if (posix_memalign(&aligned, 4096, kBytes) != 0) std::abort();
  void* const grown = std::realloc(std::malloc(kBytes), 2 * kBytes);
  if (malloc_usable_size(grown) < 2 * kBytes) std::abort();
  std::free(grown), std::free(aligned), std::free(zeroed);
}

void pass_to_thread() {
  std::vector<void*> const all = blocks();
  std::thread([&all] { release(all); }).join();
}

void many_threads() {
  for (int round = 0; round < 10; ++round) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([] { release(blocks()); });
    for (std::thread& thread : threads) thread.join();
  }
}

void fork_and_leave() {
  if (fork() == 0) {
    release(blocks());
    release(blocks());
    _exit(0);
  }
  wait(nullptr);
  release(blocks());
}

[[gnu::noinline]] void free_twice() {
  void* volatile block = std::malloc(kBytes);
  std::free(block);
  std::free(block);
  block = nullptr;  // the call above is not the last one, which leaves no frame
}

}  // namespace

int main(int count, char** arguments) {
  std::string const way = count == 2 ? arguments[1] : "";
  if (way == "double_free") free_twice();
  if (way == "each") one_of_each();
  if (way == "thread") pass_to_thread();
  if (way == "threads") many_threads();
  if (way == "fork") fork_and_leave();
  if (way == "exit") blocks(), _exit(7);
  if (way == "killed") blocks(), raise(9);
  if (way == "exec") execl(arguments[0], arguments[0], "thread", nullptr);
}
