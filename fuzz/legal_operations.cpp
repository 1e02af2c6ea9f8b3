// Legal operations at random on a library as it ships, and how many there were:
//   legal_operations COUNT [SEED [THREADS]]     e.g. 1e8 1 2
//   legal_operations --control                  the same with one double free: the report is seen
// Every way to allocate, resize and free, by the thread that allocated and by others. Oracle: whoever reports
// ends the program; contents, whole up to 256 bytes and at both ends above, so that blocks which overlap are
// found; alignment; zeroes; at the end the whole heap is checked.
// Exit codes: 0 no report and nothing wrong; 1 something wrong; 2 wrong use; a report ends by SIGABRT.
#include <malloc.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>
#include <thread>
#include <vector>

#include "core/include/hakmem/hakmem.h"

extern "C" void free_sized(void* block, std::size_t bytes);
extern "C" void free_aligned_sized(void* block, std::size_t alignment, std::size_t bytes);

namespace {

constexpr std::size_t kSlots = 4096, kShared = 1024, kWhole = 256, kEnds = 64;

struct Block {
  unsigned char* start = nullptr;
  std::size_t bytes = 0, alignment = 16;
  enum Way : unsigned char { kMalloc, kPosix, kAligned, kNew, kNewArray, kAlignedNew } way = kMalloc;
  std::uint64_t seed = 0;
};

std::atomic<std::uint64_t> total{0};
std::atomic<bool> free_twice{false};  // the control
std::mutex shared_lock;
std::array<Block, kShared> shared;

[[noreturn]] void wrong(char const* what, Block const& block) {
  std::printf("wrong: %s, block of %zu bytes\n", what, block.bytes);
  std::fflush(stdout);
  std::_Exit(1);
}

// visit(offset, expected byte) for what is written and looked at.
template <class Visit>
void for_each_byte(Block const& block, std::size_t bytes, Visit visit) {
  for (std::size_t i = 0; i < bytes; ++i) {
    if (bytes > kWhole && i == kEnds) i = bytes - kEnds;
    visit(i, static_cast<unsigned char>(block.seed + i * 31));
  }
}
void fill(Block& block, std::uint64_t seed) {
  block.seed = seed;
  if (reinterpret_cast<std::uintptr_t>(block.start) % block.alignment != 0) wrong("misaligned", block);
  for_each_byte(block, block.bytes, [&](std::size_t i, unsigned char value) { block.start[i] = value; });
}

class Worker {
 public:
  explicit Worker(std::uint64_t seed) : random_(seed * 0x9e3779b97f4a7c15) {}

  void run(std::uint64_t operations) {
    while (done_ < operations) step(slots_[below(kSlots)]);
    for (Block& block : slots_) release(block);
    total += done_;
  }

 private:
  std::uint64_t next() {
    std::uint64_t z = random_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    return z ^ z >> 29;
  }
  std::size_t below(std::size_t bound) { return (next() >> 8) % bound; }

  void step(Block& block) {
    if (below(8) == 0) {
      std::lock_guard const guard(shared_lock);
      std::swap(block, shared[below(kShared)]);
    }
    if (!block.start) return allocate(block);
    if (block.way <= Block::kAligned && below(8) == 0) return resize(block);
    if (below(16) == 0) return ask(block);
    release(block);
  }

