// What it owns: the parts of Allocator that are called rarely - statistics and fork.
// Thread-safety: as core/api/allocator.h.
#pragma once

#include "core/api/allocator.h"

namespace hakmem {

template <AllocatorMode Mode, OperatingSystem Os, class Sync, class G>
Statistics Allocator<Mode, Os, Sync, G>::statistics() noexcept {
  Statistics out;
  directory_.for_each([&out](Heap& heap) {
    auto const counts = heap.counts();
    out.small_blocks_handed_out += counts.handed_out;
    out.medium_blocks_allocated += counts.singles;
    out.remote_batches += heap.remote_batches();
  });
  auto const heaps = directory_.counts();
  out.heaps_now = heaps.heaps;
  out.heaps_parked_now = heaps.parked;
  global_.count_client_blocks(out);
  global_.fill_in(out);
  return out;
}

template <AllocatorMode Mode, OperatingSystem Os, class Sync, class G>
void Allocator<Mode, Os, Sync, G>::before_fork() noexcept {
  directory_.lock().lock();
  global_.purger.gate().lock();
  global_.pool.lock().lock();
  global_.large.lock().lock();
  global_.for_each_inner_lock([](auto& lock) { lock.lock(); });
  global_.space.leftovers().lock_for_fork();
}

template <AllocatorMode Mode, OperatingSystem Os, class Sync, class G>
void Allocator<Mode, Os, Sync, G>::after_fork_in_parent() noexcept {
  global_.space.leftovers().unlock_after_fork();
  global_.for_each_inner_lock([](auto& lock) { lock.unlock(); });
  global_.large.lock().unlock();
  global_.pool.lock().unlock();
  global_.purger.gate().unlock();
  directory_.lock().unlock();
}

template <AllocatorMode Mode, OperatingSystem Os, class Sync, class G>
void Allocator<Mode, Os, Sync, G>::after_fork_in_child(Heap* mine) noexcept {
  directory_.keep_only(mine);
  global_.space.leftovers().reset_in_child();
  global_.for_each_inner_lock([](auto& lock) { lock.reset_in_child(); });
  global_.large.lock().reset_in_child();
  global_.pool.lock().reset_in_child();
  global_.purger.gate().reset_in_child();
  directory_.lock().reset_in_child();
}

}  // namespace hakmem
