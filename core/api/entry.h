// What it owns: libc's allocation calls, each once - errno, zero sizes, alignment, overflow - over
// a runtime that yields the allocator and the calling thread's heap. The library exports these;
// tests run them beside libc's.
// Invariants: this is where environment failures become NULL and ENOMEM, and nowhere else.
// Thread-safety: all functions, any thread.
#pragma once

#include <malloc.h>

#include <cerrno>
#include <cstdio>

#include "core/api/report.h"
#include "core/base/kernels.h"
#include "core/mode/mode.h"

namespace hakmem {

template <class Runtime>
struct Entry {
  using Core = typename Runtime::Core;
  using Heap = typename Runtime::Heap;
  using Slab = typename Core::Slab;

  [[gnu::always_inline]] static void* malloc(std::size_t bytes) noexcept {
    return allocate_or<AllocationKind::kMalloc>(bytes,
                                                [](std::size_t wanted, Slab* dry) { return malloc_slow(wanted, dry); });
  }

  [[gnu::always_inline]] static void free(void* block) noexcept { release<AllocationKind::kMalloc>(block); }

  [[gnu::always_inline]] static void* calloc(std::size_t count, std::size_t size) noexcept {
    enter();
    auto const [bytes, overflowed] = kernels::multiply(count, size);
    if (overflowed) return out_of_memory();
    return or_enomem(served(bytes, [bytes](Heap* heap) { return core().allocate_zeroed(heap, bytes); }));
  }

  // realloc(block, 0) frees and returns NULL, errno untouched, as glibc does.
  [[gnu::always_inline]] static void* realloc(void* block, std::size_t bytes) noexcept {
    enter();
    if (!block) return malloc(bytes);
    if (bytes == 0) {
      free(block);
      return nullptr;
    }
    return or_enomem(served(bytes, [=](Heap* heap) { return core().reallocate(heap, block, bytes); }));
  }

  [[gnu::always_inline]] static void* reallocarray(void* block, std::size_t count, std::size_t size) noexcept {
    auto const [bytes, overflowed] = kernels::multiply(count, size);
    return overflowed ? out_of_memory() : realloc(block, bytes);
  }

  [[gnu::always_inline]] static void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
    enter();
    if (!alignment_is_valid(alignment)) {
      errno = EINVAL;
      return nullptr;
    }
    return or_enomem(allocate_aligned(alignment, bytes, AllocationKind::kMalloc));
  }

