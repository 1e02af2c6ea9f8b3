// What it owns: what the helper thread does under PrefaultPolicy::kBackground - keeping populated
// SuperSlabs ready as fast as heaps take them - and how long it sleeps between its rounds, in which
// it purges too. Starting the thread is the process's business; tests run the rounds themselves.
// Invariants: at most kReadyMax SuperSlabs are prepared in one round; what nobody takes is purged
// like everything else, so the resident memory held ahead is bounded and temporary.
// Thread-safety: claim() and note_taken() any thread; prepare() and rest() one thread, the helper.
#pragma once

#include <cstdint>

#include "core/global/address_space.h"
#include "core/global/superslab_pool.h"

namespace hakmem {

template <class C>
class Background {
  using Os = typename C::Os;

 public:
  static constexpr unsigned kReadyMax = 4;
  static constexpr std::uint64_t kLeastRestMs = 10;

  constexpr Background() noexcept = default;

  static bool wanted(AddressSpace<C> const& space) noexcept {
    return space.settings.prefault == PrefaultPolicy::kBackground;
  }

  // Whether the caller is to start the helper: once in a process, and so once again in a forked child,
  // where there is none.
  bool claimed() const noexcept { return claimed_.load(std::memory_order_relaxed); }
  bool claim() noexcept { return !claimed_.exchange(true, std::memory_order_relaxed); }
  void reset_in_child() noexcept { claimed_.store(false, std::memory_order_relaxed); }

  // A heap took a SuperSlab: another will be wanted soon.
  void note_taken(AddressSpace<C> const& space) noexcept {
    if (wanted(space) && demand_.fetch_add(1, std::memory_order_relaxed) == 0) Os::wake_one(demand_);
  }

  // Prepares what was taken since the last round, as far as the bound goes.
  void prepare(AddressSpace<C>& space, SuperSlabPool<C>& pool) noexcept {
    std::uint32_t const taken = demand_.exchange(0, std::memory_order_relaxed);
    for (unsigned ready = 0; ready < taken && ready < kReadyMax; ++ready)
      if (!pool.prepare_one(space, Os::now_ms())) break;
  }

  // Sleeps until there is demand, or it is time to look for memory to purge.
  void rest(AddressSpace<C> const& space) noexcept {
    std::uint64_t const pause = space.settings.purge_delay_ms / 4;
    Os::wait_for(demand_, 0, pause < kLeastRestMs ? kLeastRestMs : pause);
  }

 private:
  // protocol: the exchange picks the thread that starts the helper; relaxed, as pthread_create publishes
  // the rest.
  typename C::template Atomic<bool> claimed_{false};
  // protocol: any thread adds, the helper takes all; relaxed: a number of SuperSlabs to prepare,
  // which publishes nothing. A wake-up that is missed costs one rest.
  typename C::template Atomic<std::uint32_t> demand_{0};
};

}  // namespace hakmem
