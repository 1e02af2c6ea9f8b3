// Shows that operator new of this program is hakmem's: large vectors appear in hakmem's figures.
#include <hakmem/hakmem.h>

#include <cstdint>
#include <cstdio>
#include <vector>

static std::uint64_t large_blocks() {
  hak_statistics figures{};
  figures.size = sizeof figures;
  return hak_stats(&figures) == 0 ? figures.large_blocks_now : 0;
}

int main() {
  std::uint64_t const before = large_blocks();
  std::vector<std::vector<char>> blocks(5);
  for (std::vector<char>& block : blocks) block.resize(4 << 20);
  int const seen = static_cast<int>(large_blocks() - before);
  std::printf("hakmem %s saw %d of 5 blocks\n", hak_version(), seen);
  return seen == 5 ? 0 : 1;
}
