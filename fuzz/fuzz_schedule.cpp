// Several logical threads on the whole allocator: the operations of each run in order, the input decides at which
// atomic access which other thread goes on. Attach, detach, adoption, remote frees, trimming, purging and fork meet in
// every way. Oracle: the reference model at any time, and the whole heap when all are done.
#include "fuzz/programs.h"
#include "property_tests/model/sabotage.h"
#include "property_tests/schedules/fibers.h"

namespace hakmem::fuzz {
namespace {

using testing::Operation;
using testing::Subject;

// Of an operation: the thread that performs it, and when it is left in the middle for whom.
struct Scheduled {
  Operation operation;
  unsigned steps, to;
};

// The running thread hands over to thread `to` at the `steps`-th switch point from when it was told on; 0: never.
class InputScheduler final : public testing::Scheduler {
 public:
  void switch_after(unsigned steps, unsigned to) {
    steps_ = steps;
    to_ = to;
  }
  unsigned choose(Point point, unsigned current, testing::Ready ready) override {
    if (point == Point::kStart) return 0;
    if (point != Point::kStep) return testing::in_turn(ready, current + 1);
    return steps_ == 0 || --steps_ != 0 ? current : testing::in_turn(ready, to_);
  }

 private:
  unsigned steps_ = 0, to_ = 0;
};

// The byte that chooses the thread has six bits to spare: four for the steps, two for the next thread.
Scheduled scheduled(testing::Record const& record) {
  return {testing::decode(record), record.thread >> 2 & 15u, record.thread >> 6 & 3u};
}

template <class Mode, class G>
std::unique_ptr<Subject> make(testing::SubjectKind const& kind) {
  return std::make_unique<testing::SubjectOn<Mode, testing::FiberOs, G, testing::FiberSync>>(kind.settings());
}

void check(Input input, unsigned seeded) {
  std::vector<testing::Record> const records = testing::records_of(input);
  if (records.empty()) return;
  testing::Fibers::torn_exchange = seeded == 1;
  testing::SubjectKind const kind = testing::decode_subject(records[0]);
  auto const sabotage = seeded < 2 ? testing::Sabotage::kNone : testing::Sabotage::kTwice;
  auto const subject = testing::sabotaged(
      kind.tiny ? make<FastMode, TinyGeometry>(kind) : make<FastMode, DefaultGeometry>(kind), sabotage);
  testing::ReferenceHeap heap(*subject, testing::ReferenceHeap::Calls::kScheduled);

  std::vector<Scheduled> programs[Subject::kThreads];
  for (std::size_t i = 1; i < records.size() && i <= kMostOperations; ++i)
    programs[records[i].thread % Subject::kThreads].push_back(scheduled(records[i]));
  InputScheduler scheduler;
  std::vector<std::function<void()>> bodies;
  for (auto const& program : programs)
    bodies.push_back([&program, &heap, &scheduler] {
      for (Scheduled const& one : program) {
        scheduler.switch_after(one.steps, one.to);
        testing::perform(one.operation, heap);
      }
    });
  testing::Fibers::run(std::move(bodies), scheduler);
  heap.finish();
}

std::string print(Input input) {
  std::string text;
  for (testing::Record const& record : testing::records_of(input)) {
    if (text.empty()) {
      text = "// " + testing::decode_subject(record).to_code() + "\n";
      continue;
    }
    Scheduled const one = scheduled(record);
    text += "// thread " + std::to_string(record.thread % Subject::kThreads) + ": " + testing::to_code(one.operation) +
            " // after " + std::to_string(one.steps) + " accesses: thread " + std::to_string(one.to) + "\n";
  }
  return text;
}

}  // namespace

Surface const surface{"schedule", true, &check, 2, &print};

}  // namespace hakmem::fuzz
