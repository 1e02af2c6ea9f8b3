// What it owns: the small programs whose schedules are enumerated. Each is made so that two parts of the library meet
// that share memory.
// Thread-safety: none; threads are fibers.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "property_tests/schedules/schedule_world.h"

namespace hakmem::testing {

// covers: A3 R1 R2
// states: a thread allocates while another frees its blocks, in a batch and one by one, and takes them in
// seeded: core/slab/remote_queue.h: return head_.exchange(nullptr, std::memory_order_acquire); => { Block<C>* const all = head_.load(std::memory_order_acquire); head_.store(nullptr, std::memory_order_relaxed); return all; }
template <class Mode>
struct RemoteFreeProgram : World<Mode> {
  static constexpr unsigned kThreads = 2;
  using World<Mode>::subject;
  void prepare() {
    owner = subject.attach();
    for (unsigned slot = 0; slot < 2; ++slot) this->send(slot, this->take(owner));
  }
  void thread(unsigned index) {
    if (index == 0) {
      for (unsigned i = 0; i < 2; ++i) this->give(owner, this->take(owner));
      return subject.detach(owner);
    }
    auto* const heap = subject.attach();
    this->give(heap, this->receive(0));
    subject.detach(heap);
    this->give(World<Mode>::nobody(), this->receive(1));
  }

  typename World<Mode>::Heap* owner = nullptr;
};

// covers: A3 R1 R2
// states: a thread ends while two that have no heap free its blocks; another adopts its heap
// seeded: core/heap/directory.h: if (Heap<C>* const heap = parked_.pop_front()) { => if (Heap<C>* const heap = parked_.first()) {
template <class Mode>
struct AdoptProgram : World<Mode> {
  static constexpr unsigned kThreads = 3;
  using World<Mode>::subject;
  void prepare() {}
  void thread(unsigned index) {
    if (index == 1) {
      if (void* const block = this->receive(0)) this->give(World<Mode>::nobody(), block);
      return;
    }
    auto* const heap = subject.attach();
    void* const block = this->take(heap);
    if (index == 0)
      this->send(0, block);
    else
      this->give(heap, block);
    subject.detach(heap);
  }
};

// covers: A3 R1
// states: two threads free blocks of one parked heap at the same time, while a third adopts it
// seeded: core/slab/remote_queue.h: while (!head_.compare_exchange_weak(head, chain.first, std::memory_order_release, std::memory_order_relaxed)); => while ((head_.store(chain.first, std::memory_order_release), false));
template <class Mode>
struct ParkedProgram : World<Mode> {
  static constexpr unsigned kThreads = 3;
  using World<Mode>::subject;
  void prepare() {
    auto* const heap = subject.attach();
    for (unsigned slot = 0; slot < 2; ++slot) this->send(slot, this->take(heap));
    subject.detach(heap);
  }
  void thread(unsigned index) {
    if (index < 2) return this->give(World<Mode>::nobody(), this->receive(index));
    auto* const heap = subject.attach();
    this->give(heap, this->take(heap));
    subject.detach(heap);
  }
};

// covers: M3 R2
// states: a thread trims, and so scavenges parked heaps, while one ends and one frees its blocks
// seeded: core/heap/directory.h: parked_.remove(heap); => ;
template <class Mode>
struct ScavengeProgram : World<Mode> {
  static constexpr unsigned kThreads = 3;
  using World<Mode>::subject;
  void prepare() {}
  void thread(unsigned index) {
    if (index == 0) {
      auto* const heap = subject.attach();
      this->send(0, this->take(heap));
      subject.detach(heap);
    } else if (index == 1) {
      if (void* const block = this->receive(0)) this->give(World<Mode>::nobody(), block);
    } else {
      subject.trim(World<Mode>::nobody());
    }
  }
};

// covers: M2 M3
// states: a thread takes and gives whole slabs while another gives free pages back to the system
// seeded: core/slab/superslab.h: slabs.fetch_or(SlabSets{run, 0}.word(), std::memory_order_release); => slabs.store(slabs.load(std::memory_order_relaxed) | SlabSets{run, 0}.word(), std::memory_order_release);
template <class Mode>
struct PurgeProgram : World<Mode> {
  static constexpr unsigned kThreads = 2;
  using World<Mode>::subject;
  void prepare() {
    heap = subject.attach();
    for (unsigned slot = 0; slot < 2; ++slot) this->send(slot, this->take(heap, World<Mode>::kMedium));
    this->give(heap, this->receive(1));
  }
  void thread(unsigned index) {
    if (index == 1) {
      subject.trim(World<Mode>::nobody());
      return;
    }
    this->give(heap, this->receive(0));
    this->give(heap, this->take(heap, World<Mode>::kMedium));
    subject.detach(heap);
  }

