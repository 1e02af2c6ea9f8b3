// What it owns: an operating system whose calls fail on demand, over a real or simulated one, with
// books of what is mapped.
// Invariants: a call that is made to fail has no effect; the ledger holds exactly what was mapped
// and not unmapped through this system.
// Thread-safety: all functions may be called by any thread; reset() and set_plan() by one, alone.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/os/linux.h"
#include "core/os/os.h"
#include "property_tests/range_ledger.h"

namespace hakmem::testing {

enum class OsCall : unsigned {
  kMap,
  kUnmap,
  kResize,
  kMove,
  kProtectNone,
  kProtectReadWrite,
  kPopulateWrite,
  kPurge,
  kAdviseHuge,
  kAdviseNoHuge,
  kCollapseHuge,
};
inline constexpr unsigned kOsCalls = 11;

using OsCallSet = std::uint32_t;
constexpr OsCallSet only(OsCall call) { return OsCallSet{1} << static_cast<unsigned>(call); }
inline constexpr OsCallSet kEveryCall = (OsCallSet{1} << kOsCalls) - 1;

// The calls that a plan can tell apart.
using CallBits = unsigned __int128;
inline constexpr unsigned kNamedCalls = 128;

// Which calls fail, and how. Calls are numbered from 0 among those in `kinds`. Code kLies: they do nothing and
// say that they did, as no kernel does: what is built on such a system must break, and checks must notice.
struct FaultPlan {
  static constexpr int kLies = 0;
  OsCallSet kinds = kEveryCall;
  CallBits which = 0;  // bit k: call k fails
  bool later = false;  // calls kNamedCalls and on fail too
  int code = ENOMEM;

  static FaultPlan none() { return {}; }
  static FaultPlan nth(unsigned k, int code, OsCallSet kinds = kEveryCall) {
    return {kinds, k < kNamedCalls ? CallBits{1} << k : 0, false, code};
  }
  static FaultPlan always(int code, OsCallSet kinds = kEveryCall) { return {kinds, ~CallBits{0}, true, code}; }
};

template <OperatingSystem Under>
class FaultyOs {
 public:
  // --- control ---

  // Forgets everything and follows `plan`.
  static void reset(FaultPlan plan = {}) {
    std::scoped_lock const held(mutex_);
    state_ = State{};
    state_.plan = plan;
  }
  // Follows `plan` from now on; numbers calls from 0 again.
  static void set_plan(FaultPlan plan) {
    std::scoped_lock const held(mutex_);
    state_.plan = plan;
    state_.numbered = 0;
  }
  // Unmaps what an allocator that came to its end still had.
  static void unmap_all() {
    std::scoped_lock const held(mutex_);
    state_.ledger.for_each([](void* base, std::size_t bytes) { static_cast<void>(Under::unmap(base, bytes)); });
    state_.ledger = {};
  }
  static void advance_ms(std::uint64_t ms) {
    std::scoped_lock const held(mutex_);
    state_.skipped_ms += ms;
  }

  // What the system says of mappings from now on, instead of the truth.
  static void set_mappings(std::size_t now, std::size_t most) {
    std::scoped_lock const held(mutex_);
    state_.mappings = Mappings{true, now, most};
  }

  // Whether the system makes huge pages unasked from now on; at first it does not.
  static void set_gives_huge_pages(bool gives) {
    std::scoped_lock const held(mutex_);
    state_.gives_huge_pages = gives;
  }

  static std::uint64_t calls(OsCall call) { return read(state_.calls[static_cast<unsigned>(call)]); }
  static std::uint64_t calls() { return read(state_.log).size(); }
  static std::vector<OsCall> log() { return read(state_.log); }
  static std::uint64_t failed() { return read(state_.failed); }
  static std::uint64_t touches() { return read(state_.touches); }
  static std::uint64_t wakes() { return read(state_.wakes); }
  // How long the last wait with a limit was to last at most.
  static std::uint64_t last_limit_ms() { return read(state_.last_limit_ms); }
  // Bytes that were given this name.
  static std::size_t named(std::string const& text) {
    auto const names = read(state_.names);
    auto const found = names.find(text);
    return found == names.end() ? 0 : found->second;
  }
  static RangeLedger ledger() { return read(state_.ledger); }
  // What the caller did that no correct caller does; empty if nothing.
  static std::string violation() { return read(state_.violation); }

