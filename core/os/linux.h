// What it owns: the Linux implementation of `OperatingSystem`. Together with thread.cpp and
// standard_error.cpp, linux.cpp is the only code of the library that enters the kernel.
// Invariants: errno is the same after a call as before it; nothing here allocates, is a thread
// cancellation point, or needs libc's constructors to have run.
// Thread-safety: any thread, signal handlers included.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/os/os.h"

namespace hakmem {

struct Linux {
  static std::size_t page_bytes() noexcept;
  static std::size_t huge_page_bytes() noexcept;
  static bool gives_huge_pages() noexcept;

  static OsMapping map(void* hint, std::size_t bytes, MapKind kind) noexcept;
  static OsStatus unmap(void* address, std::size_t bytes) noexcept;
  static OsStatus resize(void* address, std::size_t old_bytes, std::size_t new_bytes) noexcept;
  static OsStatus move(void* address, std::size_t old_bytes, std::size_t new_bytes, void* to) noexcept;

  static OsStatus protect_none(void* address, std::size_t bytes) noexcept;
  static OsStatus protect_read_write(void* address, std::size_t bytes) noexcept;
  // By MADV_GUARD_INSTALL (Linux 6.13), else by access rights: from then on, once the kernel refused it, because
  // it does not know it or the program locks its memory.
  static OsStatus guard(void* address, std::size_t bytes) noexcept;
  static bool guards_split() noexcept;

  static OsStatus populate_write(void* address, std::size_t bytes) noexcept;
  static void touch(void* address) noexcept;
  static OsStatus purge(void* address, std::size_t bytes) noexcept;
  static OsStatus advise_huge(void* address, std::size_t bytes) noexcept;
  static OsStatus advise_no_huge(void* address, std::size_t bytes) noexcept;
  static OsStatus collapse_huge(void* address, std::size_t bytes) noexcept;
  // After the kernel refused once (it was built without names), later calls do nothing.
  static void name(void* address, std::size_t bytes, char const* text) noexcept;

  // The lines of /proc/self/maps; vm.max_map_count, read once.
  static std::size_t mappings() noexcept;
  static std::size_t mappings_max() noexcept;

  // Of CLOCK_MONOTONIC_COARSE: advances in steps of one kernel tick (1 to 10 ms).
  static std::uint64_t now_ms() noexcept;
  static void wait(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept;
  static void wait_for(std::atomic<std::uint32_t>& word, std::uint32_t value, std::uint64_t ms) noexcept;
  static void wake_one(std::atomic<std::uint32_t>& word) noexcept;
  static void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");
#else
    asm volatile("" ::: "memory");
#endif
  }

  static void write(int fd, char const* text, std::size_t bytes) noexcept;

  // For the checked build, which runs on Linux alone: files for reports, a random word (0 when there
  // is no entropy yet), and memory that nobody writes again.
  static int open_to_read(char const* path) noexcept;    // negative: refused
  static int open_to_append(char const* path) noexcept;  // made if missing
  static std::size_t read(int fd, char* text, std::size_t bytes) noexcept;
  static std::size_t read_at(int fd, std::uint64_t offset, char* text, std::size_t bytes) noexcept;
  static void close(int fd) noexcept;
  static void sleep_ms(unsigned milliseconds) noexcept;
  [[noreturn]] static void exit_now(int code) noexcept;  // runs nothing of the program's
  static std::uint64_t entropy() noexcept;
  static OsStatus protect_read_only(void* address, std::size_t bytes) noexcept;
  // The mapping and its rights stay as they are until the process ends (Linux 6.10).
  static OsStatus seal(void* address, std::size_t bytes) noexcept;

  // What an errno means; the one place that decides.
  static OsError classify(int code) noexcept;
};

static_assert(OperatingSystem<Linux>);

}  // namespace hakmem
