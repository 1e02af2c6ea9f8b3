// An allocator whose realloc does not keep contents, to be found by a replay.
#include <cstddef>
#include <cstring>

extern "C" {
void* __libc_malloc(std::size_t bytes);
void __libc_free(void* block);
void* __libc_calloc(std::size_t count, std::size_t size);

void* malloc(std::size_t bytes) noexcept { return __libc_malloc(bytes); }
void free(void* block) noexcept { __libc_free(block); }
void* calloc(std::size_t count, std::size_t size) noexcept { return __libc_calloc(count, size); }

void* realloc(void* block, std::size_t bytes) noexcept {
  void* const fresh = __libc_malloc(bytes);
  if (fresh) std::memset(fresh, 0, bytes);
  __libc_free(block);
  return fresh;
}
}
