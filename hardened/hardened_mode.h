// What it owns: `HardenedMode`, the policies of the checked build. SECURITY.md tells for each what it
// guarantees, what it costs and which test shows it.
//
//   out-of-line records  whether a block is live is never read from memory that the client can reach:
//                        one compare-and-swap frees a block, so of two frees one is reported, at any
//                        distance and from any thread, before anything changes
//   one resolver         an address that is not exactly the start of a live block is refused
//   headers              16 sealed bytes in front of each block: damage before its start
//   pattern              slack behind the requested size, checked to the byte: damage behind its end;
//                        free blocks, the longer ones at both ends and now and then whole (HAKMEM_FILL),
//                        checked before they are reused: writes after free
//   neighbours           on release the facing sides of both neighbours are looked at as well
//   quarantine           a released block rests, and leaves at random
//   sealed links         free lists that were written to are found out when they are followed
//   guard pages          around metadata and large blocks, or around more of them (HAKMEM_GUARD); freed
//                        ones lose all access. Between SuperSlabs: who runs off one, in either direction
//   what is fixed        secrets and settings are read-only after the start
//
// Invariants: what is reported is damage or misuse; nothing changes before it is reported.
// Thread-safety: configure(), watch() and seal() once; everything else any thread. A block in state kBusy belongs to
// the thread that made it so.
#pragma once

#include "core/base/kernels.h"
#include "core/mode/mode.h"
#include "core/os/thread.h"
#include "hardened/damage.h"
#include "hardened/failure.h"
#include "hardened/fixed.h"
#include "hardened/glance.h"
#include "hardened/quarantine.h"
#include "hardened/report.h"
#include "hardened/seal.h"
#include "hardened/soundness.h"
#include "hardened/stacks.h"

namespace hakmem {
namespace hardened {

bool chosen_for_guards() noexcept;
inline bool lies_left() noexcept {
  return fixed.guard_side == GuardSide::kLeft || (fixed.guard_side == GuardSide::kRandom && random_below(2) == 0);
}
// By the lower half of the last random number whose upper half chose what leaves the quarantine. So a thread whose
// quarantine is not full yet fills every block whole: small programs are looked at in full.
[[gnu::always_inline]] inline bool fills_whole() noexcept {
  return static_cast<std::uint32_t>(own.leaving) <= fixed.fill_most;
}

// What a claim demands of a live block's word. What no block can be - an alignment that is no power of
// two, more bytes than there are - becomes a value that no word has.
class Demand {
 public:
  [[gnu::always_inline]] explicit Demand(Claim const& claim) noexcept {
    if (!claim.any_kind) demand(Facts::kKindMask, static_cast<std::uint64_t>(claim.kind) << Facts::kKindShift);
    if (claim.alignment != Claim::kUnsaid) demand_alignment(claim.alignment);
    if (claim.bytes != Claim::kUnsaid) demand(Facts::kBytesMask, std::min(claim.bytes, Facts::kBytesMask));
  }
  [[gnu::always_inline]] Demand& with(std::uint64_t mask, std::uint64_t value) noexcept {
    demand(mask, value);
    return *this;
  }
  // The bits of the word that are not as demanded.
  [[gnu::always_inline]] std::uint64_t differs(std::uint64_t word) const noexcept { return (word ^ value_) & mask_; }

 private:
  [[gnu::always_inline]] void demand(std::uint64_t mask, std::uint64_t value) noexcept {
    mask_ |= mask;
    value_ |= value;
  }
  [[gnu::always_inline]] void demand_alignment(std::size_t alignment) noexcept {
    std::size_t const least = std::max(alignment, kMinAlignment);
    demand(Facts::kAlignmentMask, kernels::is_power_of_two(least) && least <= kMaxAlignment
                                      ? static_cast<std::uint64_t>(std::countr_zero(least)) << Facts::kAlignmentShift
                                      : Facts::kAlignmentMask);
  }

  std::uint64_t mask_ = 0, value_ = 0;
};

[[gnu::always_inline]] inline void note_allocation(BlockRecord& record) noexcept {
  record.trace.store(Trace::own_half(), std::memory_order_relaxed);
}

[[gnu::always_inline]] inline void note_release(BlockRecord& record) noexcept {
  std::uint64_t const freed = Trace::own_half();
  std::uint64_t const allocated = static_cast<std::uint32_t>(record.trace.load(std::memory_order_relaxed));
  record.trace.store(allocated | freed << 32, std::memory_order_relaxed);
}

}  // namespace hardened

struct HardenedMode {
  static constexpr char const* kName = "hardened";
  static constexpr bool kMetadataInBand = false;
  static constexpr bool kTrustsClient = false;
  static constexpr std::size_t kSpanTailBytes = hardened::kTailBytes;
  static constexpr bool kGuardsSuperSlabs = true;
  static constexpr bool kSamples = false;
  using Links = hardened::SealedLinks;
  using ReuseGate = hardened::Quarantine;

  static void configure(Settings const& settings) noexcept;

