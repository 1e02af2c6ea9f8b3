// What it owns: memory of the harness itself, straight from the kernel and resident before the
// clock starts, so that the allocator under test holds nothing but the blocks that it is asked for.
// Invariants: every element is value-initialised; every page is present and written.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace hakmem::bench {

template <typename T>
class PageBuffer {
 public:
  PageBuffer() = default;
  explicit PageBuffer(std::size_t count) {
    if (count == 0) return;
    void* const memory =
        mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    items_ = {static_cast<T*>(memory), count};
    std::uninitialized_value_construct(items_.begin(), items_.end());
  }
  PageBuffer(PageBuffer&& other) noexcept : items_(std::exchange(other.items_, {})) {}
  PageBuffer& operator=(PageBuffer&& other) noexcept {
    std::swap(items_, other.items_);
    return *this;
  }
  ~PageBuffer() {
    if (items_.empty()) return;
    std::destroy(items_.begin(), items_.end());
    munmap(items_.data(), items_.size_bytes());
  }

  std::span<T> items() const { return items_; }
  T& operator[](std::size_t index) const { return items_[index]; }
  std::size_t size() const { return items_.size(); }

 private:
  std::span<T> items_;
};

}  // namespace hakmem::bench
