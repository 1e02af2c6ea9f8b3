// Asks for memory in every way and prints what it got:  fails [PLAN]
// A dot for a block, an x for a refusal with ENOMEM, a ? for anything else. PLAN goes to hak_fail_start().
#include <dlfcn.h>
#include <malloc.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

char verdicts[256];
std::size_t count = 0;

void note(void* block) {
  verdicts[count++] = block ? '.' : errno == ENOMEM ? 'x' : '?';
  std::free(block);
  errno = 0;
}

// A refused realloc leaves the block as it was.
void resize() {
  static char kept[64] = "kept";
  auto* const block = static_cast<char*>(std::malloc(sizeof kept));
  if (!block) return note(nullptr);
  std::memcpy(block, kept, sizeof kept);
  void* const moved = std::realloc(block, 9000);
  if (!moved && std::memcmp(block, kept, sizeof kept) == 0) {
    verdicts[count++] = errno == ENOMEM ? 'x' : '?';
    return std::free(block);
  }
  note(moved);
}

void ask_in_every_way() {
  note(std::malloc(10));
  note(std::calloc(10, 100));
  note(std::aligned_alloc(64, 10));
  void* out = nullptr;
  errno = posix_memalign(&out, 64, 5000);
  note(out);
  note(std::malloc(3 << 20));
  resize();
  void* const by_new = ::operator new(40, std::nothrow);
  verdicts[count++] = by_new ? '.' : 'x';
  ::operator delete(by_new);
}

}  // namespace

int main(int argc, char** argv) {
  auto* const start = reinterpret_cast<int (*)(char const*)>(dlsym(RTLD_DEFAULT, "hak_fail_start"));
  auto* const refused = reinterpret_cast<std::uint64_t (*)()>(dlsym(RTLD_DEFAULT, "hak_fail_count"));
  int const error = argc > 1 ? start(argv[1]) : 0;
  errno = 0;
  for (int round = 0; round < 6; ++round) ask_in_every_way();
  auto const times = static_cast<unsigned>(refused());
  if (argc > 1) start(nullptr);
  std::printf("%s %u %d\n", verdicts, times, error);
}
