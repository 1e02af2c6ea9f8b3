/* Under RLIMIT_AS: what does not fit is NULL and ENOMEM, what was there before stays intact. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "expect.h"

enum { kBlocks = 200000 };
static unsigned char* blocks[kBlocks];
static size_t sizes[kBlocks];

static void fill_until_refused(size_t first, size_t factor) {
  int count = 0;
  size_t size = first;
  for (; count < kBlocks; ++count) {
    errno = 0;
    blocks[count] = malloc(size);
    if (!blocks[count]) break;
    sizes[count] = size;
    memset(blocks[count], count & 0xff, size);
    size = size * factor > 4000000 ? first : size * factor;
  }
  EXPECT(count > 0 && count < kBlocks);
  EXPECT(errno == ENOMEM);
  errno = 0;
  EXPECT(calloc(1, 300 << 20) == NULL && errno == ENOMEM);
  errno = 0;
  EXPECT(aligned_alloc(1 << 20, 300 << 20) == NULL && errno == ENOMEM);
  void* out = &out;
  EXPECT(posix_memalign(&out, 1 << 20, 300 << 20) == ENOMEM && out == &out);
  errno = 0;
  EXPECT(realloc(blocks[0], 300 << 20) == NULL && errno == ENOMEM);
  for (int i = 0; i < count; ++i)
    for (size_t at = 0; at < sizes[i]; ++at) EXPECT(blocks[i][at] == (i & 0xff));
  for (int i = 0; i < count; ++i) free(blocks[i]);
  void* const again = malloc(first);
  EXPECT(again);
  free(again);
}

int main(void) {
  struct rlimit const limit = {256 << 20, 256 << 20};
  EXPECT(setrlimit(RLIMIT_AS, &limit) == 0);
  fill_until_refused(3000, 1);
  fill_until_refused(40000, 1);
  fill_until_refused(3000000, 1);
  fill_until_refused(3000, 3);
  return 0;
}
