// What it owns: a set of address ranges, for the tests' books of what is mapped.
// Invariants: the runs are disjoint, not empty, and do not touch.
// Thread-safety: none; the owner serialises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>

namespace hakmem::testing {

class RangeLedger {
 public:
  // False, and nothing changes, when some of it is there already.
  bool add(void const* base, std::size_t bytes) {
    std::uintptr_t start = address(base), end = start + bytes;
    if (overlaps(start, end)) return false;
    bytes_ += bytes;
    auto next = runs_.lower_bound(start);
    if (next != runs_.end() && next->first == end) {
      end = next->second;
      next = runs_.erase(next);
    }
    if (next != runs_.begin() && std::prev(next)->second == start) {
      std::prev(next)->second = end;
    } else {
      runs_.emplace(start, end);
    }
    return true;
  }

  // False, and nothing changes, when some of it is not there.
  bool remove(void const* base, std::size_t bytes) {
    if (!contains(base, bytes)) return false;
    std::uintptr_t const start = address(base), end = start + bytes;
    auto const run = std::prev(runs_.upper_bound(start));
    auto const [run_start, run_end] = *run;
    runs_.erase(run);
    if (run_start < start) runs_.emplace(run_start, start);
    if (end < run_end) runs_.emplace(end, run_end);
    bytes_ -= bytes;
    return true;
  }

  // Removes whatever of it is there.
  void remove_any(void const* base, std::size_t bytes) {
    std::uintptr_t const start = address(base), end = start + bytes;
    for (auto run = runs_.begin(); run != runs_.end();) {
      std::uintptr_t const from = run->first > start ? run->first : start;
      std::uintptr_t const to = run->second < end ? run->second : end;
      ++run;
      if (from < to) remove(reinterpret_cast<void*>(from), to - from);
    }
  }

  bool contains(void const* base, std::size_t bytes) const {
    std::uintptr_t const start = address(base);
    auto const after = runs_.upper_bound(start);
    return after != runs_.begin() && std::prev(after)->second >= start + bytes;
  }

  // act(base, bytes) for each run.
  template <class Act>
  void for_each(Act act) const {
    for (auto const& [start, end] : runs_) act(reinterpret_cast<void*>(start), end - start);
  }

  std::size_t bytes() const { return bytes_; }
  std::size_t runs() const { return runs_.size(); }

 private:
  static std::uintptr_t address(void const* base) { return reinterpret_cast<std::uintptr_t>(base); }

  bool overlaps(std::uintptr_t start, std::uintptr_t end) const {
    auto const next = runs_.lower_bound(start);
    if (next != runs_.end() && next->first < end) return true;
    return next != runs_.begin() && std::prev(next)->second > start;
  }

  std::map<std::uintptr_t, std::uintptr_t> runs_;  // start -> end
  std::size_t bytes_ = 0;
};

}  // namespace hakmem::testing
