// The traced program: warms the allocator up, leaves every other block live - so that no call fills or
// empties what the allocator manages as a whole - and makes each call many times between two marks.
// The functions are called through pointers from dlsym, so no linkage stub is counted.
#include <dlfcn.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "bench/fast_path/marks.h"

namespace {

using namespace hakmem::bench;

constexpr std::size_t kBytes = 64;
constexpr int kBlocks = 64;
constexpr int kWarmUpRounds = 64;
constexpr int kRepeats = 33;

template <typename Function>
Function* resolve(TracedIndex index) {
  void* const address = dlsym(RTLD_DEFAULT, kTracedCalls[index].symbol);
  if (address == nullptr) {
    std::fprintf(stderr, "probe: no %s in this process\n", kTracedCalls[index].symbol);
    std::_Exit(1);
  }
  return reinterpret_cast<Function*>(address);
}

template <typename Allocate, typename Release>
void trace_pair(TracedIndex allocation, Allocate allocate, TracedIndex deallocation, Release release) {
  void* blocks[kBlocks];
  for (void*& block : blocks) block = allocate();
  for (int round = 0; round < kWarmUpRounds; ++round) {
    for (int i = 0; i < kBlocks; i += 2) release(blocks[i]);
    for (int i = 0; i < kBlocks; i += 2) blocks[i] = allocate();
  }
  for (int i = 0; i < kBlocks; i += 2) release(blocks[i]);
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    mark(allocation);
    void* const block = allocate();
    mark(kCallEnd);
    *static_cast<char volatile*>(block) = 1;
    mark(deallocation);
    release(block);
    mark(kCallEnd);
  }
  for (int i = 1; i < kBlocks; i += 2) release(blocks[i]);
}

}  // namespace

int main() {
  auto* const malloc_function = resolve<void*(std::size_t)>(kMalloc);
  auto* const free_function = resolve<void(void*)>(kFree);
  auto* const new_function = resolve<void*(std::size_t)>(kNew);
  auto* const delete_function = resolve<void(void*)>(kDelete);
  auto* const sized_delete_function = resolve<void(void*, std::size_t)>(kDeleteSized);

  auto const by_new = [=] { return new_function(kBytes); };
  trace_pair(
      kMalloc, [=] { return malloc_function(kBytes); }, kFree, free_function);
  trace_pair(kNew, by_new, kDelete, delete_function);
  trace_pair(kNew, by_new, kDeleteSized, [=](void* block) { sized_delete_function(block, kBytes); });
  return 0;
}
