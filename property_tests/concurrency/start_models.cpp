// What it owns: the model of a process's first call - the options become settings once.
// Thread-safety: none.
#include "core/api/options.h"
#include "core/base/once.h"
#include "property_tests/concurrency/model_os.h"
#include "property_tests/concurrency/run_models.h"

namespace hakmem::model {
namespace {

// covers: S1
// states: three threads come first: the options are read once, and each thread sees all of them before it goes on
// seeded: core/base/once.h: if (done_.load(std::memory_order_relaxed)) return false; => ;
// seeded: core/base/once.h: Locked guard(lock_); => if (!lock_.try_lock()) return false; lock_.unlock();
struct FirstCallModel : Model<FirstCallModel, 3> {
  static constexpr char const* kEnvironment[] = {"HAKMEM_PURGE_MS=7", "HAKMEM_BATCH=3", "HAKMEM_STATS=json", "OTHER=1",
                                                 nullptr};
  static constexpr std::uint64_t kPurgeMs = 7, kBatch = 3, kJson = 2;

  Once<ModelSync, ModelOs, LockRank::kStart> start;
  Plain<std::uint64_t> purge_ms, batch, stats;
  int reads = 0;
  unsigned refused = 0;

  void before() { ModelOs::begin(); }

  void read() {
    TextWriter messages([](void* count, char const*, std::size_t) { ++*static_cast<unsigned*>(count); }, &refused);
    Settings const settings = read_options(kEnvironment, messages);
    purge_ms.set(settings.purge_delay_ms);
    batch.set(settings.batch_max);
    stats.set(static_cast<std::uint64_t>(settings.stats_at_exit));
    ++reads;
  }
  void look() {
    RL_ASSERT(purge_ms.get() == kPurgeMs);
    RL_ASSERT(batch.get() == kBatch);
    RL_ASSERT(stats.get() == kJson);
  }
  void thread(unsigned) {
    bool const first = start.run([this] { read(); });
    RL_ASSERT(!first || reads == 1);
    look();
    RL_ASSERT(!start.run([this] { read(); }));
  }
  void after() { RL_ASSERT(reads == 1 && refused == 0); }
};

Registered const registered[] = {
    model_of<FirstCallModel>("first_call", {.random = 10000, .bound = 2, .deep_bound = 3}),
};

}  // namespace
}  // namespace hakmem::model