  // Returns the error instead of setting errno; *out changes on success only.
  [[gnu::always_inline]] static int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) noexcept {
    enter();
    if (!alignment_is_valid(alignment) || alignment < sizeof(void*)) return EINVAL;
    void* const block = allocate_aligned(alignment, bytes, AllocationKind::kMalloc);
    if (!block) return ENOMEM;
    *out = block;
    return 0;
  }

  [[gnu::always_inline]] static void* valloc(std::size_t bytes) noexcept {
    return aligned_alloc(Runtime::page_bytes(), bytes);
  }

  [[gnu::always_inline]] static void* pvalloc(std::size_t bytes) noexcept {
    if (bytes > kernels::kMaxRequest) return out_of_memory();
    return valloc(kernels::align_up(bytes, Runtime::page_bytes()));
  }

  [[gnu::always_inline]] static std::size_t malloc_usable_size(void* block) noexcept {
    if (!block) return 0;
    if constexpr (!Runtime::kFastPaths) {
      std::size_t bytes = 0;
      if (core().find_usable_bytes(block, bytes)) [[likely]]
        return bytes;
    }
    enter();
    return core().usable_bytes(block);
  }

  // `pad` is a hint about a contiguous heap's top; this heap has none.
  static int malloc_trim(std::size_t) noexcept { return core().trim(Runtime::heap()); }

  // Every parameter of glibc's tunes a mechanism that is not here: each is refused.
  static int mallopt(int, int) noexcept { return 0; }

  static struct mallinfo2 mallinfo2() noexcept { return to_mallinfo2(Runtime::statistics(), Runtime::kSuperSlabBytes); }
  static struct mallinfo mallinfo() noexcept { return to_mallinfo(mallinfo2()); }

  static int malloc_info(int options, std::FILE* stream) noexcept {
    if (options != 0) return EINVAL;
    TextWriter out(&write_to_stream, stream);
    write_statistics_xml(out, Runtime::statistics());
    return 0;
  }

  static void malloc_stats() noexcept { Runtime::write_report(StatsReport::kText); }

  // The fast path of malloc; what it has no block for is the result of miss(bytes, dry), where
  // `dry` is the slab that was found empty, or null.
  template <AllocationKind kind, class Miss>
  [[gnu::always_inline]] static void* allocate_or(std::size_t bytes, Miss miss) {
    if constexpr (Runtime::kFastPaths) {
      if (bytes <= Core::kDirectMax) [[likely]] {
        Slab* const slab = Core::active_slab(Runtime::heap(), bytes);
        if (void* const block = Core::pop(slab)) [[likely]]
          return block;
        return miss(bytes, slab);
      }
      return miss(bytes, nullptr);
    } else {
      enter();
      return allocate_checked<kind>(bytes, miss);
    }
  }

  // The rest of malloc, but null leaves errno alone: the caller decides what comes next.
  static void* allocate(std::size_t bytes, Slab* dry, AllocationKind kind) noexcept {
    if (dry)
      if (void* const block = Runtime::heap()->allocate_where_room(dry)) [[likely]]
        return block;
    bool const missed = dry && Runtime::heap()->attached();
    return served(bytes, [=](Heap* heap) {
      return missed ? core().allocate_after_miss(heap, bytes, dry, kind) : core().allocate(heap, bytes, kind);
    });
  }

  // Domain: a valid alignment.
  static void* allocate_aligned(std::size_t alignment, std::size_t bytes, AllocationKind kind) noexcept {
    return served(bytes, [=](Heap* heap) { return core().allocate_aligned(heap, bytes, alignment, kind); });
  }

  // free and the operators delete, with what they are told of the block.
  template <AllocationKind kind>
  [[gnu::always_inline]] static void release(void* block, std::size_t bytes = Claim::kUnsaid) noexcept {
    if constexpr (Runtime::kFastPaths) {
      if (Core::try_release(Runtime::heap(), block)) [[likely]]
        return;
      Runtime::template release_missed<kind>(block);
    } else {
      enter();
      Runtime::template release_checked<kind>(block, bytes);
    }
  }
  template <AllocationKind kind>
  [[gnu::always_inline]] static void release(void* block, std::size_t bytes, std::size_t alignment) noexcept {
    if constexpr (Runtime::kFastPaths) {
      release<kind>(block);
    } else {
      enter();
      Runtime::release(block, {kind, bytes, alignment});
    }
  }

  // First in each exported function, and in those that a fast path ends in: a mode that makes reports
  // tells who called.
  [[gnu::always_inline]] static void enter() noexcept { Runtime::note_caller(__builtin_frame_address(0)); }

  static constexpr bool alignment_is_valid(std::size_t alignment) noexcept {
    return kernels::is_power_of_two(alignment) && alignment <= kMaxAlignment;
  }

 private:
  static Core& core() noexcept { return Runtime::core(); }

  // A function of its own, which the exported ones jump to: their frames are gone by then, but what entered() took.
  template <AllocationKind kind, class Miss>
  [[gnu::noinline]] static void* allocate_checked(std::size_t bytes, Miss miss) {
    if (void* const block = core().allocate_ordinary(Runtime::heap(), bytes, kind)) [[likely]]
      return block;
    return miss(bytes, nullptr);
  }

  static void* out_of_memory() noexcept {
    errno = ENOMEM;
    return nullptr;
  }

  static void* counted(void* block) noexcept {
    if (!block) [[unlikely]]
      Runtime::count_refusal();
    return block;
  }

  // Where each request for memory passes; null: refused, by the system or on purpose.
  template <class Work>
  [[gnu::always_inline]] static void* served([[maybe_unused]] std::size_t bytes, Work work) noexcept {
    if constexpr (Runtime::kFastPaths)
      return counted(Runtime::with_heap(work));
    else  // with the heap at hand, because the first call reads the options
      return counted(Runtime::with_heap(
          [=](Heap* heap) -> void* { return Runtime::Mode::refuses(bytes) ? nullptr : work(heap); }));
  }

  static void* or_enomem(void* block) noexcept { return block ? block : out_of_memory(); }

  [[gnu::noinline]] static void* malloc_slow(std::size_t bytes, Slab* dry) noexcept {
    if constexpr (Runtime::kFastPaths) enter();
    return or_enomem(allocate(bytes, dry, AllocationKind::kMalloc));
  }

  static void write_to_stream(void* stream, char const* text, std::size_t bytes) noexcept {
    std::fwrite(text, 1, bytes, static_cast<std::FILE*>(stream));
  }
};

}  // namespace hakmem
