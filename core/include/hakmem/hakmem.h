/* hakmem: the public C API. Also usable from C++.
 *
 * A program needs none of this to use the library: linked or preloaded, it serves malloc, free,
 * the C++ operators and the rest of the family. The hak_ functions are the same allocator under
 * its own names - a block from either family may be given to the other - and what libc has no
 * name for.
 *
 * Sizes are bytes. All functions may be called by any thread at any time, except where stated:
 * none of them is async-signal-safe.
 */
#ifndef HAKMEM_HAKMEM_H
#define HAKMEM_HAKMEM_H

#include <stddef.h>
#include <stdint.h>

#define HAK_VERSION_MAJOR 0
#define HAK_VERSION_MINOR 1
#define HAK_VERSION_PATCH 0
#define HAK_VERSION_STRING "0.1.0"

#define HAK_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define HAK_NOEXCEPT noexcept
extern "C" {
#else
#define HAK_NOEXCEPT
#endif

/* A new block of at least `size` bytes, aligned to 16; hak_malloc(0) gives a unique block.
 * Errors: NULL with errno ENOMEM - no memory, or size > PTRDIFF_MAX. Source: malloc(3), C17 7.22.3.4. */
HAK_API void* hak_malloc(size_t size) HAK_NOEXCEPT;

/* A new block of count * size bytes, all zero.
 * Errors: NULL with errno ENOMEM - also when the product overflows. Source: calloc(3), C17 7.22.3.2. */
HAK_API void* hak_calloc(size_t count, size_t size) HAK_NOEXCEPT;

/* The block resized, perhaps moved; the first min(old, new) bytes keep their contents.
 * hak_realloc(NULL, size) is hak_malloc(size); hak_realloc(block, 0) frees the block and returns NULL.
 * Errors: NULL with errno ENOMEM, and the block stays as it was. Source: realloc(3), as glibc does it. */
HAK_API void* hak_realloc(void* block, size_t size) HAK_NOEXCEPT;

/* Gives a block back. NULL is allowed. Keeps errno. Source: free(3), POSIX.1-2024. */
HAK_API void hak_free(void* block) HAK_NOEXCEPT;

/* A new block of `size` bytes aligned to `alignment`, a power of two up to 1 GiB; `size` need not be a multiple.
 * Errors: NULL with errno EINVAL (alignment) or ENOMEM. Source: aligned_alloc(3), C17 7.22.3.1. */
HAK_API void* hak_aligned_alloc(size_t alignment, size_t size) HAK_NOEXCEPT;

/* The bytes of the block that the program may use: at least what it asked for; 0 for NULL.
 * Source: malloc_usable_size(3). */
HAK_API size_t hak_usable_size(void const* block) HAK_NOEXCEPT;

/* Figures about the allocator. Members ending in `_now` are current, the others totals since start; `bytes` are
 * bytes, the rest counts. Those of running threads are approximate: blocks that their next
 * allocations will get count as held. New members are added at the end only. */
struct hak_statistics {
  size_t size;                      /* sizeof(struct hak_statistics), set by the caller before hak_stats() */
  uint64_t small_blocks_now;        /* blocks up to 1 MiB that the program holds */
  uint64_t small_bytes_now;         /* their block sizes */
  uint64_t large_blocks_now;        /* larger blocks that the program holds, each its own mapping */
  uint64_t large_bytes_now;         /* their sizes */
  uint64_t small_blocks_handed_out; /* small blocks given to thread heaps: a lower bound of the allocations */
  uint64_t medium_blocks_allocated; /* allocations served by a span of their own */
  uint64_t large_blocks_allocated;  /* allocations served by a mapping of their own */
  uint64_t large_cache_hits;        /* of these, served by a cached mapping */
  uint64_t remote_batches;          /* batches of blocks sent to the heaps that own them */
  uint64_t super_slabs_now;         /* 2 MiB regions mapped */
  uint64_t super_slabs_warm_now;    /* of these, free with their pages present */
  uint64_t super_slabs_cold_now;    /* of these, free without pages */
  uint64_t super_slabs_mapped;      /* regions mapped in total */
  uint64_t super_slabs_released;    /* regions unmapped in total */
  uint64_t large_cached_bytes_now;  /* free pages kept for reuse */
  uint64_t metadata_bytes_now;      /* the allocator's own descriptors */
  uint64_t leftover_bytes_now;      /* cut-off ranges that the kernel refused to unmap so far */
  uint64_t map_calls;               /* system calls */
  uint64_t unmap_calls;
  uint64_t purge_calls;
  uint64_t purged_bytes;             /* given back to the system in place */
  uint64_t prefault_asked_bytes;     /* wanted present ahead of use */
  uint64_t prefault_populated_bytes; /* made present ahead of use */
  uint64_t out_of_memory;            /* requests refused */
  uint64_t heaps_now;                /* thread heaps made */
  uint64_t heaps_parked_now;         /* of these, without a thread */
  uint64_t guarded_blocks_allocated; /* blocks given pages of their own between guard pages */
  uint64_t guarded_blocks_forgone;   /* blocks chosen for them that got none */
  uint64_t guards_refused;           /* guard pages that the kernel refused */
};

/* Fills in the first `out->size` bytes of the figures; set it to sizeof *out before. On return it says how many
 * bytes are filled in, at most what was asked, so that program and library may be of different versions.
 * Errors: returns EINVAL when out is NULL or out->size is less than sizeof out->size; otherwise 0. */
HAK_API int hak_stats(struct hak_statistics* out) HAK_NOEXCEPT;

enum hak_format { HAK_FORMAT_TEXT = 0, HAK_FORMAT_JSON = 1 };

/* Takes a piece of text; `text` is not null-terminated. */
typedef void (*hak_write_function)(void* context, char const* text, size_t bytes);

/* Writes the figures through `write`, or to standard error when it is NULL. No lock is held meanwhile: `write` may
 * allocate. Errors: returns EINVAL for an unknown format, otherwise 0. */
HAK_API int hak_stats_print(enum hak_format format, hak_write_function write, void* context) HAK_NOEXCEPT;

/* Makes `bytes` of memory resident before the program needs it. Returns the bytes that really are. */
HAK_API size_t hak_warmup(size_t bytes) HAK_NOEXCEPT;

/* Gives free memory back to the system at once. Returns 1 when any was given back, else 0.
 * Source: malloc_trim(3). */
HAK_API int hak_trim(void) HAK_NOEXCEPT;

/* Walks the whole heap and checks its structures: 1 when they are consistent, else 0. Exact only while no other
 * thread allocates or frees. The checked build also looks at every block and reports those that were damaged. */
HAK_API int hak_check_heap(void) HAK_NOEXCEPT;

/* Is given each error that the checked build reports: its kind, as in "double-free", and the whole text, which is not
 * null-terminated. It runs in the thread that made the error, before HAKMEM_ON_ERROR takes effect. It may not allocate
 * or free; it may end the process, or leave by longjmp, and then the call that was refused has changed nothing. */
typedef void (*hak_report_callback)(void* context, char const* kind, char const* text, size_t bytes);

/* Sets the callback, or none with NULL. The fast build reports nothing and never calls it. */
HAK_API void hak_set_report_callback(hak_report_callback callback, void* context) HAK_NOEXCEPT;

/* Refuses requests on purpose from now on, as if memory were short: NULL and ENOMEM, and a failed new calls its
 * handler. `plan` is written as for HAKMEM_FAIL: "nth:N", "every:N" or "rate:P", each perhaps with ",size>=S" and
 * ",seed:N". Requests are counted from 1 again; NULL ends it. No other thread may allocate meanwhile.
 * Errors: returns EINVAL for a malformed plan, ENOTSUP in the fast build; otherwise 0. */
HAK_API int hak_fail_start(char const* plan) HAK_NOEXCEPT;

/* Requests refused since hak_fail_start(), or since the program started under HAKMEM_FAIL. */
HAK_API uint64_t hak_fail_count(void) HAK_NOEXCEPT;

/* "HAKMEM_FAIL=..." that refuses the same requests in another run, or an empty string; valid until the next
 * hak_fail_start(). Reports show it too. */
HAK_API char const* hak_fail_token(void) HAK_NOEXCEPT;

/* HAK_VERSION_STRING of the library that is loaded; a constant string. */
HAK_API char const* hak_version(void) HAK_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