  // --- OperatingSystem ---

  static std::size_t page_bytes() noexcept { return Under::page_bytes(); }
  static std::size_t huge_page_bytes() noexcept { return Under::huge_page_bytes(); }
  static bool gives_huge_pages() noexcept { return read(state_.gives_huge_pages); }

  static OsMapping map(void* hint, std::size_t bytes, MapKind kind) noexcept {
    std::scoped_lock const held(mutex_);
    if (Fate const fate = enter(OsCall::kMap); !fate.happens) return {nullptr, fate.status};
    OsMapping const mapping = Under::map(hint, bytes, kind);
    if (mapping.ok() && !state_.ledger.add(mapping.address, bytes)) blame("map returned memory that is held");
    return mapping;
  }

  static OsStatus unmap(void* address, std::size_t bytes) noexcept {
    return change(OsCall::kUnmap, address, bytes, [&] {
      OsStatus const status = Under::unmap(address, bytes);
      if (status.ok()) state_.ledger.remove(address, bytes);
      return status;
    });
  }

  static OsStatus resize(void* address, std::size_t old_bytes, std::size_t new_bytes) noexcept {
    return change(OsCall::kResize, address, old_bytes, [&] {
      OsStatus const status = Under::resize(address, old_bytes, new_bytes);
      if (status.ok()) replace(address, old_bytes, address, new_bytes);
      return status;
    });
  }

  static OsStatus move(void* address, std::size_t old_bytes, std::size_t new_bytes, void* to) noexcept {
    return change(OsCall::kMove, address, old_bytes, [&] {
      OsStatus const status = Under::move(address, old_bytes, new_bytes, to);
      if (status.ok()) replace(address, old_bytes, to, new_bytes);
      return status;
    });
  }

  static OsStatus protect_none(void* address, std::size_t bytes) noexcept {
    return change(OsCall::kProtectNone, address, bytes, [&] { return Under::protect_none(address, bytes); });
  }
  static OsStatus protect_read_write(void* address, std::size_t bytes) noexcept {
    return change(OsCall::kProtectReadWrite, address, bytes, [&] { return Under::protect_read_write(address, bytes); });
  }
  static OsStatus guard(void* address, std::size_t bytes) noexcept {
    return change(OsCall::kProtectNone, address, bytes, [&] { return Under::guard(address, bytes); });
  }
  static bool guards_split() noexcept { return Under::guards_split(); }
  static OsStatus populate_write(void* address, std::size_t bytes) noexcept {
    return change(OsCall::kPopulateWrite, address, bytes, [&] { return Under::populate_write(address, bytes); });
  }
  static OsStatus purge(void* address, std::size_t bytes) noexcept {
    return change(OsCall::kPurge, address, bytes, [&] { return Under::purge(address, bytes); });
  }
  static OsStatus advise_huge(void* address, std::size_t bytes) noexcept {
    return change(OsCall::kAdviseHuge, address, bytes, [&] { return Under::advise_huge(address, bytes); });
  }
  static OsStatus advise_no_huge(void* address, std::size_t bytes) noexcept {
    return change(OsCall::kAdviseNoHuge, address, bytes, [&] { return Under::advise_no_huge(address, bytes); });
  }
  static OsStatus collapse_huge(void* address, std::size_t bytes) noexcept {
    return change(OsCall::kCollapseHuge, address, bytes, [&] { return Under::collapse_huge(address, bytes); });
  }

