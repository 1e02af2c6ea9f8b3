#include "core/os/linux.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "core/base/check.h"
#include "core/base/geometry.h"
#include "core/os/line.h"

// Constants that C library headers older than the kernel lack.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

namespace hakmem {
namespace {

// Gives the client its errno back.
class ErrnoKept {
 public:
  ErrnoKept() noexcept : saved_(errno) {}
  ~ErrnoKept() { errno = saved_; }
  ErrnoKept(ErrnoKept const&) = delete;
  ErrnoKept& operator=(ErrnoKept const&) = delete;

 private:
  int const saved_;
};

// The typed status of a call that has just returned; `failed` tells whether errno counts.
OsStatus status_of(bool failed) noexcept { return failed ? OsStatus{Linux::classify(errno), errno} : OsStatus{}; }

OsStatus advise(void* address, std::size_t bytes, int advice) noexcept {
  ErrnoKept const kept;
  return status_of(::madvise(address, bytes, advice) != 0);
}

OsStatus protect(void* address, std::size_t bytes, int rights) noexcept {
  ErrnoKept const kept;
  return status_of(::mprotect(address, bytes, rights) != 0);
}

// The start of a file, empty if there is none. Raw calls, because open, read and close are cancellation
// points.
struct FileStart {
  char text[32]{};  // null-terminated
};
FileStart start_of_file(char const* path) noexcept {
  ErrnoKept const kept;
  FileStart start;
  long const fd = ::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return start;
  if (::syscall(SYS_read, fd, start.text, sizeof start.text - 1) < 0) start = {};
  ::syscall(SYS_close, fd);
  return start;
}

// The decimal number at the start of a file, 0 if there is none.
std::size_t number_in_file(char const* path) noexcept {
  FileStart const start = start_of_file(path);
  std::size_t number = 0;
  for (char const* at = start.text; *at >= '0' && *at <= '9'; ++at)
    number = number * 10 + static_cast<std::size_t>(*at - '0');
  return number;
}

// What is read once and then remembered. Two threads may read the same value at the same time.
// protocol: any thread writes, the same value each time; relaxed, for nothing else is published.
constexpr std::size_t kUnread = ~std::size_t{0};
constinit std::atomic<std::size_t> cached_page_bytes{kUnread};
constinit std::atomic<std::size_t> cached_huge_page_bytes{kUnread};
constinit std::atomic<std::size_t> cached_gives_huge_pages{kUnread};
constinit std::atomic<std::size_t> cached_mappings_max{kUnread};
constinit std::atomic<bool> names_refused{false}, guards_refused{false};

struct MapFlags {
  int rights;
  int flags;
};

MapFlags flags_of(MapKind kind) noexcept {
  constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  switch (kind) {
    case MapKind::kNormal:
      return {kAccess, kAnonymous};
    case MapKind::kPopulate:
      return {kAccess, kAnonymous | MAP_POPULATE};
    case MapKind::kReserve:
      return {PROT_NONE, kAnonymous | MAP_NORESERVE};
    case MapKind::kHugetlb:
      return {kAccess,
              kAnonymous | MAP_HUGETLB | static_cast<int>(log2_exact(Linux::huge_page_bytes()) << MAP_HUGE_SHIFT)};
  }
  __builtin_unreachable();
}

std::uint32_t* futex_word(std::atomic<std::uint32_t>& word) noexcept {
  static_assert(sizeof word == sizeof(std::uint32_t) && std::atomic<std::uint32_t>::is_always_lock_free);
  return reinterpret_cast<std::uint32_t*>(&word);
}

}  // namespace

OsError Linux::classify(int code) noexcept {
  switch (code) {
    case 0:
      return OsError::kNone;
    case ENOMEM:
      return OsError::kOutOfMemory;
    case EINVAL:
    case ENOSYS:
    case EOPNOTSUPP:
      return OsError::kUnsupported;
    case EINTR:
    case EAGAIN:
    case EBUSY:
      return OsError::kInterrupted;
    case EFAULT:
      return OsError::kBadAddress;
    case EHWPOISON:
      return OsError::kPoisoned;
    case EPERM:
    case EACCES:
      return OsError::kPermission;
    default:
      return OsError::kUnexpected;
  }
}

std::size_t Linux::page_bytes() noexcept {
  std::size_t bytes = cached_page_bytes.load(std::memory_order_relaxed);
  if (bytes == kUnread) [[unlikely]] {
    ErrnoKept const kept;
    bytes = ::getauxval(AT_PAGESZ);
    if (bytes == 0) bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    cached_page_bytes.store(bytes, std::memory_order_relaxed);
  }
  return bytes;
}

std::size_t Linux::huge_page_bytes() noexcept {
  std::size_t bytes = cached_huge_page_bytes.load(std::memory_order_relaxed);
  if (bytes == kUnread) [[unlikely]] {
    bytes = number_in_file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    cached_huge_page_bytes.store(bytes, std::memory_order_relaxed);
  }
  return bytes;
}

bool Linux::gives_huge_pages() noexcept {
  std::size_t always = cached_gives_huge_pages.load(std::memory_order_relaxed);
  if (always == kUnread) [[unlikely]] {
    always = start_of_file("/sys/kernel/mm/transparent_hugepage/enabled").text[0] == '[' ? 1 : 0;  // "[always] ..."
    cached_gives_huge_pages.store(always, std::memory_order_relaxed);
  }
  return always != 0;
}

std::size_t Linux::mappings() noexcept {
  ErrnoKept const kept;
  long const fd = ::syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return 0;
  char text[4 * kKiB];
  std::size_t lines = 0;
  for (long length = 0; (length = ::syscall(SYS_read, fd, text, sizeof text)) > 0;)
    lines += static_cast<std::size_t>(std::count(text, text + length, '\n'));
  ::syscall(SYS_close, fd);
  return lines;
}

std::size_t Linux::mappings_max() noexcept {
  std::size_t count = cached_mappings_max.load(std::memory_order_relaxed);
  if (count == kUnread) [[unlikely]] {
    count = number_in_file("/proc/sys/vm/max_map_count");
    cached_mappings_max.store(count, std::memory_order_relaxed);
  }
  return count;
}

OsMapping Linux::map(void* hint, std::size_t bytes, MapKind kind) noexcept {
  if (kind == MapKind::kHugetlb && huge_page_bytes() == 0) return {nullptr, {classify(EINVAL), EINVAL}};
  ErrnoKept const kept;
  MapFlags const how = flags_of(kind);
  void* const address = ::mmap(hint, bytes, how.rights, how.flags, -1, 0);
  bool const failed = address == MAP_FAILED;
  return {failed ? nullptr : address, status_of(failed)};
}

OsStatus Linux::unmap(void* address, std::size_t bytes) noexcept {
  ErrnoKept const kept;
  return status_of(::munmap(address, bytes) != 0);
}

OsStatus Linux::resize(void* address, std::size_t old_bytes, std::size_t new_bytes) noexcept {
  ErrnoKept const kept;
  return status_of(::mremap(address, old_bytes, new_bytes, 0) == MAP_FAILED);
}

OsStatus Linux::move(void* address, std::size_t old_bytes, std::size_t new_bytes, void* to) noexcept {
  ErrnoKept const kept;
  return status_of(::mremap(address, old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED);
}

OsStatus Linux::protect_none(void* address, std::size_t bytes) noexcept { return protect(address, bytes, PROT_NONE); }

OsStatus Linux::protect_read_only(void* address, std::size_t bytes) noexcept {
  return protect(address, bytes, PROT_READ);
}

OsStatus Linux::seal(void* address, std::size_t bytes) noexcept {
  ErrnoKept const kept;
  return status_of(::syscall(SYS_mseal, address, bytes, 0) != 0);
}

int Linux::open_to_read(char const* path) noexcept {
  ErrnoKept const kept;
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0));
}

