// What it owns: models of the whole allocator - heaps that start, end, are adopted and scavenged
// while blocks travel between threads.
// Thread-safety: none.
#include "core/api/allocator.h"
#include "property_tests/concurrency/model_os.h"
#include "property_tests/concurrency/run_models.h"

namespace hakmem::model {
namespace {

using Subject = Allocator<ModelMode, ModelOs, ModelSync, C::Geo>;
using Heap = Subject::Heap;

// Blocks of one class; a slab holds four.
constexpr std::size_t kBlockBytes = 64 * kKiB;
constexpr unsigned kBlocks = 3;

// Which blocks clients hold: taken by one client at a time.
class Held {
 public:
  void take(void* block) { change(block, 0, 1); }
  void give(void* block) { change(block, 1, 0); }

 private:
  void change(void* block, int from, int to) {
    auto const offset = static_cast<std::size_t>(static_cast<std::byte*>(block) - ModelOs::region);
    Plain<int>& slot = slots_[offset / kBlockBytes];
    RL_ASSERT(slot.get() == from);
    slot.set(to);
  }
  Plain<int> slots_[ModelOs::kRegionBytes / kBlockBytes];
};

template <class Derived, rl::thread_id_t kThreads>
struct HeapModel : Model<Derived, kThreads> {
  Subject subject;
  Held held;
  Atomic<void*> sent[kBlocks];

  void before() { ModelOs::begin(); }

  void* take(Heap* heap) {
    void* const block = subject.allocate(heap, kBlockBytes);
    RL_ASSERT(block);
    held.take(block);
    return block;
  }
  void give(Heap* heap, void* block) {
    held.give(block);
    subject.release(heap, block);
  }
  // From one client thread to another, as programs do it.
  void send(unsigned slot, void* block) { sent[slot].store(block, std::memory_order_release); }
  void* receive(unsigned slot) { return sent[slot].exchange(nullptr, std::memory_order_acquire); }

  // Frees what was not received, adopts and ends every heap: then clients hold nothing, and all
  // memory is back in the pool or with the system.
  void after() {
    Heap* const heap = subject.attach();
    for (unsigned slot = 0; slot < kBlocks; ++slot)
      if (void* const block = receive(slot)) give(heap, block);
    RL_ASSERT(subject.validate(heap));
    subject.detach(heap);
    subject.trim(Subject::unattached());
    Statistics const figures = subject.statistics();
    RL_ASSERT(figures.small_blocks_now == 0);
    RL_ASSERT(figures.super_slabs_now == 0);
    RL_ASSERT(figures.heaps_now == figures.heaps_parked_now);
  }
};

// covers: A3 R1 R2
// states: a thread hands blocks out and ends, another frees them to its running or parked heap: all come back once
// seeded: core/heap/outbox.h: entry.count -= static_cast<unsigned>(count); => ;
struct RemoteFreeModel : HeapModel<RemoteFreeModel, 2> {
  void thread(unsigned index) {
    Heap* const heap = subject.attach();
    if (index == 0) {
      for (unsigned slot = 0; slot < kBlocks; ++slot) send(slot, take(heap));
      give(heap, take(heap));
    } else {
      for (unsigned slot = 0; slot < kBlocks; ++slot)
        if (void* const block = receive(slot)) give(heap, block);
    }
    subject.detach(heap);
  }
};

// covers: A3 R1 R2
// states: threads start and end, one frees without a heap, one adopts what another left: one owner, nothing lost
// seeded: core/heap/directory.h: if (Heap<C>* const heap = parked_.pop_front()) { => if (Heap<C>* const heap = parked_.first()) {
struct HandOverModel : HeapModel<HandOverModel, 3> {
  void thread(unsigned index) {
    if (index == 1) {
      if (void* const block = receive(0)) give(Subject::unattached(), block);
      return;
    }
    Heap* const heap = subject.attach();
    void* const block = take(heap);
    if (index == 0)
      send(0, block);
    else
      give(heap, block);
    subject.detach(heap);
  }
};

// covers: M3 R1 R2
// states: a thread scavenges the heap that another parks while a third frees to it: one owner, all memory comes back
// seeded: core/heap/directory.h: parked_.remove(heap); => ;
struct ScavengeModel : HeapModel<ScavengeModel, 3> {
  void thread(unsigned index) {
    if (index == 0) {
      Heap* const heap = subject.attach();
      send(0, take(heap));
      send(1, take(heap));
      subject.detach(heap);
    } else if (index == 1) {
      for (unsigned slot = 0; slot < 2; ++slot)
        if (void* const block = receive(slot)) give(Subject::unattached(), block);
    } else {
      subject.trim(Subject::unattached());
    }
  }
};

// covers: A3 M3
// states: two threads allocate, free and end, one reads the figures before and after: none shrinks, wraps or is lost
// seeded: core/global/address_space.h: value_.fetch_add(amount, std::memory_order_relaxed); => add_alone(amount);
// seeded: core/global/address_space.h: value_.fetch_sub(amount, std::memory_order_relaxed); => value_.store(get() - amount, std::memory_order_relaxed);
struct StatisticsModel : HeapModel<StatisticsModel, 2> {
  static constexpr std::size_t kLargeBytes = 2 * kMiB;
  static constexpr std::uint64_t kThreads = 2,
                                 kMostBlocks = 4 * kThreads;  // what is listed counts as held: a slab each

  void thread(unsigned index) {
    Statistics const first = index == 1 ? look() : Statistics{};
    work(index);
    if (index == 0) return;
    Statistics const second = look();
    RL_ASSERT(first.small_blocks_handed_out < second.small_blocks_handed_out);
    RL_ASSERT(first.large_blocks_allocated < second.large_blocks_allocated);
    RL_ASSERT(first.super_slabs_mapped <= second.super_slabs_mapped);
    RL_ASSERT(first.map_calls <= second.map_calls);
  }
  // One block stays with its client.
  void work(unsigned slot) {
    Heap* const heap = subject.attach();
    send(slot, take(heap));
    give(heap, take(heap));
    void* const large = subject.allocate(heap, kLargeBytes);
    RL_ASSERT(large);
    subject.release(heap, large);
    subject.detach(heap);
  }
  Statistics look() {
    Statistics const figures = subject.statistics();
    RL_ASSERT(figures.small_blocks_now <= kMostBlocks && figures.large_blocks_now <= kThreads);
    RL_ASSERT(figures.small_bytes_now == figures.small_blocks_now * kBlockBytes);
    RL_ASSERT(figures.heaps_parked_now <= figures.heaps_now && figures.heaps_now <= kThreads);
    RL_ASSERT(figures.super_slabs_warm_now + figures.super_slabs_cold_now <= figures.super_slabs_mapped);
    return figures;
  }
  void after() {
    Statistics const figures = subject.statistics();
    RL_ASSERT(figures.small_blocks_now == kThreads);
    RL_ASSERT(figures.small_blocks_handed_out == 2 + figures.heaps_now);  // who adopts finds one that was freed
    RL_ASSERT(figures.large_blocks_allocated == kThreads && figures.large_blocks_now == 0);
    HeapModel::after();
  }
};

Registered const registered[] = {
    model_of<RemoteFreeModel>("remote_free", {.random = 5000, .bound = 1, .deep_bound = 2}),
    model_of<HandOverModel>("hand_over", {.random = 5000, .bound = 1, .deep_bound = 2}),
    model_of<ScavengeModel>("scavenge", {.random = 5000, .bound = 1, .deep_bound = 2}),
    model_of<StatisticsModel>("statistics", {.random = 5000, .deep_bound = 1}),
};

}  // namespace
}  // namespace hakmem::model
