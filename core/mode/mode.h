// What it owns: the seam between the builds. A *mode* is a struct of policies and constants; the
// layers above call the policies unconditionally and the empty ones vanish. `FastMode` trusts the
// client; `HardenedMode` (hardened/) checks everything. Both are instantiated in one test binary.
// Thread-safety: policies are stateless here; a mode that keeps state guards it itself.
#pragma once

#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include "core/base/geometry.h"
#include "core/base/settings.h"

namespace hakmem {

// How a block was asked for; a checking mode refuses a release of another kind. kAligned: by the
// operators new that take an alignment (libc's aligned blocks are freed like all others).
enum class AllocationKind : std::uint8_t { kMalloc, kNew, kNewArray, kAligned, kAlignedArray };

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

// What the client asks for. `alignment` is at least kMinAlignment.
struct Request {
  std::size_t bytes = 0;
  std::size_t alignment = kMinAlignment;
  AllocationKind kind = AllocationKind::kMalloc;
};

// What the client says about the block that it gives back.
struct Claim {
  static constexpr std::size_t kUnsaid = ~std::size_t{0};
  AllocationKind kind = AllocationKind::kMalloc;
  std::size_t bytes = kUnsaid;
  std::size_t alignment = kUnsaid;
  char const* call = nullptr;  // who says so; null: what releases this kind
  bool any_kind = false;       // nothing is said of the kind
};

// What a checking mode knows of one block, out of line. All zero: the block was never handed out.
// protocol: the mode's; any thread may read and write both words.
struct BlockRecord {
  std::atomic<std::uint64_t> state{0};
  std::atomic<std::uint64_t> trace{0};
};

// Where an address lies, as the registry and the metadata tell it: the one resolver's answer.
struct BlockPlace {
  enum class Where : std::uint8_t {
    kNowhere,  // no memory of ours
    kBetween,  // memory of ours, but no block
    kSmall,    // a block of a span
    kLarge,    // a block with a mapping of its own, between guard pages
  };
  Where where = Where::kNowhere;
  bool first = false;  // of its span: there is no record before it
  bool last = false;   // of its span: there is no record behind it
  bool tail = false;   // last, and kSpanTailBytes follow it
  std::byte* start = nullptr;
  std::size_t bytes = 0;
  BlockRecord* record = nullptr;
  void* descriptor = nullptr;  // the Slab of kSmall's span, the LargeBlock of kLarge

