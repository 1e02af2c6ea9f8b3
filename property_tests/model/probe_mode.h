// What it owns: a second AllocatorMode, as unlike FastMode as the seam allows: metadata out of
// line, clients distrusted, links encoded, a header before each block. It proves that the layers
// above ask the mode everywhere; it is no defence.
// Invariants: armed - disarmed = live blocks of every allocator on this mode.
// Thread-safety: any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/mode/mode.h"

namespace hakmem::testing {

struct ProbeMode {
  static constexpr char const* kName = "probe";
  static constexpr bool kMetadataInBand = false;
  static constexpr bool kTrustsClient = false;

  // A link is worth nothing unless it is decoded where it was encoded.
  struct Links {
    static void* encode(void* next, void* at) noexcept { return mix(next, at); }
    static void* decode(void* stored, void* at) noexcept { return mix(stored, at); }

   private:
    static void* mix(void* link, void* at) noexcept {
      auto const key = reinterpret_cast<std::uintptr_t>(at) * 3 ^ 0x5bd1'e995'0f0f'a5a5u;
      return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(link) ^ key);
    }
  };

  struct Header {
    std::uint64_t requested;
    std::uint32_t magic;
    std::uint32_t gap;  // from the block to the client's first byte
  };
  static constexpr std::uint32_t kLive = 0xa11a'c8ed, kDead = 0xdead'b10c;

  static std::size_t padded_bytes(std::size_t request, std::size_t alignment) noexcept {
    return request + gap_for(alignment);
  }

  static void* arm(void* block, std::size_t block_bytes, std::size_t request, std::size_t alignment,
                   AllocationKind) noexcept {
    std::size_t const gap = gap_for(alignment);
    bool const fits = gap + request <= block_bytes && reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
    if (!fits) ++misfits;
    std::byte* const client = static_cast<std::byte*>(block) + gap;
    *header_of(client) = {request, kLive, static_cast<std::uint32_t>(gap)};
    ++armed;
    return client;
  }

  static void* block_of(ClientPtr pointer) noexcept {
    return static_cast<std::byte*>(pointer.unchecked()) - header_of(pointer.unchecked())->gap;
  }

  static void* disarm(ClientPtr pointer, AllocationKind) noexcept {
    Header* const header = header_of(pointer.unchecked());
    if (header->magic != kLive) {
      ++refused;
      return nullptr;
    }
    header->magic = kDead;
    ++disarmed;
    return block_of(pointer);
  }

  static std::size_t client_bytes(ClientPtr pointer, std::size_t) noexcept {
    return header_of(pointer.unchecked())->requested;
  }

  static inline std::atomic<std::uint64_t> armed{0}, disarmed{0}, refused{0}, misfits{0};

 private:
  static std::size_t gap_for(std::size_t alignment) noexcept {
    return alignment < sizeof(Header) ? sizeof(Header) : alignment;
  }
  static Header* header_of(void* client) noexcept {
    return reinterpret_cast<Header*>(static_cast<std::byte*>(client) - sizeof(Header));
  }
};

static_assert(AllocatorMode<ProbeMode>);

}  // namespace hakmem::testing
