// What it owns: models of the SuperSlabs that heaps, the pool and the purger hand to each other.
// Thread-safety: none.
#include "core/global/global.h"
#include "core/heap/directory.h"
#include "core/heap/heap_slow.h"
#include "property_tests/concurrency/model_os.h"
#include "property_tests/concurrency/run_models.h"

namespace hakmem::model {
namespace {

using G = C::Geo;

// What clients wrote into each slab of the region: written by whoever holds the slab, and by the
// system when it gives the pages back.
constexpr unsigned kSlabs = 8 * G::kSlabsPerSuperSlab;
Plain<int> contents[kSlabs];

unsigned slab_number(std::byte const* address) {
  return static_cast<unsigned>(static_cast<std::size_t>(address - ModelOs::region) / G::kSlabBytes);
}
void zero_contents(std::byte* start, std::size_t bytes) {
  for (unsigned i = slab_number(start); i < slab_number(start + bytes); ++i) contents[i].set(0);
}
void begin() {
  ModelOs::begin();
  for (Plain<int>& content : contents) content.set(0);
  ModelOs::on_purge = zero_contents;
}

// Takes a slab, writes into it and returns it. What is said to be zero must be.
void use_slab(SuperSlab<C>* super, int value, bool exactly) {
  bool zeroed = false;
  unsigned index = 1;  // what the first take_run took
  if (exactly) {
    if (!super->take_exactly(kernels::run_of_slabs(index, 1))) return;
  } else {
    index = super->take_run(1, 1, true, zeroed);
    if (index == kernels::kNoRun) return;
  }
  Plain<int>& content = contents[slab_number(super->base) + index];
  RL_ASSERT(!zeroed || content.get() == 0);
  content.set(value);
  super->return_run(kernels::run_of_slabs(index, 1));
}

// covers: A3 R2
// states: a heap takes and returns slabs while the purger takes free ones, purges and returns them: one holder each
// seeded: core/global/purge.h: taken = sets.free & sets.dirty & wanted; => taken = sets.dirty & wanted;
// seeded: core/global/purge.h: SlabSets{SlabSets::from(word).free | taken, => SlabSets{taken,
struct SlabWordModel : Model<SlabWordModel, 2> {
  Global<C> global;
  SuperSlab<C>* super = nullptr;

  void before() {
    begin();
    super = global.pool.map_new(global.space);
  }
  void thread(unsigned index) {
    if (index == 1) {
      global.purger.purge_all(global.space, global.pool, global.large);
      return;
    }
    use_slab(super, 1, false);
    use_slab(super, 2, true);
    use_slab(super, 3, false);
  }
  void after() {
    SlabSets const sets = SlabSets::from(super->slabs.load(std::memory_order_relaxed));
    RL_ASSERT(sets.free == G::kAllSlabs && super->used_slabs == 0);
  }
};

// covers: M3 R2
// states: two heaps take SuperSlabs, use them and put them back while a third thread trims: one holder, none lost
// seeded: core/global/superslab_pool.h: warm_.remove(super); => ;
struct PoolModel : Model<PoolModel, 3> {
  Global<C> global;

  void before() {
    begin();
    global.space.settings.prefault = PrefaultPolicy::kPopulate;
  }
  void use_super_slab(int value) {
    SuperSlab<C>* super = global.pool.take_pooled(global.space);
    if (!super) super = global.pool.map_new(global.space);
    RL_ASSERT(super);
    use_slab(super, value, false);
    global.pool.put_back(super, 0);
  }
  void thread(unsigned index) {
    if (index == 2) {
      global.purger.purge_all(global.space, global.pool, global.large);
      return;
    }
    use_super_slab(static_cast<int>(index) + 1);
    if (index == 0) use_super_slab(3);
  }
  void after() {
    auto const counts = global.pool.counts();
    RL_ASSERT(counts.mapped_now == counts.warm + counts.cold);
    RL_ASSERT(counts.mapped - counts.released == counts.mapped_now);
    RL_ASSERT(global.pool.validate());
    for (SuperSlab<C>* super = global.pool.all(); super; super = super->all_next) {
      auto const free = SlabSets::from(super->slabs.load(std::memory_order_relaxed)).free;
      RL_ASSERT(free == G::kAllSlabs || free == 0);
    }
  }
};

// covers: M3 R2
// states: two threads map SuperSlabs and one walks all descriptors: it sees each whole or not at all, none is lost
// seeded: core/global/superslab_pool.h: super->all_next = head; => super->all_next = nullptr;
struct PublishModel : Model<PublishModel, 2> {
  Global<C> global;
  void before() {
    begin();
    global.space.settings.prefault = PrefaultPolicy::kPopulate;
  }
  void thread(unsigned index) {
    if (index == 0) {
      RL_ASSERT(global.pool.map_new(global.space));
      return;
    }
    RL_ASSERT(global.pool.map_new(global.space));
    global.purger.purge_all(global.space, global.pool, global.large);
  }
  void after() {
    unsigned known = 0;
    for (SuperSlab<C>* super = global.pool.all(); super; super = super->all_next) ++known;
    RL_ASSERT(known >= global.pool.counts().mapped_now);
  }
};

// covers: M3 R2
// states: the descriptor of a released SuperSlab gets new memory while the purger looks at it: it purges no other
// seeded: core/global/superslab_pool.h: if (!has_records(space, super) || !space.enter(base, RegistryEntry<C>(super))) { => super->slabs.store(~std::uint64_t{0}, std::memory_order_release); if (!space.enter(base, RegistryEntry<C>(super))) {
struct RecycleModel : Model<RecycleModel, 2> {
  Global<C> global;
  void before() {
    begin();
    global.space.settings.prefault = PrefaultPolicy::kPopulate;
    global.pool.put_back(global.pool.map_new(global.space), 0);
    global.purger.purge_all(global.space, global.pool, global.large);
    RL_ASSERT(global.pool.counts().mapped_now == 0);
  }
  void thread(unsigned index) {
    if (index == 0) {
      RL_ASSERT(global.pool.map_new(global.space));
      return;
    }
    global.purger.purge_all(global.space, global.pool, global.large);
  }
};

Registered const registered[] = {
    model_of<RecycleModel>("recycle", {.random = 5000, .bound = 1, .deep_bound = 2}),
    model_of<SlabWordModel>("slab_word", {.random = 20000, .bound = 2, .deep_bound = 3}),
    model_of<PoolModel>("pool", {.random = 10000, .deep_bound = 1}),
    model_of<PublishModel>("publish", {.random = 10000, .deep_bound = 1}),
};

}  // namespace
}  // namespace hakmem::model
