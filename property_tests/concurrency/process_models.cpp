// What it owns: models of what serves the process as a whole - the list of ranges that the system
// refused to unmap, and the helper thread.
// Thread-safety: none.
#include "core/api/allocator.h"
#include "core/os/leftovers.h"
#include "property_tests/concurrency/model_os.h"
#include "property_tests/concurrency/run_models.h"

namespace hakmem::model {
namespace {

// Other threads go on while one waits, and while it unmaps.
struct SlowOs : ModelOs {
  static inline unsigned unmapping = 0;

  static void relax() noexcept { rl::yield(1, at(Location::current())); }
  static OsStatus unmap(void* start, std::size_t bytes) noexcept {
    ++unmapping;
    relax();
    OsStatus const status = ModelOs::unmap(start, bytes);
    --unmapping;
    return status;
  }
};

// covers: F1 M3
// states: two threads record ranges and retry, a third forks: each range is unmapped once, none is in hand at the fork
// seeded: core/os/leftovers.h: first_ = place->next; => ;
// seeded: core/os/leftovers.h: append(taken.place); => ;
// seeded: core/os/leftovers.h: if (in_retry_ == 0) return; => return;
struct LeftoversModel : Model<LeftoversModel, 3> {
  static constexpr std::size_t kRangeBytes = ModelOs::kPage;
  Leftovers<SlowOs, ModelSync> leftovers;

  void before() {
    ModelOs::begin();
    ModelOs::refusals = 2;
    SlowOs::unmapping = 0;
  }
  void thread(unsigned index) {
    if (index == 2) return fork();
    void* const range = ModelOs::map(nullptr, kRangeBytes, MapKind::kNormal).address;
    leftovers.keep(range, kRangeBytes, index == 0 ? range : nullptr);
    leftovers.retry();
  }
  void fork() {
    leftovers.lock_for_fork();
    RL_ASSERT(SlowOs::unmapping == 0);
    SlowOs::relax();
    RL_ASSERT(SlowOs::unmapping == 0);
    leftovers.unlock_after_fork();
  }
  void after() {
    for (unsigned tries = 0; tries < 4; ++tries) leftovers.retry();
    RL_ASSERT(leftovers.ranges() == 0 && leftovers.bytes() == 0);
    RL_ASSERT(MappedMemory::ranges() == 0);
  }
};

// covers: F1 M3 R2
// states: two threads allocate, one starts the helper, which prepares SuperSlabs: one helper, one holder, one more in a child
// seeded: core/global/background.h: return !claimed_.exchange(true, std::memory_order_relaxed); => claimed_.store(true, std::memory_order_relaxed); return true;
// seeded: core/global/background.h: claimed_.store(false, std::memory_order_relaxed); => ;
// seeded: core/global/superslab_pool.h: if ((super = cold_.pop_front())) --cold_count_; => super = cold_.first();
struct HelperModel : Model<HelperModel, 3> {
  using Subject = Allocator<ModelMode, ModelOs, ModelSync, C::Geo>;
  Subject subject;
  Atomic<bool> running;
  unsigned started = 0;

  void before() {
    ModelOs::begin();
    Settings settings;
    settings.prefault = PrefaultPolicy::kBackground;
    subject.configure(settings);
    subject.warm_up(2 * C::Geo::kSuperSlabBytes);
  }
  void start_helper() {
    if (!subject.claim_helper()) return;
    ++started;
    running.store(true, std::memory_order_release);
  }
  void thread(unsigned index) {
    if (index == 2) {
      for (unsigned round = 0; round < 2; ++round)
        if (running.load(std::memory_order_acquire)) subject.help();
      return;
    }
    auto* const heap = subject.attach();
    void* const block = subject.allocate(heap, C::Geo::kQuantum);
    RL_ASSERT(block);
    start_helper();
    subject.release(heap, block);
    subject.detach(heap);
  }
  void after() {
    RL_ASSERT(started == 1);
    RL_ASSERT(subject.validate(Subject::unattached()));
    subject.before_fork();
    subject.after_fork_in_child();
    start_helper();
    start_helper();
    RL_ASSERT(started == 2);
    subject.trim(Subject::unattached());
    RL_ASSERT(subject.statistics().super_slabs_now == 0);
  }
};

Registered const registered[] = {
    model_of<LeftoversModel>("leftovers", {.random = 10000, .bound = 2, .deep_bound = 3}),
    model_of<HelperModel>("helper", {.random = 5000, .bound = 1, .deep_bound = 2}),
};

}  // namespace
}  // namespace hakmem::model