int Linux::open_to_append(char const* path) noexcept {
  ErrnoKept const kept;
  return static_cast<int>(
      ::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644));
}

std::size_t Linux::read_at(int fd, std::uint64_t offset, char* text, std::size_t bytes) noexcept {
  ErrnoKept const kept;
  for (;;) {
    long const got = ::syscall(SYS_pread64, fd, text, bytes, static_cast<off_t>(offset));
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return 0;
  }
}

std::size_t Linux::read(int fd, char* text, std::size_t bytes) noexcept {
  ErrnoKept const kept;
  for (;;) {
    long const got = ::syscall(SYS_read, fd, text, bytes);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return 0;
  }
}

void Linux::close(int fd) noexcept {
  ErrnoKept const kept;
  ::syscall(SYS_close, fd);
}

void Linux::sleep_ms(unsigned milliseconds) noexcept {
  ErrnoKept const kept;
  timespec const pause{milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1'000'000};
  ::syscall(SYS_nanosleep, &pause, nullptr);
}

void Linux::exit_now(int code) noexcept {
  for (;;) ::syscall(SYS_exit_group, code);
}

std::uint64_t Linux::entropy() noexcept {
  ErrnoKept const kept;
  std::uint64_t word = 0;
  return ::syscall(SYS_getrandom, &word, sizeof word, GRND_NONBLOCK) == sizeof word ? word : 0;
}