  static void touch(void* address) noexcept {
    std::scoped_lock const held(mutex_);
    ++state_.touches;
    if (!state_.ledger.contains(address, 1)) blame("touch of memory that is not held");
    Under::touch(address);
  }
  static void name(void* address, std::size_t bytes, char const* text) noexcept {
    std::scoped_lock const held(mutex_);
    if (!state_.ledger.contains(address, bytes)) blame("a name for memory that is not held");
    state_.names[text] += bytes;
    Under::name(address, bytes, text);
  }
  static std::size_t mappings() noexcept {
    auto const told = read(state_.mappings);
    return told.set ? told.now : Under::mappings();
  }
  static std::size_t mappings_max() noexcept {
    auto const told = read(state_.mappings);
    return told.set ? told.most : Under::mappings_max();
  }
  static std::uint64_t now_ms() noexcept { return Under::now_ms() + read(state_.skipped_ms); }
  static void wait(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept { Under::wait(word, value); }
  static void wait_for(std::atomic<std::uint32_t>& word, std::uint32_t value, std::uint64_t ms) noexcept {
    {
      std::scoped_lock const held(mutex_);
      state_.last_limit_ms = ms;
    }
    Under::wait_for(word, value, ms);
  }
  static void wake_one(std::atomic<std::uint32_t>& word) noexcept {
    {
      std::scoped_lock const held(mutex_);
      ++state_.wakes;
    }
    Under::wake_one(word);
  }
  static void relax() noexcept { Under::relax(); }
  static void write(int fd, char const* text, std::size_t bytes) noexcept { Under::write(fd, text, bytes); }

 private:
  struct Mappings {
    bool set = false;
    std::size_t now = 0;
    std::size_t most = 0;
  };
  struct State {
    FaultPlan plan;
    std::uint64_t numbered = 0;  // calls in plan.kinds so far
    std::uint64_t calls[kOsCalls] = {};
    std::vector<OsCall> log;
    std::uint64_t failed = 0;
    std::uint64_t touches = 0;
    std::uint64_t wakes = 0;
    std::uint64_t last_limit_ms = 0;
    std::map<std::string, std::size_t> names;
    std::uint64_t skipped_ms = 0;
    Mappings mappings;
    bool gives_huge_pages = false;
    RangeLedger ledger;
    std::string violation;
  };

  template <class T>
  static T read(T const& figure) {
    std::scoped_lock const held(mutex_);
    return figure;
  }

  static void blame(char const* text) {
    if (state_.violation.empty()) state_.violation = text;
  }

  struct Fate {
    bool happens;
    OsStatus status;
  };
  // Counts a call and decides its fate.
  static Fate enter(OsCall call) {
    ++state_.calls[static_cast<unsigned>(call)];
    state_.log.push_back(call);
    FaultPlan const& plan = state_.plan;
    if ((plan.kinds & only(call)) == 0) return {true, {}};
    std::uint64_t const number = state_.numbered++;
    bool const fails = number < kNamedCalls ? (plan.which >> number & 1) != 0 : plan.later;
    if (!fails) return {true, {}};
    ++state_.failed;
    if (plan.code == FaultPlan::kLies) return {false, {}};
    return {false, {Linux::classify(plan.code), plan.code}};
  }

  template <class Action>
  static OsStatus change(OsCall call, void* address, std::size_t bytes, Action action) noexcept {
    std::scoped_lock const held(mutex_);
    if (!state_.ledger.contains(address, bytes)) blame("a call on memory that is not held");
    Fate const fate = enter(call);
    return fate.happens ? action() : fate.status;
  }

  static void replace(void* from, std::size_t old_bytes, void* to, std::size_t new_bytes) {
    state_.ledger.remove(from, old_bytes);
    state_.ledger.remove_any(to, new_bytes);
    state_.ledger.add(to, new_bytes);
  }

  static inline std::mutex mutex_;
  static inline State state_;
};

using FaultyLinux = FaultyOs<Linux>;
static_assert(OperatingSystem<FaultyLinux>);

}  // namespace hakmem::testing
