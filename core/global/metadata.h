// What it owns: memory for our own descriptors. It is mapped in chunks, handed out by bumping and
// never unmapped; `ObjectPool` recycles objects of one type, so descriptors are type-stable. Each
// chunk starts with a record of its size, so that tools find them all.
// Thread-safety: any thread; no lock is held while mapping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "core/base/kernels.h"
#include "core/base/lock.h"
#include "core/mode/config.h"
#include "core/os/guard.h"

namespace hakmem {

template <class C>
class MetadataArena {
 public:
  using Mutex = typename C::template Lock<LockRank::kMetadata>;
  static constexpr std::size_t kChunkBytes = 256 * kKiB;

  // The head of a chunk: the one mapped before it, and its own size.
  struct Chunk {
    Chunk* next;
    std::size_t bytes;
  };

  constexpr MetadataArena() noexcept = default;

  // Zeroed memory, or null when the system has none. Domain: alignment at most a page.
  void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
    for (;;) {
      {
        Locked guard(lock_);
        if (void* const memory = bump(bytes, alignment)) return memory;
      }
      std::size_t const needed = sizeof(Chunk) + bytes + alignment;
      std::size_t const chunk = kernels::align_up(needed > kChunkBytes ? needed : kChunkBytes, C::Os::page_bytes());
      void* const start = map(chunk);
      if (!start) return nullptr;
      // Two threads may map at once: the later chunk replaces the earlier one's rest, which is
      // at most one chunk of untouched address space.
      Locked guard(lock_);
      chunks_ = ::new (start) Chunk{chunks_, chunk};
      cursor_ = reinterpret_cast<std::uintptr_t>(chunks_ + 1);
      end_ = reinterpret_cast<std::uintptr_t>(chunks_) + chunk;
      mapped_bytes_ += chunk + 2 * margin();
      if (void* const memory = bump(bytes, alignment)) return memory;
    }
  }

  // The same with a mapping of its own, for what is larger than a chunk.
  void* allocate_apart(std::size_t bytes) noexcept {
    std::size_t const pages = kernels::align_up(bytes, C::Os::page_bytes());
    void* const start = map(pages);
    if (!start) return nullptr;
    Locked guard(lock_);
    mapped_bytes_ += pages + 2 * margin();
    return start;
  }

  std::size_t mapped_bytes() noexcept {
    Locked guard(lock_);
    return mapped_bytes_;
  }

  Mutex& lock() noexcept { return lock_; }

  // The place of the pointer to the newest chunk, for tools that read this memory from outside.
  constexpr Chunk* const* chunks() const noexcept { return &chunks_; }

 private:
  static std::size_t margin() noexcept { return C::Mode::kMetadataInBand ? 0 : C::Os::page_bytes(); }

  // Out-of-line metadata lies between guard pages. Without them, where the kernel has no room for
  // more mappings, it is as good as any. Domain: whole pages.
  static void* map(std::size_t bytes) noexcept {
    OsMapping const mapping = C::Os::map(nullptr, bytes + 2 * margin(), MapKind::kNormal);
    if (!mapping.ok()) return nullptr;
    auto* const start = static_cast<std::byte*>(mapping.address) + margin();
    C::Os::name(mapping.address, bytes + 2 * margin(), "hakmem metadata");
    if (margin() != 0) {
      install_guard<typename C::Os>(mapping.address, margin());
      install_guard<typename C::Os>(start + bytes, margin());
    }
    return start;
  }

  void* bump(std::size_t bytes, std::size_t alignment) noexcept {
    std::uintptr_t const start = kernels::align_up(cursor_, alignment);
    if (start + bytes > end_) return nullptr;
    cursor_ = start + bytes;
    return reinterpret_cast<void*>(start);
  }

  Mutex lock_;
  Chunk* chunks_ = nullptr;
  std::uintptr_t cursor_ = 0;
  std::uintptr_t end_ = 0;
  std::size_t mapped_bytes_ = 0;
};

// Objects of one type with a member `next`, recycled last in, first out.
template <class C, class T, LockRank kRank>
class ObjectPool {
 public:
  using Mutex = typename C::template Lock<kRank>;

  constexpr ObjectPool() noexcept = default;

  // A recycled object as it was put back, or a newly constructed one (`fresh`); null: no memory.
  T* take(MetadataArena<C>& arena, bool& fresh) noexcept {
    {
      Locked guard(lock_);
      if (T* const object = first_) {
        first_ = object->next;
        fresh = false;
        return object;
      }
    }
    fresh = true;
    void* const memory = arena.allocate(sizeof(T), alignof(T));
    return memory ? ::new (memory) T() : nullptr;
  }

  void put_back(T* object) noexcept {
    Locked guard(lock_);
    object->next = first_;
    first_ = object;
  }

  Mutex& lock() noexcept { return lock_; }

 private:
  Mutex lock_;
  T* first_ = nullptr;
};

}  // namespace hakmem
