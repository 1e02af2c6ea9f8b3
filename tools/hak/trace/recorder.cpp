// The library that `hak trace record` preloads: it hands each allocation call to the C library and writes it down
// (recording.h). It needs libc alone, takes no lock and maps one chunk for each thread.
//
// The C library's own names serve the calls, so that nothing has to be looked up and every block has one origin.
// Calls in a signal handler that interrupts a call of the same thread are served, but not recorded.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/hak/trace/recording.h"

extern "C" {
void* __libc_malloc(size_t bytes) noexcept;
void* __libc_calloc(size_t count, size_t size) noexcept;
void* __libc_realloc(void* block, size_t bytes) noexcept;
void* __libc_memalign(size_t alignment, size_t bytes) noexcept;
void __libc_free(void* block) noexcept;
}

namespace hakmem::tools {
namespace {

// Set before main() and constant from then on.
constinit RecordingHead* head = nullptr;  // null: nothing is recorded
constinit char path[4096];
constinit pthread_key_t thread_end = 0;
using UsableSize = size_t (*)(void*);

// The image's number, 0 before its first chunk. Its page is zero in a forked child, which is another image.
constinit std::atomic<std::uint32_t>* image = nullptr;

struct Writer {
  std::uint8_t* chunk;  // null: none yet
  std::uint8_t* at;
  std::uint64_t ticket;
  std::uint64_t address;
  std::uint32_t image;
  bool busy;

  void number(std::uint64_t value) {
    for (; value >= 128; value >>= 7) *at++ = static_cast<std::uint8_t>(value | 128);
    *at++ = static_cast<std::uint8_t>(value);
  }
  void place(void const* block) {
    auto const value = reinterpret_cast<std::uint64_t>(block);
    auto const distance = static_cast<std::int64_t>(value - address);
    number(static_cast<std::uint64_t>(distance) << 1 ^ static_cast<std::uint64_t>(distance >> 63));
    address = value;
  }
};
[[gnu::tls_model("initial-exec")]] constinit thread_local Writer writer{};

void drop_chunk() {
  if (writer.chunk) munmap(writer.chunk, kChunkBytes);
  writer.chunk = nullptr;
}

// By system calls of their own: the C library's functions are points where a thread may be cancelled.
void* map_chunk(std::uint64_t index) {
  int const file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC));
  if (file < 0) return MAP_FAILED;
  auto const offset = static_cast<off_t>(index * kChunkBytes);
  void* chunk = MAP_FAILED;
  // Space is reserved, because a full disc is a signal to those who write to a mapped file.
  if (syscall(SYS_fallocate, file, 0, offset, kChunkBytes) == 0)
    chunk = mmap(nullptr, kChunkBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, offset);
  int const error = errno;
  syscall(SYS_close, file);
  errno = error;
  return chunk;
}

std::uint32_t image_number() {
  std::uint32_t number = image->load(std::memory_order_relaxed);
  if (number != 0) return number;
  std::uint32_t const fresh = head->images.fetch_add(1, std::memory_order_relaxed) + 1;
  return image->compare_exchange_strong(number, fresh, std::memory_order_relaxed) ? fresh : number;
}

bool take_chunk() {
  drop_chunk();
  if (head->failure.load(std::memory_order_relaxed) != 0) return false;
  void* const chunk = map_chunk(head->chunks.fetch_add(1, std::memory_order_relaxed));
  if (chunk == MAP_FAILED) {
    std::int32_t none = 0;
    head->failure.compare_exchange_strong(none, errno, std::memory_order_relaxed);
    return false;
  }
  writer.chunk = static_cast<std::uint8_t*>(chunk);
  writer.image = image_number();
  ChunkHead title{writer.image, static_cast<std::uint32_t>(gettid()), {}};
  strncpy(title.program, program_invocation_short_name, sizeof title.program - 1);
  memcpy(chunk, &title, sizeof title);
  writer.at = writer.chunk + sizeof title;
  writer.ticket = writer.address = 0;
  pthread_setspecific(thread_end, &writer);
  return true;
}

// A call of the program's while it is recorded: the right to write, and the errno that the program knows.
class Turn {
 public:
  Turn() : mine_(head && !writer.busy), error_(errno) {
    if (mine_) writer.busy = true;
  }
  ~Turn() {
    if (mine_) writer.busy = false;
    errno = error_;
  }
  Turn(Turn const&) = delete;
  Turn& operator=(Turn const&) = delete;

  std::uint64_t ticket() const { return mine_ ? head->tickets.fetch_add(1, std::memory_order_relaxed) : 0; }