  // Header, or for aligned blocks a header that ends on the alignment, and at least one byte of slack: the first one
  // behind the client's is never a neighbour's, whose state says whether it is looked at.
  static constexpr std::size_t padded_bytes(std::size_t request, std::size_t alignment) noexcept {
    return request + alignment + 1;
  }
  static void set_report_callback(ReportCallback callback, void* context) noexcept {
    hardened::set_report_callback(callback, context);
  }
  static int start_failures(char const* plan) noexcept;
  static char const* failure_token() noexcept { return hardened::failure_token(); }
  static std::uint64_t failures() noexcept { return hardened::failure_counts().refused; }
  static bool serves_plainly() noexcept {
    return hardened::fixed.guards.choice == GuardPolicy::kOff && !hardened::failures_planned();
  }
  static bool refuses(std::size_t bytes) noexcept { return hardened::refuses(bytes); }
  static bool carve_in_front() noexcept { return hardened::random_below(2) != 0; }

  // Where the program called; see hardened/stacks.h.
  [[gnu::always_inline]] static void entered(void* frame) noexcept { hardened::note_entry(frame); }

  static void* arm(BlockPlace const& place, Request const& request, bool zeroed) noexcept;
  static bool admit(BlockPlace const& place, ClientPtr pointer, Claim const& claim) noexcept;
  // The block itself is looked at; its neighbours only when it is given back.
  static bool inspect(BlockPlace const& place, ClientPtr pointer, Claim const& claim) noexcept;

  [[gnu::always_inline]] static void* arm_ordinary(BlockPlace const& place, std::size_t bytes,
                                                   AllocationKind kind) noexcept {
    using namespace hardened;
    std::uint64_t const before = place.record->state.load(std::memory_order_relaxed);
    if (before == 0 && !place.last)
      fill_ends(place);
    else if (Facts::state_of(before) != BlockState::kFree || !free_is_sound(place, before)) [[unlikely]]
      return nullptr;
    place.record->state.store(Facts::in_state(before, BlockState::kBusy), std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    Facts const facts{
        .bytes = bytes, .kind = kind, .state = BlockState::kLive, .generation = Facts::generation_after(before)};
    std::uint64_t const word = facts.word();
    enclose_reused(place, word, before);
    note_allocation(*place.record);
    place.record->state.store(word, std::memory_order_release);
    return place.start + kMinAlignment;
  }
  [[gnu::always_inline]] static bool admit_ordinary(BlockPlace const& place, ClientPtr pointer,
                                                    Claim const& claim) noexcept {
    using namespace hardened;
    if (!Glance::reaches(place)) [[unlikely]]
      return false;
    std::uint64_t const word = place.record->state.load(std::memory_order_acquire);
    if (!is_as_claimed(place, pointer, claim, word)) [[unlikely]]
      return false;
    Glance glance;
    glance.at_header(place, word).at_slack(place, word).at_next(place).at_previous(place);
    if (!glance.finds_nothing() || !make_busy(*place.record, word)) [[unlikely]]
      return false;
    make_free(place, word);
    return true;
  }
  // The header alone: nobody else's has a seal that fits it and the place. The record is for who frees the block.
  [[gnu::always_inline]] static bool inspect_ordinary(ClientPtr pointer, std::size_t& bytes) noexcept {
    using namespace hardened;
    std::byte const* const at = static_cast<std::byte const*>(pointer.unchecked()) - kHeaderBytes;
    Header const header = Header::load(at);
    bytes = header.word & Facts::kBytesMask;
    return Facts::state_of(header.word) == BlockState::kLive && header == Header::of(header.word, at);
  }
  static bool guards_next() noexcept {
    return hardened::fixed.guards.choice != GuardPolicy::kOff && hardened::chosen_for_guards();
  }
  static std::size_t client_bytes(BlockPlace const& place) noexcept;
  static bool resize(BlockPlace const& place, std::size_t bytes) noexcept;
  static bool sweep(BlockPlace const& place) noexcept;

  static Numbered<CheckTime> check_time() noexcept { return hardened::fixed.check; }

  static void watch(BlockPlace (*find)(void const*)) noexcept;
  static void seal() noexcept;

 private:
  // Is ordinary and live, and what the client says of it is so. If it speaks of another alignment, the pointer differs.
  [[gnu::always_inline]] static bool is_as_claimed(BlockPlace const& place, ClientPtr pointer, Claim const& claim,
                                                   std::uint64_t word) noexcept {
    using namespace hardened;
    return Demand(claim).with(kShapeMask, kOrdinaryLive).differs(word) == 0 &&
           place.start + kMinAlignment == pointer.unchecked();
  }
  // From busy to free. Domain: a block of a span.
  [[gnu::always_inline]] static void make_free(BlockPlace const& place, std::uint64_t word) noexcept {
    using namespace hardened;
    note_release(*place.record);
    word = Facts::in_state(word, BlockState::kFree) | (fills_whole() ? Facts::kWhole : 0);
    fill_free(place, word);
    place.record->state.store(word, std::memory_order_release);
  }
  // From live to busy, which one of several threads can do; while there is only one, it needs no
  // compare-and-swap. False: another did.
  [[gnu::always_inline]] static bool make_busy(BlockRecord& record, std::uint64_t word) noexcept {
    using namespace hardened;
    std::uint64_t const busy = Facts::in_state(word, BlockState::kBusy);
    if (!is_single_threaded())
      return record.state.compare_exchange_strong(word, busy, std::memory_order_acq_rel, std::memory_order_acquire);
    record.state.store(busy, std::memory_order_relaxed);
    return true;
  }
};
static_assert(CheckingMode<HardenedMode>);

}  // namespace hakmem
