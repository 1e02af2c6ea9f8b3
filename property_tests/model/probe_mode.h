// What it owns: a second AllocatorMode, as unlike FastMode as the seam allows: metadata out of
// line, clients distrusted, links encoded, a header before each block. It proves that the layers
// above ask the mode everywhere; it is no defence.
// Invariants: armed - disarmed = live blocks of every allocator on this mode.
// Thread-safety: any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/base/kernels.h"
#include "core/mode/mode.h"

namespace hakmem::testing {

struct ProbeMode {
  static constexpr char const* kName = "probe";
  static constexpr bool kMetadataInBand = false;
  static constexpr bool kTrustsClient = false;
  static constexpr std::size_t kSpanTailBytes = 16;
  static constexpr bool kGuardsSuperSlabs = true;
  static constexpr bool kSamples = false;

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

  // Lets every block through at once.
  struct ReuseGate {
    static HeldBlock put(HeldBlock fresh) noexcept { return fresh; }
    static HeldBlock take_excess() noexcept { return {}; }
  };

  static void configure(Settings const&) noexcept {}
  static void set_report_callback(ReportCallback, void*) noexcept {}
  static int start_failures(char const*) noexcept { return ENOTSUP; }
  static char const* failure_token() noexcept { return ""; }
  static std::uint64_t failures() noexcept { return 0; }
  static bool refuses(std::size_t) noexcept { return false; }
  static bool guards_next() noexcept { return guards.load(); }
  static bool serves_plainly() noexcept { return !guards.load(); }
  static bool carve_in_front() noexcept { return (carved++ & 1) != 0; }

  static constexpr std::size_t padded_bytes(std::size_t request, std::size_t alignment) noexcept {
    return request + gap_for(alignment) + (request == 0 ? 1 : 0);  // a client's pointer lies in its block
  }

  static void* arm(BlockPlace const& place, Request const& request, bool) noexcept {
    std::size_t const gap = gap_for(request.alignment);
    std::byte* client = place.start + gap;
    if (place.where == BlockPlace::Where::kLarge)
      client = reinterpret_cast<std::byte*>(
          kernels::align_up(reinterpret_cast<std::uintptr_t>(place.start) + sizeof(Header), request.alignment));
    bool const fits = client + request.bytes <= place.start + place.bytes &&
                      reinterpret_cast<std::uintptr_t>(client) % request.alignment == 0;
    if (!fits) ++misfits;
    *header_of(client) = {request.bytes, kLive, static_cast<std::uint32_t>(client - place.start)};
    place.record->state.store(kLive, std::memory_order_relaxed);
    ++armed;
    return client;
  }

  static bool admit(BlockPlace const& place, ClientPtr pointer, Claim const&) noexcept {
    if (!inspect(place, pointer, {})) return false;
    header_of(pointer.unchecked())->magic = kDead;
    ++disarmed;
    return true;
  }

  static bool inspect(BlockPlace const& place, ClientPtr pointer, Claim const&) noexcept {
    bool const live = is_live(place, pointer);
    if (!live) ++refused;
    last_inspected = header_of(pointer.unchecked());
    return live;
  }

  static void* arm_ordinary(BlockPlace const& place, std::size_t bytes, AllocationKind kind) noexcept {
    return arm(place, {bytes, kMinAlignment, kind}, false);
  }
  static bool admit_ordinary(BlockPlace const& place, ClientPtr pointer, Claim const& claim) noexcept {
    return is_live(place, pointer) && admit(place, pointer, claim);
  }
  static bool inspect_ordinary(ClientPtr pointer, std::size_t& bytes) noexcept {
    bytes = header_of(pointer.unchecked())->requested;
    return header_of(pointer.unchecked())->magic == kLive;
  }

  static std::size_t client_bytes(BlockPlace const&) noexcept { return last_inspected->requested; }
  static bool resize(BlockPlace const&, std::size_t bytes) noexcept {
    if (resizes.load()) last_inspected->requested = bytes;
    return resizes.load();
  }
  static bool sweep(BlockPlace const& place) noexcept { return place.record != damaged.load(); }
  static void entered(void*) noexcept {}
  static Numbered<CheckTime> check_time() noexcept { return {}; }
  static void watch(BlockPlace (*)(void const*)) noexcept {}
  static void seal() noexcept {}

  // Whether blocks get guard pages and may change their size where they stand; for a test to set.
  static inline std::atomic<bool> guards{false}, resizes{false};
  // The block that sweep() finds unsound; for a test to set.
  static inline std::atomic<BlockRecord const*> damaged{nullptr};

  static inline thread_local Header* last_inspected = nullptr;
  static inline std::atomic<std::uint64_t> armed{0}, disarmed{0}, refused{0}, misfits{0}, carved{0};

 private:
  static constexpr std::size_t gap_for(std::size_t alignment) noexcept {
    return alignment < sizeof(Header) ? sizeof(Header) : alignment;
  }
  static bool is_live(BlockPlace const& place, ClientPtr pointer) noexcept {
    Header* const header = header_of(pointer.unchecked());
    return place.is_block() && header->magic == kLive &&
           static_cast<std::byte*>(pointer.unchecked()) - place.start == header->gap;
  }
  static Header* header_of(void* client) noexcept {
    return reinterpret_cast<Header*>(static_cast<std::byte*>(client) - sizeof(Header));
  }
};

static_assert(CheckingMode<ProbeMode>);

}  // namespace hakmem::testing
