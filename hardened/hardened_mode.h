// What it owns: `HardenedMode`, the policies of the checked build. SECURITY.md tells for each what it
// guarantees, what it costs and which test shows it.
//
//   out-of-line records  whether a block is live is never read from memory that the client can reach:
//                        one compare-and-swap frees a block, so of two frees one is reported, at any
//                        distance and from any thread, before anything changes
//   one resolver         an address that is not exactly the start of a live block is refused
//   headers              16 sealed bytes in front of each block: damage before its start
//   pattern              slack behind the requested size, checked to the byte: damage behind its end;
//                        free blocks whole, checked before they are reused: writes after free
//   neighbours           on release the facing sides of both neighbours are looked at as well
//   quarantine           a released block rests, and leaves at random
//   sealed links         free lists that were written to are found out when they are followed
//   guard pages          around metadata and large blocks, or around more of them (HAKMEM_GUARD); freed
//                        ones lose all access
//
// Invariants: what is reported is damage or misuse; nothing changes before it is reported.
// Thread-safety: configure() once; everything else any thread. A block in state kBusy belongs to the
// thread that made it so.
#pragma once

#include "core/mode/mode.h"
#include "hardened/failure.h"
#include "hardened/quarantine.h"
#include "hardened/report.h"
#include "hardened/seal.h"
#include "hardened/stacks.h"

namespace hakmem {
namespace hardened {

// Which blocks have pages of their own, and at which end of them. Set once before the first allocation.
inline constinit Numbered<GuardPolicy> guards{};
inline constinit GuardSide guard_side = GuardSide::kRight;
bool chosen_for_guards() noexcept;

}  // namespace hardened

struct HardenedMode {
  static constexpr char const* kName = "hardened";
  static constexpr bool kMetadataInBand = false;
  static constexpr bool kTrustsClient = false;
  static constexpr std::size_t kSpanTailBytes = hardened::kTailBytes;
  using Links = hardened::SealedLinks;
  using ReuseGate = hardened::Quarantine;

  static void configure(Settings const& settings) noexcept;

  // Header, or for aligned blocks a header that ends on the alignment; never less than 17 bytes, so
  // that the smallest blocks have slack, and above kSlackless there is always some.
  static constexpr std::size_t padded_bytes(std::size_t request, std::size_t alignment) noexcept {
    std::size_t const slack = request == 0 || request > kSlackless ? 1 : 0;
    return request + alignment + slack;
  }
  static void set_report_callback(ReportCallback callback, void* context) noexcept {
    hardened::set_report_callback(callback, context);
  }
  static int start_failures(char const* plan) noexcept;
  static char const* failure_token() noexcept { return hardened::failure_token(); }
  static std::uint64_t failures() noexcept { return hardened::failure_counts().refused; }
  static bool refuses(std::size_t bytes) noexcept { return hardened::refuses(bytes); }
  static bool carve_in_front() noexcept { return (hardened::next_random() & 1) != 0; }

  // Where the program called; see hardened/stacks.h.
  [[gnu::always_inline]] static void entered(void* frame) noexcept { hardened::entry_frame = frame; }

  static void* arm(BlockPlace const& place, Request const& request, bool zeroed) noexcept;
  static bool admit(BlockPlace const& place, ClientPtr pointer, Claim const& claim) noexcept;
  static bool inspect(BlockPlace const& place, ClientPtr pointer, char const* call) noexcept;
  static bool guards_next() noexcept {
    return hardened::guards.choice != GuardPolicy::kOff && hardened::chosen_for_guards();
  }
  static std::size_t client_bytes(BlockPlace const& place) noexcept;
  static bool resize(BlockPlace const& place, std::size_t bytes) noexcept;
  static bool sweep(BlockPlace const& place) noexcept;

  static void watch(BlockPlace (*find)(void const*)) noexcept;

 private:
  static constexpr std::size_t kSlackless = 32 * kKiB;
};
static_assert(CheckingMode<HardenedMode>);

}  // namespace hakmem