  // write() appends the call's numbers behind the ticket.
  template <class Write>
  void record(RecordTag tag, std::uint64_t ticket, Write write) {
    if (!mine_ || ticket >= head->limit) return;
    bool const room = writer.chunk && writer.image == image->load(std::memory_order_relaxed) &&
                      writer.chunk + kChunkBytes - writer.at >= static_cast<ptrdiff_t>(kMostRecordBytes);
    if (!room && !take_chunk()) return;
    std::uint8_t* const start = writer.at++;
    writer.number(ticket - writer.ticket);
    writer.ticket = ticket;
    write();
    std::atomic_ref(*start).store(static_cast<std::uint8_t>(tag), std::memory_order_release);
  }
  // The errno of a call that failed is the program's to see.
  void keep_errno() { error_ = errno; }

 private:
  bool const mine_;
  int error_;
};

void* record_block(Turn& turn, RecordTag tag, size_t bytes, void* block) {
  if (!block) turn.keep_errno();
  if (block) turn.record(tag, turn.ticket(), [&] { writer.number(bytes), writer.place(block); });
  return block;
}

void* aligned(size_t alignment, size_t bytes) {
  Turn turn;
  void* const block = __libc_memalign(alignment, bytes);
  if (!block) turn.keep_errno();
  if (block)
    turn.record(RecordTag::kAligned, turn.ticket(),
                [&] { writer.number(bytes), writer.number(alignment), writer.place(block); });
  return block;
}

void release(void* block) {
  if (!block) return;
  Turn turn;
  turn.record(RecordTag::kFree, turn.ticket(), [&] { writer.place(block); });
  __libc_free(block);
}

void* resize(void* old, size_t bytes) {
  Turn turn;
  std::uint64_t const begun = turn.ticket();
  void* const block = __libc_realloc(old, bytes);
  if (!block) turn.keep_errno();
  if (!block && bytes != 0) return nullptr;  // the old one stays
  if (!block) {
    turn.record(RecordTag::kFree, begun, [&] { writer.place(old); });
    return nullptr;
  }
  std::uint64_t const ended = turn.ticket();
  turn.record(RecordTag::kRealloc, begun,
              [&] { writer.number(bytes), writer.place(old), writer.number(ended - begun), writer.place(block); });
  return block;
}

bool open_recording(char const* name) {
  if (!name || strlen(name) >= sizeof path) return false;
  strcpy(path, name);
  void* const page =
      mmap(nullptr, static_cast<size_t>(getpagesize()), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || madvise(page, static_cast<size_t>(getpagesize()), MADV_WIPEONFORK) != 0) return false;
  image = static_cast<std::atomic<std::uint32_t>*>(page);
  return pthread_key_create(&thread_end, [](void*) { drop_chunk(); }) == 0;
}

[[gnu::constructor]] void start() {
  if (!open_recording(getenv(kRecordingVariable))) return;
  void* const first = map_chunk(0);
  if (first != MAP_FAILED) head = static_cast<RecordingHead*>(first);
}

}  // namespace
}  // namespace hakmem::tools

using hakmem::tools::RecordTag;
using hakmem::tools::Turn;

extern "C" {

void* malloc(size_t bytes) noexcept {
  Turn turn;
  return record_block(turn, RecordTag::kMalloc, bytes, __libc_malloc(bytes));
}
void* calloc(size_t count, size_t size) noexcept {
  Turn turn;
  return record_block(turn, RecordTag::kCalloc, count * size, __libc_calloc(count, size));
}
void free(void* block) noexcept { hakmem::tools::release(block); }
void cfree(void* block) noexcept { hakmem::tools::release(block); }
void* realloc(void* block, size_t bytes) noexcept {
  return block ? hakmem::tools::resize(block, bytes) : malloc(bytes);
}
void* reallocarray(void* block, size_t count, size_t size) noexcept {
  size_t bytes = 0;
  if (!__builtin_mul_overflow(count, size, &bytes)) return realloc(block, bytes);
  errno = ENOMEM;
  return nullptr;
}
void* memalign(size_t alignment, size_t bytes) noexcept { return hakmem::tools::aligned(alignment, bytes); }
void* aligned_alloc(size_t alignment, size_t bytes) noexcept { return hakmem::tools::aligned(alignment, bytes); }
int posix_memalign(void** out, size_t alignment, size_t bytes) noexcept {
  if (alignment % sizeof(void*) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  int const error = errno;
  void* const block = hakmem::tools::aligned(alignment, bytes);
  errno = error;
  if (block) *out = block;
  return block ? 0 : ENOMEM;
}
void* valloc(size_t bytes) noexcept { return hakmem::tools::aligned(static_cast<size_t>(getpagesize()), bytes); }
void* pvalloc(size_t bytes) noexcept {
  auto const page = static_cast<size_t>(getpagesize());
  return hakmem::tools::aligned(page, (bytes + page - 1) / page * page);
}
// Not that of an allocator which the program is linked with: its blocks come from here.
size_t malloc_usable_size(void* block) noexcept {
  static auto const of_libc =
      reinterpret_cast<hakmem::tools::UsableSize>(dlsym(dlopen("libc.so.6", RTLD_LAZY), "malloc_usable_size"));
  return of_libc(block);
}

}  // extern "C"
