// What it owns: the reference model of a heap - which slot holds which block, where it lies and what is in it. It
// performs each call on a subject and checks around it that
//   A1  blocks are aligned and disjoint, and hold what was asked for
//   A2  contents stay until they are freed, realloc keeps them, zeroed blocks are zero
//       NULL comes only where a system call failed meanwhile, or from a size that nothing can serve
//       errno stays, the heap is valid, memory is on the books, a checked build has nothing to report
// A property that does not hold is thrown as a Violation.
// Thread-safety: as the subject. A call may be left in the middle for another one, by a schedule of logical threads:
// a block that a call is about to free or to move is in no slot meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "property_tests/model/subject.h"

namespace hakmem::testing {

class ReferenceHeap {
 public:
  static constexpr unsigned kSlots = 64;
  static constexpr std::size_t kMostBytes = 48 * kMiB;  // live at a time

  struct Block {
    std::byte* start = nullptr;
    Request request;
    unsigned seed = 0;
  };

  // kScheduled: other calls may be under way, so that only what holds at any time is checked after each.
  enum class Calls { kOneByOne, kScheduled };
  explicit ReferenceHeap(Subject& subject, Calls calls = Calls::kOneByOne) : subject_(subject), calls_(calls) {}

  // Each does nothing where a program could not make the call: the slot is taken, or empty.
  void allocate(unsigned thread, unsigned slot, Request const& request);
  void allocate_zeroed(unsigned thread, unsigned slot, std::size_t bytes);
  void reallocate(unsigned thread, unsigned slot, std::size_t bytes);
  void release(unsigned thread, unsigned slot, bool sized);
  void ask_usable_bytes(unsigned thread, unsigned slot);
  void check_contents(unsigned slot) const;
  void attach(unsigned thread);
  void detach(unsigned thread);
  // Any other call, which leaves the blocks alone.
  template <class Act>
  void call(unsigned thread, Act act) {
    auto const started = begin();
    act(subject_);
    end(thread, started);
  }

  // The program ends: without failures from now on, every block is freed, every thread detached.
  void finish();

  // For what changes blocks behind the model's back. `take` empties the slot.
  Block const& block(unsigned slot) const { return blocks_[slot]; }
  Block take(unsigned slot);

  Subject& subject() { return subject_; }
  // For each request so far, whether it was served.
  std::vector<bool> const& outcomes() const { return outcomes_; }

 private:
  struct Started {
    std::uint64_t failed;
  };
  Started begin() const;
  void end(unsigned thread, Started const& started);
  bool can_ask(unsigned thread, unsigned slot, std::size_t bytes);
  bool may_refuse(Request const& request, Started const& started) const;
  void take_in(unsigned thread, unsigned slot, void* start, Request const& request, Started const& started);
  void put(unsigned thread, unsigned slot, Block const& block);
  static void check_pattern(Block const& block, std::size_t bytes);

  Subject& subject_;
  Calls const calls_;
  Block blocks_[kSlots];
  std::map<std::uintptr_t, std::uintptr_t> extents_;  // start -> end of what the client may use
  std::size_t live_bytes_ = 0;
  unsigned seed_ = 0;
  std::vector<bool> outcomes_;
};

}  // namespace hakmem::testing