  bool is_block() const noexcept { return record != nullptr; }
  BlockPlace next() const noexcept {
    return {where, false, false, false, start + bytes, bytes, record + 1, descriptor};
  }
  BlockPlace previous() const noexcept {
    return {where, false, false, false, start - bytes, bytes, record - 1, descriptor};
  }
};

// A released block that a reuse gate holds; none where `block` is null.
struct HeldBlock {
  void* block = nullptr;
  void* slab = nullptr;  // the head of its span
  std::size_t bytes = 0;
};

// Is given each report: its kind ("double-free") and its whole text, which is not null-terminated.
// It may not allocate or free; it may end the process, or leave by longjmp.
using ReportCallback = void (*)(void* context, char const* kind, char const* text, std::size_t bytes);

// What a mode decides.
//   kName            shown in reports and test names
//   kMetadataInBand  slab metadata in the SuperSlab itself, found by a mask; otherwise out of line,
//                    between guard pages, found through the registry only
//   kTrustsClient    a released pointer is a block; otherwise it is resolved and checked first
//   kSpanTailBytes   bytes kept free behind the last block of a span
//   kGuardsSuperSlabs  the last slab of each SuperSlab is in no span, and a guard while the kernel grants
//                    it: what runs off one SuperSlab does not reach the next
//   Links            how a free block stores the address of the next one
//   ReuseGate        what a heap does with released blocks before they may be reused
//   kSamples         some blocks, though the client is trusted, get pages of their own between guard
//                    pages and are treated as a checking mode treats them; see SamplingMode
//   configure        before the first allocation
//   set_report_callback  who else is told of errors
//   start_failures   refuse requests from now on as a text says, null: none; an error number or 0
//   failure_token    what repeats these refusals, or an empty text
//   failures         how many requests were refused on purpose
//   padded_bytes     block bytes needed to serve a request (headers, canaries)
//   carve_in_front   whether a newly carved block is queued before those that lie behind it in
//                    memory; true throughout keeps them in the order of their addresses
template <class M>
concept AllocatorMode = requires(std::size_t bytes, void* block, Settings const& settings) {
  { M::kName } -> std::convertible_to<char const*>;
  { M::kMetadataInBand } -> std::convertible_to<bool>;
  { M::kTrustsClient } -> std::convertible_to<bool>;
  { M::kSpanTailBytes } -> std::convertible_to<std::size_t>;
  { M::kGuardsSuperSlabs } -> std::convertible_to<bool>;
  { M::kSamples } -> std::convertible_to<bool>;
  typename M::ReuseGate;
  { M::Links::encode(block, block) }
  noexcept->std::same_as<void*>;
  { M::Links::decode(block, block) }
  noexcept->std::same_as<void*>;
  { M::configure(settings) }
  noexcept->std::same_as<void>;
  { M::padded_bytes(bytes, bytes) }
  noexcept->std::same_as<std::size_t>;
  { M::carve_in_front() }
  noexcept->std::same_as<bool>;
  { M::set_report_callback(nullptr, block) }
  noexcept->std::same_as<void>;
  { M::start_failures(M::kName) }
  noexcept->std::same_as<int>;
  { M::failure_token() }
  noexcept->std::same_as<char const*>;
  { M::failures() }
  noexcept->std::same_as<std::uint64_t>;
};

// What a mode that does not trust its client decides besides. Each function that takes a ClientPtr
// checks it first and reports what is wrong; refused means reported.
//   arm           turns a block that was free into what the client gets; `zeroed`: it reads as zero
//   admit         the block is given back: checks it and marks it free; false: refused
//   inspect       the block is about to be used, as the claim says; false: refused
//   arm_ordinary, admit_ordinary, inspect_ordinary  the same for most blocks, in few steps; null, or false: nothing
//                 changed, and nothing is known. The last one reads the kMinAlignment bytes in front of the pointer and
//                 tells what the client may use
//   serves_plainly   no request is refused on purpose, none gets pages of its own
//   refuses       whether a request of so many bytes is refused on purpose; asked once for each
//   guards_next   whether the next block, though small, shall have pages of its own between guard pages
//   client_bytes  how much of a live block the client may use. Domain: inspected
//   resize        the block serves another size where it stands; false: it cannot. Domain: inspected,
//                 padded_bytes for kMinAlignment fit
//   check_time    when all blocks are looked at though nobody asks
//   watch         once, after configure(): memory faults are explained by what find() says
//   seal          once, after watch(): what both have set can no more be written to
//   entered       first in each exported function, with its frame address
//   sweep         looks for damage in a block of any state; false: reported some
template <class M>
concept CheckingMode = AllocatorMode<M> &&
    requires(BlockPlace const& place, Request const& request, Claim const& claim, ClientPtr pointer, bool zeroed,
             std::size_t bytes, BlockPlace (*find)(void const*)) {
  { M::arm(place, request, zeroed) }
  noexcept->std::same_as<void*>;
  { M::admit(place, pointer, claim) }
  noexcept->std::same_as<bool>;
  { M::inspect(place, pointer, claim) }
  noexcept->std::same_as<bool>;
  { M::arm_ordinary(place, bytes, request.kind) }
  noexcept->std::same_as<void*>;
  { M::admit_ordinary(place, pointer, claim) }
  noexcept->std::same_as<bool>;
  { M::inspect_ordinary(pointer, bytes) }
  noexcept->std::same_as<bool>;
  { M::serves_plainly() }
  noexcept->std::same_as<bool>;
  { M::refuses(bytes) }
  noexcept->std::same_as<bool>;
  { M::guards_next() }
  noexcept->std::same_as<bool>;
  { M::client_bytes(place) }
  noexcept->std::same_as<std::size_t>;
  { M::resize(place, bytes) }
  noexcept->std::same_as<bool>;
  { M::entered(pointer.unchecked()) }
  noexcept->std::same_as<void>;
  { M::check_time() }
  noexcept->std::same_as<Numbered<CheckTime>>;
  { M::watch(find) }
  noexcept->std::same_as<void>;
  { M::seal() }
  noexcept->std::same_as<void>;
  { M::sweep(place) }
  noexcept->std::same_as<bool>;
};

// What a mode that samples decides besides; those that it has in common with a checking mode are
// for the blocks of the sample.
//   samples          whether there is a sample at all; does not change after configure()
//   next_sample      how many allocations pass before the next one that is chosen. Domain: samples()
//   affords_sample   whether the thread may have one more guarded block now; asked once for each choice
template <class M>
concept SamplingMode = AllocatorMode<M> && M::kTrustsClient &&
    requires(BlockPlace const& place, Request const& request, Claim const& claim, ClientPtr pointer, bool zeroed,
             std::uint64_t now_ms, BlockPlace (*find)(void const*)) {
  { M::arm(place, request, zeroed) }
  noexcept->std::same_as<void*>;
  { M::admit(place, pointer, claim) }
  noexcept->std::same_as<bool>;
  { M::inspect(place, pointer, claim) }
  noexcept->std::same_as<bool>;
  { M::client_bytes(place) }
  noexcept->std::same_as<std::size_t>;
  { M::watch(find) }
  noexcept->std::same_as<void>;
  { M::seal() }
  noexcept->std::same_as<void>;
  { M::entered(pointer.unchecked()) }
  noexcept->std::same_as<void>;
  { M::samples() }
  noexcept->std::same_as<bool>;
  { M::next_sample() }
  noexcept->std::same_as<std::uint32_t>;
  { M::affords_sample(now_ms) }
  noexcept->std::same_as<bool>;
};

struct PlainLinks {
  static constexpr void* encode(void* next, void*) noexcept { return next; }
  static constexpr void* decode(void* stored, void*) noexcept { return stored; }
};

// Blocks may be reused at once.
struct NoReuseGate {};

struct FastMode {
  static constexpr char const* kName = "fast";
  static constexpr bool kMetadataInBand = true;
  static constexpr bool kTrustsClient = true;
  static constexpr std::size_t kSpanTailBytes = 0;
  static constexpr bool kGuardsSuperSlabs = false;
  static constexpr bool kSamples = false;
  using Links = PlainLinks;
  using ReuseGate = NoReuseGate;
  static void configure(Settings const&) noexcept {}
  static constexpr std::size_t padded_bytes(std::size_t request, std::size_t) noexcept { return request; }
  static constexpr bool carve_in_front() noexcept { return true; }
  static void set_report_callback(ReportCallback, void*) noexcept {}
  static int start_failures(char const*) noexcept { return ENOTSUP; }
  static char const* failure_token() noexcept { return ""; }
  static std::uint64_t failures() noexcept { return 0; }
};
static_assert(AllocatorMode<FastMode>);

}  // namespace hakmem