OsStatus Linux::protect_read_write(void* address, std::size_t bytes) noexcept {
  return protect(address, bytes, PROT_READ | PROT_WRITE);
}

OsStatus Linux::guard(void* address, std::size_t bytes) noexcept {
  if (!guards_split()) {
    OsStatus const status = advise(address, bytes, MADV_GUARD_INSTALL);
    if (status.ok()) return status;
    if (status.error == OsError::kUnsupported) guards_refused.store(true, std::memory_order_relaxed);
  }
  OsStatus const status = protect_none(address, bytes);
  if (status.ok()) purge(address, bytes);
  return status;
}

bool Linux::guards_split() noexcept { return guards_refused.load(std::memory_order_relaxed); }

OsStatus Linux::populate_write(void* address, std::size_t bytes) noexcept {
  return advise(address, bytes, MADV_POPULATE_WRITE);
}

void Linux::touch(void* address) noexcept {
  // The compiler must not see that the operand is zero: it may turn the addition into a load, which
  // maps the shared zero page instead of a page of our own. An addition is one instruction where
  // an `or` whose old value is wanted would be a loop that loads first, and so faults twice.
  std::uint32_t nothing = 0;
  asm volatile("" : "+r"(nothing));
  std::atomic_ref<std::uint32_t>(*static_cast<std::uint32_t*>(address)).fetch_add(nothing, std::memory_order_relaxed);
}

OsStatus Linux::purge(void* address, std::size_t bytes) noexcept { return advise(address, bytes, MADV_DONTNEED); }

OsStatus Linux::advise_huge(void* address, std::size_t bytes) noexcept { return advise(address, bytes, MADV_HUGEPAGE); }

OsStatus Linux::advise_no_huge(void* address, std::size_t bytes) noexcept {
  return advise(address, bytes, MADV_NOHUGEPAGE);
}

OsStatus Linux::collapse_huge(void* address, std::size_t bytes) noexcept {
  return advise(address, bytes, MADV_COLLAPSE);
}

void Linux::name(void* address, std::size_t bytes, char const* text) noexcept {
  if (names_refused.load(std::memory_order_relaxed)) return;
  ErrnoKept const kept;
  if (::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, address, bytes, text) != 0 && errno == EINVAL)
    names_refused.store(true, std::memory_order_relaxed);
}

std::uint64_t Linux::now_ms() noexcept {
  ErrnoKept const kept;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

void Linux::wait(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
  ErrnoKept const kept;
  ::syscall(SYS_futex, futex_word(word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void Linux::wait_for(std::atomic<std::uint32_t>& word, std::uint32_t value, std::uint64_t ms) noexcept {
  ErrnoKept const kept;
  timespec const limit{static_cast<time_t>(ms / 1000), static_cast<long>(ms % 1000) * 1'000'000};
  ::syscall(SYS_futex, futex_word(word), FUTEX_WAIT_PRIVATE, value, &limit, nullptr, 0);
}

void Linux::wake_one(std::atomic<std::uint32_t>& word) noexcept {
  ErrnoKept const kept;
  ::syscall(SYS_futex, futex_word(word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void Linux::write(int fd, char const* text, std::size_t bytes) noexcept {
  ErrnoKept const kept;
  while (bytes != 0) {
    long const written = ::syscall(SYS_write, fd, text, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

[[gnu::cold]] void panic(char const* file, int line, char const* text) noexcept {
  Line message;
  message.text("hakmem: ").text(file).text(":").number(static_cast<std::uint64_t>(line)).text(": ").text(text);
  message.write_to<Linux>(STDERR_FILENO);
  std::abort();
}

}  // namespace hakmem