  std::size_t some_bytes() {
    std::size_t const choice = below(4096);
    if (choice == 0) return below(3 << 20);
    if (choice < 40) return below(100'000);
    if (choice < 400) return below(8192);
    return below(512);
  }

  void allocate(Block& block) {
    block = {};
    block.bytes = some_bytes();
    std::size_t const alignment = std::size_t{16} << below(7);
    switch (below(10)) {
      case 0:
        block.start = static_cast<unsigned char*>(std::calloc(1, block.bytes));
        for (std::size_t i = 0; block.start && i < block.bytes; ++i)
          if (block.start[i] != 0) wrong("calloc is not zero", block);
        break;
      case 1:
        block.way = Block::kAligned, block.alignment = alignment;
        block.start = static_cast<unsigned char*>(std::aligned_alloc(alignment, block.bytes));
        break;
      case 2: {
        void* memory = nullptr;
        block.alignment = alignment, block.way = Block::kPosix;
        if (posix_memalign(&memory, alignment, block.bytes) == 0) block.start = static_cast<unsigned char*>(memory);
        break;
      }
      case 3:
        block.way = Block::kNew;
        block.start = static_cast<unsigned char*>(::operator new(block.bytes));
        break;
      case 4:
        block.way = Block::kNewArray;
        block.start = static_cast<unsigned char*>(::operator new[](block.bytes));
        break;
      case 5:
        block.way = Block::kAlignedNew, block.alignment = alignment;
        block.start = static_cast<unsigned char*>(::operator new (block.bytes, std::align_val_t{alignment}));
        break;
      default:
        block.start = static_cast<unsigned char*>(std::malloc(block.bytes));
    }
    ++done_;
    if (!block.start) wrong("no memory", block);
    fill(block, next());
  }

  void resize(Block& block) {
    check(block, block.bytes);
    std::size_t const bytes = 1 + some_bytes();
    auto* const moved = static_cast<unsigned char*>(std::realloc(block.start, bytes));
    ++done_;
    if (!moved) wrong("no memory", block);
    block.start = moved;
    block.way = Block::kMalloc, block.alignment = 16;
    std::size_t const kept = block.bytes < bytes ? block.bytes : bytes;
    if (kept <= kWhole || kept == block.bytes) check(block, kept);
    block.bytes = bytes;
    fill(block, next());
  }

  void ask(Block const& block) {
    ++done_;
    if (malloc_usable_size(block.start) < block.bytes) wrong("too few bytes are usable", block);
  }

  static void check(Block const& block, std::size_t bytes) {
    if (bytes != block.bytes && block.bytes > kWhole) return;
    for_each_byte(block, bytes, [&](std::size_t i, unsigned char value) {
      if (block.start[i] != value) wrong("a byte of a live block changed", block);
    });
  }

  void release(Block& block) {
    if (!block.start) return;
    check(block, block.bytes);
    bool const sized = below(2) == 0;
    std::align_val_t const alignment{block.alignment};
    switch (block.way) {
      case Block::kMalloc:
        sized ? free_sized(block.start, block.bytes) : std::free(block.start);
        break;
      case Block::kPosix:
        std::free(block.start);
        break;
      case Block::kAligned:
        sized ? free_aligned_sized(block.start, block.alignment, block.bytes) : std::free(block.start);
        break;
      case Block::kNew:
        if (sized)
          ::operator delete(block.start, block.bytes);
        else
          ::operator delete(block.start);
        break;
      case Block::kNewArray:
        if (sized)
          ::operator delete[](block.start, block.bytes);
        else
          ::operator delete[](block.start);
        break;
      case Block::kAlignedNew:
        if (sized)
          ::operator delete(block.start, block.bytes, alignment);
        else
          ::operator delete(block.start, alignment);
    }
    ++done_;
    if (free_twice.exchange(false)) std::free(block.start);
    block.start = nullptr;
  }

  std::uint64_t random_, done_ = 0;
  std::array<Block, kSlots> slots_;
};

int run(std::uint64_t operations, std::uint64_t seed, unsigned threads) {
  auto const started = std::chrono::steady_clock::now();
  {
    std::vector<std::thread> running;
    for (unsigned i = 0; i < threads; ++i)
      running.emplace_back([=] { Worker(seed * 1000 + i).run(operations / threads); });
    for (std::thread& thread : running) thread.join();
  }
  if (!hak_check_heap()) return std::puts("wrong: the heap is not whole"), 1;
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  std::printf("%llu legal operations by %u threads, seed %llu, %.0f s: no report\n",
              static_cast<unsigned long long>(total.load()), threads, static_cast<unsigned long long>(seed), seconds);
  return 0;
}

int wrong_use() {
  std::fprintf(stderr, "usage: legal_operations COUNT [SEED [THREADS]] | --control\n");
  return 2;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2 || count > 4) return wrong_use();
  if (arguments[1] == std::string_view("--control")) {
    hak_set_report_callback(
        [](void*, char const* kind, char const*, std::size_t) {
          bool const expected = kind == std::string_view("double-free") || kind == std::string_view("use-after-free");
          std::printf("reported: %s\n", kind);
          std::fflush(stdout);
          std::_Exit(expected ? 0 : 1);
        },
        nullptr);
    free_twice = true;
    run(100'000, 1, 2);
    return std::puts("a double free was not reported"), 1;
  }
  double const operations = std::strtod(arguments[1], nullptr);
  std::uint64_t const seed = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 1;
  unsigned const threads = count > 3 ? static_cast<unsigned>(std::strtoul(arguments[3], nullptr, 10)) : 2;
  if (!(operations >= 1 && operations <= 1e15) || threads < 1 || threads > 64) return wrong_use();
  return run(static_cast<std::uint64_t>(operations), seed, threads);
}
