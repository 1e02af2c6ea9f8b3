// What it owns: the seam between the builds. A *mode* is a struct of policies and constants; the
// layers above call the policies unconditionally and the empty ones vanish. `FastMode` trusts the
// client; `HardenedMode` (hardened/) checks everything. Both are instantiated in one test binary.
// Thread-safety: policies are stateless here; a mode that keeps state guards it itself.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace hakmem {

// How a block was asked for; a checking mode refuses a release of another kind.
enum class AllocationKind : std::uint8_t { kMalloc, kNew, kNewArray, kAligned };

// A client bug, as the reporter names it.
enum class ErrorKind : std::uint8_t {
  kDoubleFree,
  kInvalidFree,
  kKindMismatch,
  kSizeMismatch,
  kOverflow,
  kUnderflow,
  kUseAfterFree,
};

// A pointer as it came from the client: not yet known to be a block. Only a mode's resolver turns
// it into one.
class ClientPtr {
 public:
  constexpr explicit ClientPtr(void* address) noexcept : address_(address) {}
  constexpr void* unchecked() const noexcept { return address_; }
  std::uintptr_t bits() const noexcept { return reinterpret_cast<std::uintptr_t>(address_); }

 private:
  void* address_;
};

// What a mode decides.
//   kName            shown in reports and test names
//   kMetadataInBand  slab metadata in the SuperSlab itself, found by a mask; otherwise out of line,
//                    found through the registry only
//   kTrustsClient    a released pointer is a block; otherwise it is resolved and checked first
//   Links            how a free block stores the address of the next one
//   padded_bytes     block bytes needed to serve a request (headers, canaries); the block will be
//                    aligned as asked
//   arm              turns a block into what the client gets, aligned as asked
//   block_of         the block behind a client's pointer, which is live
//   disarm           the block that a client gives back; null: refused, and reported
//   client_bytes     how much of a live block the client may use
template <class M>
concept AllocatorMode = requires(std::size_t bytes, std::size_t alignment, void* block, ClientPtr pointer,
                                 AllocationKind kind) {
  { M::kName } -> std::convertible_to<char const*>;
  { M::kMetadataInBand } -> std::convertible_to<bool>;
  { M::kTrustsClient } -> std::convertible_to<bool>;
  { M::Links::encode(block, block) }
  noexcept->std::same_as<void*>;
  { M::Links::decode(block, block) }
  noexcept->std::same_as<void*>;
  { M::padded_bytes(bytes, alignment) }
  noexcept->std::same_as<std::size_t>;
  { M::arm(block, bytes, bytes, alignment, kind) }
  noexcept->std::same_as<void*>;
  { M::block_of(pointer) }
  noexcept->std::same_as<void*>;
  { M::disarm(pointer, kind) }
  noexcept->std::same_as<void*>;
  { M::client_bytes(pointer, bytes) }
  noexcept->std::same_as<std::size_t>;
};

struct PlainLinks {
  static constexpr void* encode(void* next, void*) noexcept { return next; }
  static constexpr void* decode(void* stored, void*) noexcept { return stored; }
};

struct FastMode {
  static constexpr char const* kName = "fast";
  static constexpr bool kMetadataInBand = true;
  static constexpr bool kTrustsClient = true;
  using Links = PlainLinks;
  static constexpr std::size_t padded_bytes(std::size_t request, std::size_t) noexcept { return request; }
  static void* arm(void* block, std::size_t, std::size_t, std::size_t, AllocationKind) noexcept { return block; }
  static void* block_of(ClientPtr pointer) noexcept { return pointer.unchecked(); }
  static void* disarm(ClientPtr pointer, AllocationKind) noexcept { return pointer.unchecked(); }
  static std::size_t client_bytes(ClientPtr, std::size_t block_bytes) noexcept { return block_bytes; }
};
static_assert(AllocatorMode<FastMode>);

}  // namespace hakmem
