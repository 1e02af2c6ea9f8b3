/* A C program, linked without a C++ library: every exported C name once, and the header from C. */
#define _GNU_SOURCE
#include <errno.h>
#include <hakmem/hakmem.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"

/* Not declared by every libc. */
void free_sized(void* block, size_t size);
void free_aligned_sized(void* block, size_t alignment, size_t size);
void cfree(void* block);
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void* __libc_valloc(size_t size);
void* __libc_pvalloc(size_t size);
void __libc_free(void* block);

static int aligned(void const* block, size_t alignment) { return block && (uintptr_t)block % alignment == 0; }

static void libc_names(void) {
  size_t const page = (size_t)sysconf(_SC_PAGESIZE);
  void* block = NULL;
  EXPECT(aligned(block = malloc(100), 16));
  EXPECT(malloc_usable_size(block) >= 100);
  EXPECT((block = realloc(block, 5000)) != NULL);
  EXPECT((block = reallocarray(block, 100, 100)) != NULL);
  free(block);
  free_sized(malloc(10), 10);
  free_aligned_sized(aligned_alloc(64, 128), 64, 128);
  cfree(calloc(3, 5));
  EXPECT(aligned(block = memalign(4096, 10), 4096));
  free(block);
  EXPECT(posix_memalign(&block, 256, 10) == 0 && aligned(block, 256));
  free(block);
  EXPECT(aligned(block = valloc(10), page));
  free(block);
  EXPECT(aligned(block = pvalloc(10), page) && malloc_usable_size(block) >= page);
  free(block);
}

static void glibc_internal_names(void) {
  void* block = __libc_malloc(10);
  EXPECT((block = __libc_realloc(block, 2000)) != NULL);
  free(block);
  free(__libc_calloc(2, 3));
  free(__libc_valloc(1));
  free(__libc_pvalloc(1));
  EXPECT(aligned(block = __libc_memalign(512, 1), 512));
  __libc_free(block);
}

static void information(void) {
  char text[8192] = "";
  FILE* stream = fmemopen(text, sizeof text, "w");
  EXPECT(stream && malloc_info(0, stream) == 0 && malloc_info(1, stream) == EINVAL);
  fclose(stream);
  EXPECT(strstr(text, "<malloc version=\"hakmem-") == text && strstr(text, "</malloc>"));
  void* const held = malloc(1000);
  EXPECT(mallinfo2().uordblks >= 1000 && mallinfo2().arena >= mallinfo2().uordblks);
  EXPECT(mallinfo().uordblks >= 1000);
  free(held);
  EXPECT(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 0);
  int const trimmed = malloc_trim(0);
  EXPECT(trimmed == 0 || trimmed == 1);
  malloc_stats();
}

static size_t pieces;
static void count_piece(void* context, char const* text, size_t bytes) {
  pieces += bytes;
  free(malloc(bytes)); /* allowed here */
  EXPECT(fwrite(text, 1, bytes, (FILE*)context) == bytes);
}

static void own_names(void) {
  void* block = hak_malloc(10);
  EXPECT(hak_usable_size(block) >= 10 && hak_usable_size(NULL) == 0);
  EXPECT((block = hak_realloc(block, 100)) != NULL);
  hak_free(block);
  free(hak_calloc(4, 4));
  hak_free(malloc(4));
  EXPECT(aligned(block = hak_aligned_alloc(1 << 16, 1), 1 << 16));
  hak_free(block);

  struct hak_statistics all = {.size = sizeof all};
  EXPECT(hak_stats(&all) == 0 && all.size == sizeof all && all.small_blocks_handed_out > 0);
  struct hak_statistics some;
  memset(&some, 0xff, sizeof some);
  some.size = offsetof(struct hak_statistics, large_blocks_now);
  EXPECT(hak_stats(&some) == 0 && some.size == offsetof(struct hak_statistics, large_blocks_now));
  EXPECT(some.small_blocks_now != UINT64_MAX && some.large_blocks_now == UINT64_MAX);
  some.size = 1;
  EXPECT(hak_stats(&some) == EINVAL && hak_stats(NULL) == EINVAL);

  FILE* sink = tmpfile();
  EXPECT(sink && hak_stats_print(HAK_FORMAT_JSON, count_piece, sink) == 0 && pieces > 500);
  EXPECT(hak_stats_print(HAK_FORMAT_TEXT, count_piece, sink) == 0);
  EXPECT(hak_stats_print((enum hak_format)7, count_piece, sink) == EINVAL);
  EXPECT(hak_stats_print(HAK_FORMAT_TEXT, NULL, NULL) == 0);
  fclose(sink);
  EXPECT(hak_warmup(4 << 20) >= 4 << 20);
  int const trimmed = hak_trim();
  EXPECT(trimmed == 0 || trimmed == 1);
  EXPECT(hak_check_heap() == 1);
  EXPECT(hak_fail_start(NULL) == 0 || hak_fail_start(NULL) == ENOTSUP);
  EXPECT(hak_fail_count() == 0 && strcmp(hak_fail_token(), "") == 0);
  EXPECT(strcmp(hak_version(), HAK_VERSION_STRING) == 0);
}

int main(void) {
  libc_names();
  glibc_internal_names();
  information();
  own_names();
  return 0;
}
