// What it owns: all schedules of a program with at most so many preemptions, one after the other, by a search in depth
// through the choices of earlier runs (Musuvathi, Qadeer 2007: most races need few preemptions).
//
// A choice is who goes on at a switch point. Going on with the running fiber costs nothing, another one at an atomic
// access is a preemption; at the start and at an end any may go on without cost. A fiber that waits gives way to the
// others in turn.
// Invariants: the program does the same when the choices are the same; that is checked.
// Thread-safety: one thread.
#pragma once

#include <string>
#include <vector>

#include "property_tests/schedules/fibers.h"

namespace hakmem::testing {

class Enumeration final : public Scheduler {
 public:
  explicit Enumeration(unsigned preemptions) : bound_(preemptions) {}

  // Before each run.
  void begin();
  // After each run: prepares the next schedule; false: there is none.
  bool advance();
  unsigned choose(Point point, unsigned current, Ready ready) override;

  // The bound, and the choices of this run that were not the first one: "2/17:1,40:2,".
  std::string token() const;
  // Makes the next run take the choices of a token and no others; false: it is none.
  bool replay(std::string const& token);

  unsigned long long points() const { return points_; }  // switch points, of all runs
  std::size_t longest() const { return longest_; }       // choices in one run, at most

 private:
  struct Choice {
    unsigned taken, options;
  };

  unsigned take(unsigned options);

  std::vector<Choice> path_;
  unsigned bound_;
  std::size_t next_ = 0;      // of path_
  unsigned preemptions_ = 0;  // in this run
  bool diverged_ = false;
  unsigned long long points_ = 0;
  std::size_t longest_ = 0;
};

}  // namespace hakmem::testing
