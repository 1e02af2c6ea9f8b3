#include "hardened/hardened_mode.h"

#include <cerrno>

#include "core/os/fault.h"
#include "core/os/line.h"
#include "core/os/linux.h"
#include "hardened/damage.h"
#include "hardened/entropy.h"
#include "hardened/fixed.h"
#include "hardened/modules.h"
#include "hardened/report.h"

namespace hakmem {
namespace {

using namespace hardened;

char const* name_of_release(Claim const& claim) noexcept {
  if (claim.call) return claim.call;
  bool const sized = claim.bytes != Claim::kUnsaid;
  switch (claim.kind) {
    case AllocationKind::kMalloc:
      return claim.alignment != Claim::kUnsaid ? "free_aligned_sized()" : sized ? "free_sized()" : "free()";
    case AllocationKind::kNew:
      return "operator delete";
    case AllocationKind::kNewArray:
      return "operator delete[]";
    case AllocationKind::kAligned:
      return "aligned operator delete";
    case AllocationKind::kAlignedArray:
      return "aligned operator delete[]";
  }
  return "?";
}

Evidence evidence_of(ErrorKind kind, char const* call, BlockPlace const& place, void const* address) noexcept {
  Evidence evidence{kind, call, address, place};
  if (!place.is_block()) return evidence;
  evidence.record = place.record->state.load(std::memory_order_acquire);
  evidence.trace = place.record->trace.load(std::memory_order_relaxed);
  return evidence;
}

void report_damage(Damage const& damage, char const* call) noexcept {
  Evidence evidence = evidence_of(damage.kind, call, damage.place, damage.address);
  evidence.record = damage.record;
  evidence.damaged = damage.bytes;
  report(evidence);
}

// What is wrong with taking `pointer` for the start of a live block; null: nothing. Stores the word
// that said so.
struct Judgement {
  bool live;
  ErrorKind kind;
};
Judgement judge(BlockPlace const& place, ClientPtr pointer, std::uint64_t& record) noexcept {
  if (!place.is_block()) return {false, ErrorKind::kInvalidFree};
  record = place.record->state.load(std::memory_order_acquire);
  Facts const facts = Facts::from(record);
  if (facts.state == BlockState::kNever || client_of(place, facts) != pointer.unchecked())
    return {false, ErrorKind::kInvalidFree};
  return {facts.state == BlockState::kLive, ErrorKind::kDoubleFree};
}

// What the client says of a block against what is known; a mismatch is reported.
void compare(BlockPlace const& place, ClientPtr pointer, std::uint64_t word, Claim const& claim) noexcept {
  std::uint64_t const differs = Demand(claim).differs(word);
  if (differs == 0) return;
  ErrorKind const kind = (differs & Facts::kKindMask) != 0        ? ErrorKind::kKindMismatch
                         : (differs & Facts::kAlignmentMask) != 0 ? ErrorKind::kAlignmentMismatch
                                                                  : ErrorKind::kSizeMismatch;
  Evidence evidence = evidence_of(kind, name_of_release(claim), place, pointer.unchecked());
  evidence.claim = claim;
  report(evidence);
}

// Damage around a live block is reported and, when the program goes on, mended.
bool check_live(BlockPlace const& place, std::uint64_t record, char const* call) noexcept {
  Damage const damage = damage_of_live(place, record);
  if (!damage.found) return true;
  report_damage(damage, call);
  enclose(place, record);
  if (damage.place.start != place.start) enclose(damage.place, damage.record);
  return false;
}

bool check_free(BlockPlace const& place, std::uint64_t record, char const* call) noexcept {
  Damage const damage = damage_of_free(place, record);
  if (!damage.found) return true;
  report_damage(damage, call);
  fill_free(place, record);
  return false;
}

// A guard was hit, or the allocator itself went wrong, or it is none of ours.
void explain(Fault const& fault) noexcept {
  BlockPlace const place = fixed.find_block(fault.address);
  Evidence evidence = evidence_of(ErrorKind::kUseAfterFree, "", place, fault.address);
  Facts const facts = Facts::from(evidence.record);
  // The guard between two SuperSlabs is told by the small block beside it: who hits it ran past that one,
  // whatever its state.
  bool const beside = place.where == BlockPlace::Where::kSmall &&
                      (fault.address < place.start || fault.address >= place.start + place.bytes);
  if (!place.is_block() || facts.state == BlockState::kNever) {
    bool const own = is_in_own_library(fault.pc);
    if (!fault.fatal || (!own && place.where != BlockPlace::Where::kBetween)) return;
    evidence.kind = own ? ErrorKind::kBrokenHeap : ErrorKind::kOverflow;
  } else if (facts.state == BlockState::kLive || beside) {
    evidence.kind = fault.address < client_of(place, facts) ? ErrorKind::kUnderflow : ErrorKind::kOverflow;
  }
  evidence.access = fault.access;
  evidence.pc = fault.pc;
  evidence.frame = fault.frame;
  report_only(evidence);
}

}  // namespace

bool hardened::chosen_for_guards() noexcept {
  return fixed.guards.choice == GuardPolicy::kAll ||
         (fixed.guards.number != 0 && random_below(fixed.guards.number) == 0);
}

void HardenedMode::configure(Settings const& settings) noexcept {
  fixed.stretch = fastest_stretch_code();
  start_entropy(settings.seed);
  start_stacks(settings.stack_depth);
  start_reports(settings);
  fixed.set_quarantine(settings.quarantine_bytes);
  fixed.fill_most = ~std::uint32_t{0} / settings.fill_one_in;
  fixed.guards = settings.guard;
  fixed.guard_side = settings.guard_side;
  fixed.check = settings.check;
  if (settings.failures && start_failures(settings.failures) != 0)
    Line()
        .text("hakmem: HAKMEM_FAIL must be nth:N, every:N or rate:P, with ,size>=S and ,seed:N if wanted; ignored")
        .write_to<Linux>(kStandardError);
}

int HardenedMode::start_failures(char const* text) noexcept {
  FailurePlan plan;
  if (text && !parse_failure_plan(text, plan)) return EINVAL;
  hardened::start_failures(plan);
  return 0;
}

void* HardenedMode::arm(BlockPlace const& place, Request const& request, bool) noexcept {
  BlockRecord& record = *place.record;
  std::uint64_t const before = record.state.load(std::memory_order_relaxed);
  bool const reused = place.where == BlockPlace::Where::kSmall && Facts::state_of(before) == BlockState::kFree;
  if (reused) check_free(place, before, "the next allocation of this memory");
  Facts const facts{.bytes = request.bytes,
                    .alignment = request.alignment,
                    .kind = request.kind,
                    .state = BlockState::kLive,
                    .left = place.where == BlockPlace::Where::kLarge && lies_left(),
                    .generation = Facts::generation_after(before)};
  record.state.store(Facts::in_state(before, BlockState::kBusy), std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  if (reused)
    enclose_reused(place, facts.word(), before);
  else
    enclose(place, facts.word());
  note_allocation(record);
  record.state.store(facts.word(), std::memory_order_release);
  return client_of(place, facts);
}

// What is refused is reported; so is damage around a block that is not.
bool HardenedMode::admit(BlockPlace const& place, ClientPtr pointer, Claim const& claim) noexcept {
  char const* const call = name_of_release(claim);
  std::uint64_t word = 0;
  auto const [live, kind] = judge(place, pointer, word);
  if (!live) {
    report(evidence_of(kind, call, place, pointer.unchecked()));
    return false;
  }
  compare(place, pointer, word, claim);
  check_live(place, word, call);
  if (!make_busy(*place.record, word)) {
    report(evidence_of(ErrorKind::kDoubleFree, call, place, pointer.unchecked()));
    return false;
  }
  if (place.where == BlockPlace::Where::kSmall) {
    make_free(place, word);
  } else {
    note_release(*place.record);
    place.record->state.store(Facts::in_state(word, BlockState::kFree), std::memory_order_release);
  }
  return true;
}

bool HardenedMode::inspect(BlockPlace const& place, ClientPtr pointer, Claim const& claim) noexcept {
  char const* const call = name_of_release(claim);
  std::uint64_t word = 0;
  Judgement const verdict = judge(place, pointer, word);
  if (!verdict.live) [[unlikely]] {
    ErrorKind const kind = verdict.kind == ErrorKind::kDoubleFree ? ErrorKind::kUseAfterFree : verdict.kind;
    report(evidence_of(kind, call, place, pointer.unchecked()));
    return false;
  }
  compare(place, pointer, word, claim);
  check_live(place, word, call);
  return true;
}

std::size_t HardenedMode::client_bytes(BlockPlace const& place) noexcept {
  return Facts::from(place.record->state.load(std::memory_order_relaxed)).bytes;
}

bool HardenedMode::resize(BlockPlace const& place, std::size_t bytes) noexcept {
  BlockRecord& record = *place.record;
  std::uint64_t before = record.state.load(std::memory_order_relaxed);
  Facts facts = Facts::from(before);
  if (facts.kind != AllocationKind::kMalloc || facts.alignment != kMinAlignment) return false;
  if (!record.state.compare_exchange_strong(before, Facts::in_state(before, BlockState::kBusy),
                                            std::memory_order_acq_rel, std::memory_order_relaxed))
    return false;
  std::byte* const client = client_of(place, facts);
  if (bytes < facts.bytes) fill_pattern(client + bytes, client + facts.bytes);  // the rest of the slack holds it
  facts.bytes = bytes;
  facts.generation = Facts::generation_after(before);
  std::uint64_t const word = facts.word();
  std::byte* const header = client - kHeaderBytes;
  Header::of(word, header).store(header);
  note_allocation(record);
  record.state.store(word, std::memory_order_release);
  return true;
}

bool HardenedMode::sweep(BlockPlace const& place) noexcept {
  constexpr char const* kCall = "a heap check";
  std::uint64_t const word = place.record->state.load(std::memory_order_acquire);
  switch (Facts::from(word).state) {
    case BlockState::kLive:
      return check_live(place, word, kCall);
    case BlockState::kFree:
      return place.where == BlockPlace::Where::kLarge || check_free(place, word, kCall);
    default:
      return true;
  }
}

void HardenedMode::watch(BlockPlace (*find)(void const*)) noexcept {
  fixed.find_block = find;
  Faults::install(&explain);
}

// Not protected is as good as the default of other programs; not sealed, as good as an older kernel's.
void HardenedMode::seal() noexcept {
  static_cast<void>(Linux::protect_read_only(&fixed, sizeof fixed));
  static_cast<void>(Linux::seal(&fixed, sizeof fixed));
}

void* hardened::SealedLinks::broken_link(void* place) noexcept {
  Evidence evidence{ErrorKind::kUseAfterFree, "the free list", place};
  evidence.damaged = sizeof(void*);
  report(evidence);
  return nullptr;
}

}  // namespace hakmem
