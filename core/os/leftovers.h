// What it owns: ranges that the kernel refused to unmap. munmap fails with ENOMEM when it would
// have to split a mapping at vm.max_map_count, and the kernel merges neighbouring mappings, so any
// unmap may have to split.
// Invariants: every range handed over is in the list, in the hands of one retry, or unmapped; it
// is never used for anything else. The record of a range lies in the range itself, so there is
// always room for it; ranges without access use a spare record that was secured before they were
// mapped. No lock is held across a system call. All zero when empty.
// Thread-safety: all functions may be called by any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/base/atomic.h"
#include "core/base/check.h"
#include "core/base/lock.h"
#include "core/os/os.h"

namespace hakmem {

template <OperatingSystem Os, class Sync = StdSync>
class Leftovers {
 public:
  // Ranges that one retry() tries at most.
  static constexpr unsigned kRetryBound = 8;
  // Ranges without access that can be held, and how many of them one request may leave behind.
  static constexpr unsigned kSpares = 64;
  static constexpr unsigned kSparesPerRequest = 4;

  constexpr Leftovers() noexcept = default;
  Leftovers(Leftovers const&) = delete;
  Leftovers& operator=(Leftovers const&) = delete;

  // Takes a mapped range over. `record_at` is an aligned, writable place for a Record inside the
  // range, or null inside enter()/leave(). Everything else in the range may be given back.
  void keep(void* base, std::size_t bytes, void* record_at) noexcept {
    Os::purge(base, bytes);
    Locked<LockType> const held(lock_);
    Record* const record = record_at ? static_cast<Record*>(record_at) : take_spare();
    *record = {nullptr, base, bytes};
    append(record);
    ranges_.fetch_add(1, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }

  // Secures spare records for one request that handles ranges without access; leave() gives back
  // what the request did not use. False: too many are held already, so do not map.
  bool enter() noexcept {
    Locked<LockType> const held(lock_);
    if (spares_used_ + (requests_ + 1) * kSparesPerRequest > kSpares) return false;
    ++requests_;
    return true;
  }
  void leave() noexcept {
    Locked<LockType> const held(lock_);
    --requests_;
  }

  // Tries to unmap at most `most` ranges, those that waited longest first. Returns the bytes unmapped.
  std::size_t retry(unsigned most = kRetryBound) noexcept {
    std::size_t released = 0;
    std::size_t const present = ranges();
    for (std::size_t tried = 0; tried < most && tried < present; ++tried) {
      Taken const taken = take();
      if (!taken.place) break;
      bool const gone = Os::unmap(taken.record.base, taken.record.bytes).ok();
      put_back(taken, gone);
      if (gone) released += taken.record.bytes;
    }
    return released;
  }

  // What is held now.
  std::size_t ranges() const noexcept { return ranges_.load(std::memory_order_relaxed); }
  std::size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

  // Around fork: no retry is under way while the process is copied.
  void lock_for_fork() noexcept {
    for (;; Os::relax()) {
      lock_.lock();
      if (in_retry_ == 0) return;
      lock_.unlock();
    }
  }
  void unlock_after_fork() noexcept { lock_.unlock(); }
  void reset_in_child() noexcept {
    requests_ = 0;
    lock_.reset_in_child();
  }

 private:
  using LockType = Lock<Sync, Os, LockRank::kLeftovers>;

  struct Record {
    Record* next;
    void* base;
    std::size_t bytes;
  };
  struct Taken {
    Record* place;  // where the record was; null: there was none
    Record record;
  };

  void append(Record* record) noexcept {
    (last_ ? last_->next : first_) = record;
    last_ = record;
  }

  Taken take() noexcept {
    Locked<LockType> const held(lock_);
    Record* const place = first_;
    if (!place) return {nullptr, {}};
    first_ = place->next;
    if (!first_) last_ = nullptr;
    ++in_retry_;
    return {place, *place};
  }

  void put_back(Taken const& taken, bool gone) noexcept {
    Locked<LockType> const held(lock_);
    --in_retry_;
    if (!gone) {
      taken.place->next = nullptr;
      append(taken.place);
      return;
    }
    ranges_.fetch_sub(1, std::memory_order_relaxed);
    bytes_.fetch_sub(taken.record.bytes, std::memory_order_relaxed);
    if (is_spare(taken.place)) give_spare(taken.place);
  }

  bool is_spare(Record const* record) const noexcept {
    auto const offset = reinterpret_cast<std::uintptr_t>(record) - reinterpret_cast<std::uintptr_t>(spares_);
    return offset < sizeof spares_;
  }

  Record* take_spare() noexcept {
    VERIFY(spares_used_ != kSpares, "a range without access has a spare record");
    ++spares_used_;
    if (!free_spares_) return &spares_[spares_carved_++];
    Record* const spare = free_spares_;
    free_spares_ = spare->next;
    return spare;
  }

  void give_spare(Record* spare) noexcept {
    --spares_used_;
    spare->next = free_spares_;
    free_spares_ = spare;
  }

  LockType lock_;
  // Guarded by lock_.
  Record* first_ = nullptr;
  Record* last_ = nullptr;
  Record* free_spares_ = nullptr;
  unsigned spares_carved_ = 0;
  unsigned spares_used_ = 0;
  unsigned requests_ = 0;
  unsigned in_retry_ = 0;
  Record spares_[kSpares]{};
  // protocol: written under lock_, read by anyone as a figure; relaxed, for nothing is published.
  typename Sync::template Atomic<std::size_t> ranges_{0}, bytes_{0};
};

// What became of a range that its owner gave up.
enum class Disposal : std::uint8_t {
  kUnmapped,
  kLeftover,  // the kernel refused; `Leftovers` holds it
  kRefused,   // it is still the caller's; only for ranges without access, see release()
};
struct Released {
  Disposal disposal;
  OsStatus status;  // of the unmap
};

// Unmaps a range, or hands it to `leftovers`. `record_at` is a writable place inside the range. Null
// says that there is none: then the range stays the caller's when too many of its kind are held.
template <OperatingSystem Os, class Sync>
Released release(void* base, std::size_t bytes, Leftovers<Os, Sync>& leftovers, void* record_at) noexcept {
  bool const entered = !record_at && leftovers.enter();
  OsStatus const status = Os::unmap(base, bytes);
  Disposal disposal = Disposal::kUnmapped;
  if (!status.ok()) {
    disposal = record_at || entered ? Disposal::kLeftover : Disposal::kRefused;
    if (disposal == Disposal::kLeftover) leftovers.keep(base, bytes, record_at);
  }
  if (entered) leftovers.leave();
  return {disposal, status};
}

// For ranges whose first page is writable.
template <OperatingSystem Os, class Sync>
Released release(void* base, std::size_t bytes, Leftovers<Os, Sync>& leftovers) noexcept {
  return release<Os>(base, bytes, leftovers, base);
}

}  // namespace hakmem
