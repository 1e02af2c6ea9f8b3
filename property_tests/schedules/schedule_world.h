// What it owns: what a small program of several threads works on - a whole allocator whose atomics and locks are switch
// points, blocks with contents that are checked, places to send them to each other - and the table of programs.
// Thread-safety: none; threads are fibers.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <type_traits>

#include "core/api/allocator.h"
#include "property_tests/model/violation.h"
#include "property_tests/schedules/fibers.h"

namespace hakmem::testing {

// Few and large: eight slabs a SuperSlab, four or two blocks a slab, two classes; the registry of such an allocator
// is small enough to be made anew for each schedule.
struct ScheduleShape {
  static constexpr std::size_t kSlabBytes = 256 * kKiB;
  static constexpr unsigned kSlabsPerSuperSlab = 8;
  static constexpr std::size_t kQuantum = 64 * kKiB;
  static constexpr unsigned kStepsPerDoubling = 2;
  static constexpr std::size_t kSmallMax = 128 * kKiB;
  static constexpr std::size_t kClassMax = 128 * kKiB;
  static constexpr std::size_t kMediumMax = 1 * kMiB;
  static constexpr std::size_t kDirectMax = 128 * kKiB;
  static constexpr std::size_t kCarveBytes = 64 * kKiB;
  static constexpr std::size_t kOutboxBytes = 512 * kKiB;
  static constexpr unsigned kColours = 2;
};

template <class Mode>
class World {
 public:
  using Subject = Allocator<Mode, FiberOs, FiberSync, Geometry<ScheduleShape>>;
  using Heap = typename Subject::Heap;
  static constexpr std::size_t kSmall = 60 * kKiB;  // four a slab
  static constexpr std::size_t kMedium = 200 * kKiB;  // one slab
  static constexpr std::size_t kLarge = 3 * kMiB;
  static constexpr unsigned kSlots = 4;

  World() { subject.global().space.settings.prefault = PrefaultPolicy::kOff; }

  // Ends what is left; then clients hold nothing, and all memory is in the pool or with the system.
  void conclude() {
    Heap* const heap = subject.attach();
    require(heap, "a heap for the last thread");
    for (unsigned slot = 0; slot < kSlots; ++slot)
      if (void* const block = receive(slot)) give(heap, block);
    require(held_.empty(), "no block is held");
    require(subject.validate(heap), "a valid heap");
    subject.detach(heap);
    require(subject.validate(Subject::unattached()), "a valid pool");
    subject.trim(Subject::unattached());
    Statistics const figures = subject.statistics();
    require(figures.heaps_now == figures.heaps_parked_now, "every heap is parked");
    // Where released blocks rest, they do so in their heaps.
    if (!Mode::kTrustsClient) return;
    require(figures.small_blocks_now == 0, "no block counts as held");
    require(figures.super_slabs_now == 0, "all SuperSlabs are given back");
    require(figures.large_blocks_now == 0, "no large block counts as held");
  }

  static Heap* nobody() { return Subject::unattached(); }

  void* take(Heap* heap, std::size_t bytes = kSmall) {
    auto* const block = static_cast<std::byte*>(subject.allocate(heap, bytes));
    require(block, "memory");
    auto const behind = held_.lower_bound(block);
    require(behind == held_.end() || block + bytes <= behind->first, "blocks apart");
    require(behind == held_.begin() || std::prev(behind)->first + std::prev(behind)->second <= block, "blocks apart");
    held_[block] = bytes;
    mark(block, bytes, [](std::uint64_t& word, std::uint64_t wanted) { word = wanted; });
    return block;
  }
  void give(Heap* heap, void* address) {
    auto* const block = static_cast<std::byte*>(address);
    auto const found = held_.find(block);
    require(found != held_.end(), "a block that somebody holds");
    mark(block, found->second,
         [](std::uint64_t word, std::uint64_t wanted) { require(word == wanted, "the contents of a block"); });
    held_.erase(found);
    subject.release(heap, block);
  }

  // From one client thread to another, as programs do it.
  void send(unsigned slot, void* block) { sent_[slot].store(block, std::memory_order_release); }
  void* receive(unsigned slot) { return sent_[slot].exchange(nullptr, std::memory_order_acquire); }

  std::size_t held() const { return held_.size(); }

  Subject subject;

 private:
  template <class Act>
  static void mark(std::byte* block, std::size_t bytes, Act act) {
    auto const value = reinterpret_cast<std::uintptr_t>(block) * 0x9e3779b97f4a7c15;
    act(*reinterpret_cast<std::uint64_t*>(block), value);
    act(*reinterpret_cast<std::uint64_t*>(block + bytes - sizeof value), ~value);
  }

  std::map<std::byte*, std::size_t> held_;
  FiberAtomic<void*> sent_[kSlots];
};

// One run of a program under a scheduler, on a fresh allocator.
template <template <class> class Program, class Mode>
void run_program(Scheduler& scheduler) {
  FaultyLinux::reset();
  auto const program = std::make_unique<Program<Mode>>();
  program->prepare();
  std::vector<std::function<void()>> bodies;
  for (unsigned index = 0; index < Program<Mode>::kThreads; ++index)
    bodies.push_back([&program, index] { program->thread(index); });
  Fibers::run(std::move(bodies), scheduler);
  program->conclude();
  require(FaultyLinux::violation().empty(), "no misuse of the system");
  FaultyLinux::unmap_all();
}

struct Registered {
  char const* name;
  char const* mode;
  unsigned preemptions, deep_preemptions;  // whose schedules are all run, on each push and under --deep
  void (*run)(Scheduler&);
  Registered* next = nullptr;

  static inline Registered* first = nullptr;
  Registered(char const* program_name, char const* mode_name, unsigned bound, unsigned deep_bound,
             void (*runner)(Scheduler&))
      : name(program_name),
        mode(mode_name),
        preemptions(bound),
        deep_preemptions(deep_bound),
        run(runner),
        next(first) {
    first = this;
  }
};

}  // namespace hakmem::testing
