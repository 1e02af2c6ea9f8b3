// An error while the heap is in trouble:  troubled TROUBLE BUG [callback]
// Calls that allocate or free are counted from the error on: one ends the program with status 9.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "core/api/debug_layout.h"
#include "core/include/hakmem/hakmem.h"

extern "C" hakmem::DebugLayout const hak_debug_layout;

namespace {

constexpr std::size_t kSuperSlab = 2 << 20, kPage = 4096, kLarge = 3'000'000;

std::atomic<bool> in_error{false};
char* victim;
std::string_view bug;

void (*const next_free)(void*) = reinterpret_cast<void (*)(void*)>(dlsym(RTLD_NEXT, "free"));
template <class Function>
Function next(Function, char const* name) {
  if (in_error.load()) {
    static_cast<void>(!write(STDOUT_FILENO, "a call that allocates\n", 22));
    _exit(9);
  }
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// --- bugs -----------------------------------------------------------------------------------------

void make_victim() {
  bool const small = bug != "read_after_free" && bug != "read_past_end";
  victim = static_cast<char*>(std::malloc(small ? 24 : kLarge));
  std::memset(victim, 'x', small ? 24 : kLarge);
  if (bug == "double_free" || bug == "read_after_free") next_free(victim);
}

void err() {
  char volatile* const block = victim;
  in_error = true;
  if (bug == "double_free") next_free(victim);
  if (bug == "free_inside") next_free(victim + 8);
  if (bug == "write_past_end") block[24] = 'y', next_free(victim);
  if (bug == "read_after_free") static_cast<void>(block[kLarge / 2]);
  if (bug == "read_past_end") static_cast<void>(block[kLarge]);
  in_error = false;
  std::puts("nothing was noticed");
}

// --- all locks of the allocator -------------------------------------------------------------------
// Handlers that run before a fork run in the reverse order of their registration, so that ours, which was
// there before the allocator's, runs when that has taken every lock.

enum class WithLocks { kNothing, kErr, kWait };
WithLocks with_locks = WithLocks::kNothing;
std::atomic<bool> locks_held{false};

void before_fork() {
  if (with_locks == WithLocks::kErr) err();
  locks_held = true;
  while (with_locks == WithLocks::kWait) pause();
}
void register_first() { pthread_atfork(before_fork, nullptr, nullptr); }
[[gnu::section(".preinit_array"), gnu::used]] void (*const before_all_constructors)() = &register_first;

void* fork_and_wait(void*) {
  fork();
  return nullptr;
}
void hold_locks_elsewhere() {
  with_locks = WithLocks::kWait;
  pthread_t thread;
  pthread_create(&thread, nullptr, &fork_and_wait, nullptr);
  while (!locks_held) usleep(1000);
}

// --- garbage --------------------------------------------------------------------------------------

// What the words of the garbage point to: itself.
alignas(kPage) std::uint64_t area[1 << 16];

// Writes what may be written of [start, start + bytes).
void overwrite(char* start, std::size_t bytes, std::string_view kind) {
  static std::uint64_t page[kPage / 8];
  static std::uint64_t random = 0x9e3779b97f4a7c15;
  for (std::size_t at = 0; at < bytes; at += kPage) {
    for (std::uint64_t& word : page) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      word = kind == "zeroes"     ? 0
             : kind == "ones"     ? ~0ull
             : kind == "pointers" ? reinterpret_cast<std::uint64_t>(area)
                                  : random;
    }
    iovec const from{page, kPage}, to{start + at, kPage};
    static_cast<void>(!process_vm_writev(getpid(), &from, 1, &to, 1, 0));
  }
}

// Live blocks, free ones and their links: all SuperSlabs that hold some of many blocks.
void overwrite_blocks() {
  static char* blocks[4000];
  for (std::size_t i = 0; i < 4000; ++i) blocks[i] = static_cast<char*>(std::malloc(8 + i));
  for (std::size_t i = 0; i < 4000; i += 2) next_free(blocks[i]);
  std::uintptr_t last = 0;
  for (char* const block : blocks) {
    auto const start = reinterpret_cast<std::uintptr_t>(block) / kSuperSlab * kSuperSlab;
    if (start != last) overwrite(reinterpret_cast<char*>(start), kSuperSlab, "random");
    last = start;
  }
}

// The registry's leaves and all descriptors.
void overwrite_metadata(std::string_view kind) {
  struct Chunk {
    char* start;
    std::size_t bytes;
  } chunks[1000];
  std::size_t count = 0;
  for (char* at = *static_cast<char* const*>(hak_debug_layout.chunks); at && count < 1000;) {
    Chunk& chunk = chunks[count++] = {at, 0};
    std::memcpy(&chunk.bytes, at + hak_debug_layout.chunk_bytes, sizeof chunk.bytes);
    std::memcpy(&at, at + hak_debug_layout.chunk_next, sizeof at);
  }
  for (std::uint64_t& word : area) word = reinterpret_cast<std::uint64_t>(area);
  for (std::size_t i = 0; i < count; ++i) overwrite(chunks[i].start, chunks[i].bytes, kind);
}

// Of what the allocator counts, as the report began.
hak_statistics before{};

void told(void*, char const* kind, char const* text, std::size_t bytes) {
  char line[200];
  hak_statistics now{};
  now.size = sizeof now;
  if (before.size != 0) hak_stats(&now);
  bool const same = before.size == 0 || std::memcmp(&now, &before, sizeof now) == 0;
  int const length = std::snprintf(line, sizeof line, "told %s, %zu bytes that end in %d%s\n", kind, bytes,
                                   text[bytes - 1], same ? "" : ", allocated");
  static_cast<void>(!write(STDOUT_FILENO, line, static_cast<std::size_t>(length)));
}

}  // namespace

extern "C" {
void* malloc(std::size_t bytes) { return next(&malloc, "malloc")(bytes); }
void* calloc(std::size_t count, std::size_t bytes) { return next(&calloc, "calloc")(count, bytes); }
void* realloc(void* block, std::size_t bytes) { return next(&realloc, "realloc")(block, bytes); }
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return next(&aligned_alloc, "aligned_alloc")(alignment, bytes);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  return next(&posix_memalign, "posix_memalign")(block, alignment, bytes);
}
void free(void* block) { next(&free, "free")(block); }
}

int main(int count, char** arguments) {
  if (count < 3) return 2;
  std::string_view const trouble = arguments[1];
  bug = arguments[2];
  if (count == 4) hak_set_report_callback(&told, nullptr);
  make_victim();
  if (trouble == "none") {
    before.size = sizeof before;
    hak_stats(&before);
  }
  if (trouble == "locks_held_elsewhere") hold_locks_elsewhere();
  if (trouble == "blocks") overwrite_blocks();
  if (trouble.starts_with("metadata_")) overwrite_metadata(trouble.substr(9));
  if (trouble != "locks_held_here") return err(), 0;
  with_locks = WithLocks::kErr;
  fork();
  return 0;
}