  typename World<Mode>::Heap* heap = nullptr;
};

// covers: M3
// states: two threads free and take large blocks while the cache that holds them is emptied
// seeded: core/global/large_cache.h: if (best) shelf_.remove(best); => ;
template <class Mode>
struct LargeProgram : World<Mode> {
  static constexpr unsigned kThreads = 3;
  using World<Mode>::subject;
  void prepare() {
    auto* const heap = subject.attach();
    this->send(0, this->take(heap, World<Mode>::kLarge));
    subject.detach(heap);
  }
  void thread(unsigned index) {
    if (index == 0) {
      this->give(World<Mode>::nobody(), this->receive(0));
    } else if (index == 1) {
      auto* const heap = subject.attach();
      this->give(heap, this->take(heap, World<Mode>::kLarge));
      subject.detach(heap);
    } else {
      subject.trim(World<Mode>::nobody());
    }
  }
};

// covers: F1
// states: a thread forks while another allocates and ends: at that point all that locks guard is whole
// seeded: core/api/allocator.h: directory_.lock().reset_in_child(); => ;
template <class Mode>
struct ForkProgram : World<Mode> {
  static constexpr unsigned kThreads = 2;
  using World<Mode>::subject;
  void prepare() {}
  void thread(unsigned index) {
    if (index == 0) {
      auto* const heap = subject.attach();
      this->give(heap, this->take(heap, World<Mode>::kMedium));
      this->give(heap, this->take(heap, World<Mode>::kLarge));
      subject.detach(heap);
    } else {
      subject.before_fork();
      pid_t const child = ::fork();
      if (child == 0) ::_exit(goes_on_in_child() ? 0 : 1);
      subject.after_fork_in_parent();
      int status = -1;
      require(child > 0 && ::waitpid(child, &status, 0) == child && status == 0, "a child that goes on");
    }
  }
  bool goes_on_in_child() {
    Fibers::forget();
    ::alarm(10);  // a lock that nobody opens
    subject.after_fork_in_child();
    auto* const heap = subject.attach();
    if (!heap) return false;
    for (std::size_t const bytes : {World<Mode>::kSmall, World<Mode>::kMedium, World<Mode>::kLarge})
      subject.release(heap, subject.allocate(heap, bytes));
    bool const sound = subject.validate(heap);
    subject.detach(heap);
    subject.trim(World<Mode>::nobody());
    return sound;
  }
};

// covers: A3
// states: figures that are read while a thread allocates, frees and ends count no more than there is
// seeded: core/global/statistics.h: if (blocks > small_blocks_now) blocks = small_blocks_now; => ;
template <class Mode>
struct StatisticsProgram : World<Mode> {
  static constexpr unsigned kThreads = 2;
  using World<Mode>::subject;
  void prepare() {}
  void thread(unsigned index) {
    if (index == 0) {
      auto* const heap = subject.attach();
      for (unsigned slot = 0; slot < 2; ++slot) this->send(slot, this->take(heap));
      this->give(heap, this->receive(1));
      this->give(heap, this->take(heap, World<Mode>::kLarge));
      subject.detach(heap);
      return;
    }
    Statistics const figures = subject.statistics();
    require(figures.small_blocks_now <= 4 && figures.large_blocks_now <= 1, "no more blocks than a thread can hold");
    require(figures.heaps_parked_now <= figures.heaps_now && figures.heaps_now <= 1, "no more heaps than threads");
  }
};

// The table of all programs, on one build. Preemptions: on each push, and under --deep.
template <class Mode>
struct Programs {
  template <template <class> class Program>
  static Registered program_of(char const* name, unsigned preemptions, unsigned deep_preemptions) {
    // Blocks are filled and checked in the checked build, and so a schedule takes longer.
    unsigned const fewer = Mode::kTrustsClient ? 0 : 1;
    return {name, Mode::kName, std::max(1u, preemptions - fewer), std::max(1u, deep_preemptions - fewer),
            &run_program<Program, Mode>};
  }

  Registered table[8] = {
      program_of<RemoteFreeProgram>("remote_free", 2, 3),
      program_of<AdoptProgram>("adopt", 2, 3),
      program_of<ParkedProgram>("parked", 2, 3),
      program_of<ScavengeProgram>("scavenge", 2, 3),
      program_of<PurgeProgram>("purge", 2, 3),
      program_of<LargeProgram>("large", 2, 3),
      program_of<ForkProgram>("fork", 1, 1),
      program_of<StatisticsProgram>("statistics", 2, 3),
  };
};

}  // namespace hakmem::testing
