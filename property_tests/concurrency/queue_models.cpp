// What it owns: models of what hands blocks and locks over - the remote queue, the lock, the pool of
// descriptors and the registry.
// Thread-safety: none.
#include "core/base/lock.h"
#include "core/global/metadata.h"
#include "core/global/registry.h"
#include "core/slab/remote_queue.h"
#include "property_tests/concurrency/model_os.h"
#include "property_tests/concurrency/run_models.h"

namespace hakmem::model {
namespace {

// A block and what its client last wrote into it.
struct Cell {
  Block<C> block;
  Plain<int> content;
};

// covers: R1
// states: two threads push single blocks and a batch, the owner drains: each block arrives once, with its content
// seeded: core/slab/remote_queue.h: return head_.exchange(nullptr, std::memory_order_acquire); => auto* all = head_.load(std::memory_order_acquire); head_.store(nullptr, std::memory_order_relaxed); return all;
struct RemoteQueueModel : Model<RemoteQueueModel, 3> {
  static constexpr int kCells = 4;
  RemoteQueue<C> queue;
  Cell cells[kCells];
  int seen[kCells] = {};

  void before() { ModelOs::begin(); }

  void send(int first, int count) {
    BlockChain<C> chain;
    for (int i = first; i < first + count; ++i) {
      cells[i].content.set(i + 100);
      chain.push(&cells[i].block);
    }
    queue.push(chain);
  }
  void drain() {
    for (Block<C>* block = queue.take_all(); block; block = block->next()) {
      auto* const cell = reinterpret_cast<Cell*>(block);
      int const index = static_cast<int>(cell - cells);
      RL_ASSERT(cell->content.get() == index + 100);
      ++seen[index];
    }
  }

  void thread(unsigned index) {
    if (index == 0) return send(0, 2);
    if (index == 1) {
      send(2, 1);
      return send(3, 1);
    }
    drain();
    drain();
  }
  void after() {
    drain();
    for (int const count : seen) RL_ASSERT(count == 1);
    RL_ASSERT(queue.empty());
  }
};

// covers: R2
// states: three threads take a lock, one only if it is free: what it guards is never torn, who sleeps is woken
// seeded: core/base/lock.h: while (word_.exchange(kWaited, => while (word_.exchange(kHeld,
// seeded: core/base/lock.h: == kWaited) Os::wake_one(word_); => == kFree) Os::wake_one(word_);
struct LockModel : Model<LockModel, 3> {
  C::Lock<LockRank::kHeaps> lock;
  Plain<int> guarded;
  int entered = 0;

  void before() {
    ModelOs::begin();
    guarded.set(0);
  }
  void enter() {
    guarded.set(guarded.get() + 1);
    ++entered;
  }
  void thread(unsigned index) {
    if (index == 2) {
      if (!lock.try_lock()) return;
      enter();
      return lock.unlock();
    }
    Locked guard(lock);
    enter();
  }
  void after() { RL_ASSERT(guarded.get() == entered && entered >= 2); }
};

// covers: R2
// states: three threads take and put back descriptors: no two hold the same one, who gets one sees its last use
// seeded: core/global/metadata.h: first_ = object->next; => first_ = object;
struct ObjectPoolModel : Model<ObjectPoolModel, 3> {
  struct Object {
    Object* next = nullptr;
    Plain<int> holders;
  };
  MetadataArena<C> arena;
  ObjectPool<C, Object, LockRank::kLargeDescriptors> pool;

  void before() { ModelOs::begin(); }
  void hold() {
    bool fresh = false;
    Object* const object = pool.take(arena, fresh);
    RL_ASSERT(object);
    RL_ASSERT(fresh || object->holders.get() == 0);
    object->holders.set(1);
    object->holders.set(0);
    pool.put_back(object);
  }
  void thread(unsigned index) {
    hold();
    if (index == 0) hold();
  }
};

// covers: R3
// states: two threads enter and remove ranges below one leaf, a third looks up: nothing or the whole descriptor
// seeded: core/global/registry.h: : expected; => : leaf;
struct RegistryModel : Model<RegistryModel, 3> {
  struct Described {
    Plain<int> value;
  };
  MetadataArena<C> arena;
  Registry<C> registry;
  Described described[2];
  static void* address(unsigned index) { return reinterpret_cast<void*>((index + 1) * C::Geo::kSuperSlabBytes); }

  void before() { ModelOs::begin(); }
  void look_up(unsigned index) {
    auto* const found = reinterpret_cast<Described*>(registry.find(address(index)).super_slab());
    if (!found) return;
    RL_ASSERT(found == &described[index]);
    RL_ASSERT(found->value.get() == static_cast<int>(index) + 7);
  }
  void thread(unsigned index) {
    if (index == 2) {
      look_up(0);
      return look_up(1);
    }
    described[index].value.set(static_cast<int>(index) + 7);
    auto* const entry = reinterpret_cast<SuperSlab<C>*>(&described[index]);
    RL_ASSERT(registry.insert(arena, address(index), RegistryEntry<C>(entry)));
    if (index == 0) registry.remove(address(index));
  }
  void after() {
    RL_ASSERT(registry.find(address(0)).bits() == 0);
    RL_ASSERT(registry.find(address(1)).bits() != 0);
  }
};

Registered const registered[] = {
    model_of<RemoteQueueModel>("remote_queue", {.random = 20000, .bound = 2, .deep_bound = 3, .deep_full = true}),
    model_of<LockModel>("lock", {.random = 50000, .bound = 2, .deep_bound = 3}),
    model_of<ObjectPoolModel>("object_pool", {.random = 10000, .bound = 1, .deep_bound = 2}),
    model_of<RegistryModel>("registry", {.random = 10000, .bound = 2, .deep_bound = 3}),
};

}  // namespace
}  // namespace hakmem::model
