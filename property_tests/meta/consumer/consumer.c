/* Shows that malloc of this program is hakmem's: large blocks from malloc appear in hakmem's figures. */
#include <hakmem/hakmem.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t large_blocks(void) {
  struct hak_statistics figures;
  figures.size = sizeof figures;
  return hak_stats(&figures) == 0 ? figures.large_blocks_now : 0;
}

int main(void) {
  uint64_t const before = large_blocks();
  void* volatile blocks[5];
  for (int i = 0; i < 5; i++) blocks[i] = malloc(4 << 20);
  uint64_t const seen = large_blocks() - before;
  for (int i = 0; i < 5; i++) free(blocks[i]);
  printf("hakmem %s saw %d of 5 blocks\n", hak_version(), (int)seen);
  return seen == 5 ? 0 : 1;
}
