// What it owns: the composition - one allocator as one object, from the policies to the calls that
// the libc surface is made of. It knows nothing of errno, thread-local storage or exported names.
//
// A thread passes the heap it is attached to; `unattached()` stands for none. Attaching and
// detaching are explicit, so that tests drive any schedule on one thread.
// Thread-safety: any thread, each heap by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/global/statistics.h"
#include "core/heap/directory.h"
#include "core/heap/heap_slow.h"
#include "core/heap/heap_validate.h"
#include "core/heap/ordinary.h"
#include "core/heap/resolver.h"

namespace hakmem {

template <AllocatorMode Mode, OperatingSystem Os, class Sync = StdSync, class G = DefaultGeometry>
class Allocator {
  using C = Config<Mode, Os, Sync, G>;

 public:
  using Heap = hakmem::Heap<C>;
  using Slab = hakmem::Slab<C>;
  using SuperSlab = hakmem::SuperSlab<C>;

  constexpr Allocator() noexcept = default;

  // Once, before the first attach.
  void configure(Settings const& settings) noexcept {
    global_.space.settings = settings;
    Mode::configure(settings);
  }

  static constexpr Heap* unattached() noexcept { return Heap::unattached(); }
  // The heap for a thread: a parked one adopted, or a new one. Null: no memory.
  Heap* attach() noexcept { return directory_.attach(global_); }
  // The thread ends: its heap waits for the next thread. Domain: attached.
  void detach(Heap* heap) noexcept { directory_.park(heap); }

  // The fast path of malloc, in three steps so that the exported function keeps to its budget:
  // active_slab() for sizes up to kDirectMax, pop(), and allocate_after_miss() when that is null.
  static constexpr std::size_t kDirectMax = G::kDirectMax;
  [[gnu::always_inline]] static Slab* active_slab(Heap* heap, std::size_t bytes) noexcept {
    return heap->active_slab(bytes);
  }
  [[gnu::always_inline]] static void* pop(Slab* slab) noexcept { return Heap::pop(slab); }
  // Domain: attached.
  void* allocate_after_miss(Heap* heap, std::size_t bytes, Slab* dry,
                            [[maybe_unused]] AllocationKind kind = AllocationKind::kMalloc) noexcept {
    if constexpr (Mode::kSamples) {
      bool zeroed = false;
      if (Mode::samples()) return serve_sampled(heap, {bytes, kMinAlignment, kind}, zeroed);
    }
    return heap->allocate_after_miss(bytes, dry);
  }
  // The fast path of free; false: call release(). `heap` refers to the thread-local word.
  [[gnu::always_inline]] static bool try_release(Heap* const& heap, void* address) noexcept {
    return Heap::try_release(heap, address);
  }

  // A block of at least `bytes`. Null: no memory, or more than kMaxRequest. Domain: attached.
  void* allocate(Heap* heap, std::size_t bytes, AllocationKind kind = AllocationKind::kMalloc) noexcept {
    bool zeroed = false;
    return serve(heap, {bytes, kMinAlignment, kind}, zeroed);
  }

  // Where the client is not trusted, what comes before allocate(), release() and usable_bytes() (core/heap/ordinary.h).
  // Null, or false: nothing happened.
  [[gnu::always_inline]] void* allocate_ordinary(Heap* heap, std::size_t bytes, AllocationKind kind) noexcept {
    return Mode::serves_plainly() ? Ordinary<C>::allocate(heap, bytes, kind) : nullptr;
  }
  [[gnu::always_inline]] bool release_ordinary(Heap* heap, void* address, Claim const& claim) noexcept {
    return Ordinary<C>::release(heap, global_.space.registry(), ClientPtr(address), claim);
  }
  [[gnu::always_inline]] bool find_usable_bytes(void* address, std::size_t& bytes) const noexcept {
    return Ordinary<C>::find_bytes(global_.space.registry(), ClientPtr(address), bytes);
  }

  // The same, all zero; memory that is known to be zero is not written.
  void* allocate_zeroed(Heap* heap, std::size_t bytes) noexcept {
    bool zeroed = false;
    void* const memory = serve(heap, {bytes, kMinAlignment, AllocationKind::kMalloc}, zeroed);
    // A dirty large block: giving the pages back is cheaper than writing them all.
    if (Mode::kTrustsClient && memory && !zeroed && is_large(memory))
      zeroed = global_.large.zero(global_.space, find_large(memory));
    return !memory || zeroed ? memory : std::memset(memory, 0, bytes);
  }

  // Domain: alignment a power of two up to kMaxAlignment.
  void* allocate_aligned(Heap* heap, std::size_t bytes, std::size_t alignment,
                         AllocationKind kind = AllocationKind::kMalloc) noexcept {
    std::size_t const least = alignment < kMinAlignment ? kMinAlignment : alignment;
    bool zeroed = false;
    return serve(heap, {bytes, least, kind}, zeroed);
  }

  // Gives a block back. Null is fine; `heap` may be unattached().
  void release(Heap* heap, void* address, [[maybe_unused]] Claim const& claim = {}) noexcept {
    if (!address) return;
    if constexpr (!Mode::kTrustsClient) {
      if (!release_ordinary(heap, address, claim)) release_checked(heap, ClientPtr(address), claim);
      return;
    }
    if constexpr (Mode::kSamples)
      if (LargeBlock* const guarded = guarded_at(address)) [[unlikely]]
        return release_guarded(guarded, ClientPtr(address), claim);
    if (!is_large(address)) [[likely]]
      return heap->release(global_.space.registry(), address);
    release_large(address);
  }

  // A block with the same contents up to min(old, new) bytes; null: no memory, the old one stays.
  // Domain: address is a block (a checking mode refuses others with null), bytes > 0.
  void* reallocate(Heap* heap, void* address, std::size_t bytes) noexcept {
    if constexpr (!Mode::kTrustsClient) return reallocate_checked(heap, find(address), ClientPtr(address), bytes);
    if constexpr (Mode::kSamples)
      if (LargeBlock* const guarded = guarded_at(address)) [[unlikely]]
        return reallocate_checked(heap, Resolver<C>::place_of(guarded), ClientPtr(address), bytes);
    if (void* const same = resize_in_place(heap, address, bytes)) return same;
    std::size_t const have = usable_bytes(address);
    void* const moved = allocate(heap, bytes);
    if (!moved) return bytes <= have ? address : nullptr;
    std::memcpy(moved, address, have < bytes ? have : bytes);
    release(heap, address);
    return moved;
  }

  // Bytes that the client may use of a block; 0 where a checking mode refuses.
  std::size_t usable_bytes(void* address) const noexcept {
    if constexpr (!Mode::kTrustsClient) return usable_bytes_checked(ClientPtr(address));
    if constexpr (Mode::kSamples)
      if (LargeBlock* const guarded = guarded_at(address)) [[unlikely]]
        return usable_bytes_checked(Resolver<C>::place_of(guarded), ClientPtr(address));
    return block_bytes(address);
  }

  // Gives free memory back at once; true if there was any. `heap`: the caller's own.
  bool trim(Heap* heap) noexcept {
    if (heap->attached()) heap->tidy();
    directory_.scavenge(directory_.counts().parked);
    return global_.trim();
  }

  // Makes SuperSlabs resident ahead of need; returns the bytes that are.
  std::size_t warm_up(std::size_t bytes) noexcept { return global_.pool.warm_up(global_.space, bytes, Os::now_ms()); }

  // Exact while all threads stand still, but for the free blocks that malloc takes next: those of
  // another thread's heap count as held. `mine`: the caller's own heap.
  Statistics statistics(Heap const* mine = Heap::unattached()) noexcept {
    Statistics out;
    global_.count_held_blocks(out);
    directory_.for_each([&](Heap& heap) {
      if (heap.parked || &heap == mine)
        heap.for_each_active([&out](Slab const& slab, std::uint32_t listed) { out.uncount(listed, slab.block_bytes); });
      auto const counts = heap.counts();
      out.small_blocks_handed_out += counts.handed_out;
      out.medium_blocks_allocated += counts.singles;
      out.guarded_blocks_forgone += counts.forgone;
      out.remote_batches += heap.remote_batches();
    });
    auto const heaps = directory_.counts();
    out.heaps_now = heaps.heaps;
    out.heaps_parked_now = heaps.parked;
    global_.fill_in(out);
    return out;
  }

  // Whether the caller is to start the helper thread: once, where the options want one and the program
  // is beyond its first allocations; and the helper's work: one round, which ends in a sleep.
  bool claim_helper() noexcept {
    if (!Background<C>::wanted(global_.space) || global_.background.claimed()) return false;
    bool const early = global_.pool.counts().mapped <= 1 && global_.large.counts().allocated == 0;
    return !early && global_.background.claim();
  }
  void help() noexcept { global_.background_round(); }

  // Fork: all locks are held across it, so that the child sees them free and what they guard
  // whole (invariant F1). Heaps that were attached to other threads were copied in the middle of
  // anything; in the child no thread has them, they are in no list, and so nothing reads them
  // again: frees to their blocks stay in their inboxes.
  void before_fork() noexcept {
    directory_.lock().lock();
    global_.purger.gate().lock();
    global_.pool.lock().lock();
    global_.large.lock().lock();
    global_.for_each_inner_lock([](auto& lock) { lock.lock(); });
    global_.space.leftovers().lock_for_fork();
  }

  void after_fork_in_parent() noexcept {
    global_.space.leftovers().unlock_after_fork();
    global_.for_each_inner_lock([](auto& lock) { lock.unlock(); });
    global_.large.lock().unlock();
    global_.pool.lock().unlock();
    global_.purger.gate().unlock();
    directory_.lock().unlock();
  }

  void after_fork_in_child() noexcept {
    global_.background.reset_in_child();
    global_.space.leftovers().reset_in_child();
    global_.for_each_inner_lock([](auto& lock) { lock.reset_in_child(); });
    global_.large.lock().reset_in_child();
    global_.pool.lock().reset_in_child();
    global_.purger.gate().reset_in_child();
    directory_.lock().reset_in_child();
  }

  // Looks for damage in all blocks, whatever their state; false: some was reported. Other threads
  // may be inside the allocator. Does nothing where the client is trusted.
  bool sweep() noexcept {
    bool sound = true;
    if constexpr (!Mode::kTrustsClient) {
      auto const visit = [&sound](BlockPlace const& place) { sound &= Mode::sweep(place); };
      Locked guard(global_.purger.gate());  // no SuperSlab is unmapped and no page purged meanwhile
      for (SuperSlab* super = global_.pool.all(); super; super = super->all_next) {
        std::uint32_t const taken = ~SlabSets::from(super->slabs.load(std::memory_order_acquire)).free & G::kAllSlabs;
        for (std::uint32_t left = taken; left != 0; left &= left - 1) {
          Slab* const slab = super->slab(static_cast<unsigned>(std::countr_zero(left)));
          if (slab->state != SlabState::kNone) Resolver<C>::for_each_block(slab, visit);
        }
      }
      global_.large.for_each_in_use([visit](LargeBlock* block) { visit(Resolver<C>::place_of(block)); });
    }
    return sound;
  }

  // Where an address lies. Where the client is trusted, only guarded blocks are told.
  BlockPlace find(void const* address) const noexcept {
    if constexpr (!Mode::kTrustsClient) return Resolver<C>::find(global_.space.registry(), address);
    LargeBlock* const large = find_large(address);
    return large && large->guarded() ? Resolver<C>::place_of(large) : BlockPlace{};
  }

  // Walks the heap and everything shared. Domain: no other thread is inside the allocator.
  bool validate(Heap* heap) noexcept {
    return (!heap->attached() || heap->validate()) && global_.pool.validate() && global_.large.validate();
  }

  constexpr Global<C>& global() noexcept { return global_; }

 private:
  static bool is_large(void const* address) noexcept {
    return kernels::is_aligned(reinterpret_cast<std::uintptr_t>(address), G::kSuperSlabBytes);
  }
  Slab* head_of(void const* address) const noexcept { return Heap::slab_of(global_.space.registry(), address)->head(); }
  LargeBlock* find_large(void const* address) const noexcept { return large_at(global_.space.registry(), address); }

  std::size_t block_bytes(void const* block) const noexcept {
    if (!is_large(block)) return head_of(block)->block_bytes;
    LargeBlock const* const large = find_large(block);
    VERIFY(large, "the address belongs to no block");
    return large->bytes;
  }

  // What the client gets for its request. Where it is not trusted, a block is armed first.
  void* serve(Heap* heap, Request const& request, bool& zeroed) noexcept {
    if (request.bytes > kernels::kMaxRequest) return nullptr;
    if constexpr (Mode::kSamples)
      if (Mode::samples()) return serve_sampled(heap, request, zeroed);
    if constexpr (Mode::kTrustsClient)
      return allocate_block(heap, request.bytes, request.alignment, zeroed);
    else
      return serve_checked(heap, request, zeroed);
  }

  // Where the client is trusted but for a sample of its blocks.
  [[gnu::noinline]] void* serve_sampled(Heap* heap, Request const& request, bool& zeroed) noexcept {
    bool const large = request.bytes > G::kMediumMax || request.alignment > G::kMediumMax;
    if (large || !heap->chooses(request.bytes, request.alignment)) {
      void* const block = allocate_block(heap, request.bytes, request.alignment, zeroed);
      if (block || large || !heap->chooses(request.bytes, request.alignment)) return block;
    }
    if (void* const guarded = allocate_guarded(request)) {
      heap->settle(request.bytes, request.alignment);
      zeroed = true;
      return guarded;
    }
    return heap->forgo(request.bytes, request.alignment, zeroed);
  }

  // Null: not now, or not for this request; an ordinary block will do. All of the mapping lies in one
  // SuperSlab's place, where free looks for metadata once.
  void* allocate_guarded(Request const& request) noexcept {
    if (request.alignment > G::kSlabBytes || !global_.space.may_guard()) return nullptr;
    std::size_t const gap = request.alignment > Os::page_bytes() ? request.alignment : 0;
    std::size_t const bytes = request.bytes + gap == 0 ? 1 : request.bytes + gap;
    LargeBlock* const block = global_.large.allocate_guarded(global_.space, bytes);
    return block ? Mode::arm(Resolver<C>::place_of(block), request, true) : nullptr;
  }

  // The guarded block of the sample that an address belongs to: where a slab's owner would be, it has
  // zeroes. Domain: of a block.
  LargeBlock* guarded_at(void const* address) const noexcept {
    if (!Mode::samples() || is_large(address)) return nullptr;
    auto const& title = Heap::title_of(global_.space.registry(), address);
    if (title.owner.load(std::memory_order_relaxed)) [[likely]]
      return nullptr;
    LargeBlock* const large = find_large(address);
    return large && large->guarded() ? large : nullptr;
  }

  void release_guarded(LargeBlock* block, ClientPtr pointer, Claim const& claim) noexcept {
    if (!Mode::admit(Resolver<C>::place_of(block), pointer, claim)) return;
    global_.large.release(global_.space, block, Os::now_ms());
  }

  [[gnu::noinline]] void* serve_checked(Heap* heap, Request const& request, bool& zeroed) noexcept {
    std::size_t const bytes = Mode::padded_bytes(request.bytes, request.alignment);
    void* block = nullptr;
    if (Mode::guards_next() && global_.space.may_guard()) block = allocate_large(bytes, request.alignment, zeroed);
    if (!block && request.alignment == kMinAlignment)
      if (void* const served = Ordinary<C>::allocate(heap, request.bytes, request.kind)) return served;
    if (!block) block = allocate_block(heap, bytes, request.alignment, zeroed);
    return block ? Mode::arm(find(block), request, zeroed) : nullptr;
  }

  void* allocate_block(Heap* heap, std::size_t bytes, std::size_t alignment, bool& zeroed) noexcept {
    if (bytes > G::kMediumMax || alignment > G::kMediumMax) [[unlikely]]
      return allocate_large(bytes, alignment, zeroed);
    if (alignment == kMinAlignment) [[likely]]
      return heap->allocate(bytes, zeroed);
    return heap->allocate_aligned(bytes, alignment, zeroed);
  }

  // Where the client is not trusted every address is resolved, and checked before anything changes.
  void release_checked(Heap* heap, ClientPtr pointer, Claim const& claim) noexcept {
    static_assert(CheckingMode<Mode>);
    BlockPlace const place = find(pointer.unchecked());
    if (!Mode::admit(place, pointer, claim)) return;
    if (place.where == BlockPlace::Where::kSmall)
      Ordinary<C>::hold(heap, place);
    else
      global_.large.release(global_.space, static_cast<LargeBlock*>(place.descriptor), Os::now_ms());
  }

  void* reallocate_checked(Heap* heap, BlockPlace const& place, ClientPtr pointer, std::size_t bytes) noexcept {
    if (!Mode::inspect(place, pointer, {.call = "realloc()"})) return nullptr;
    if (bytes > kernels::kMaxRequest) return nullptr;
    if constexpr (!Mode::kTrustsClient) {
      std::size_t const wanted = Mode::padded_bytes(bytes, kMinAlignment);
      bool const fits = wanted <= place.bytes && (wanted > place.bytes / 2 || place.bytes <= 2 * G::kQuantum);
      if (fits && place.where == BlockPlace::Where::kSmall && Mode::resize(place, bytes)) return pointer.unchecked();
    }
    std::size_t const have = Mode::client_bytes(place);
    void* const moved = allocate(heap, bytes);
    if (!moved) return nullptr;
    std::memcpy(moved, pointer.unchecked(), have < bytes ? have : bytes);
    release(heap, pointer.unchecked(), {.call = "realloc()", .any_kind = true});
    return moved;
  }

  [[gnu::noinline]] std::size_t usable_bytes_checked(ClientPtr pointer) const noexcept {
    return usable_bytes_checked(find(pointer.unchecked()), pointer);
  }
  std::size_t usable_bytes_checked(BlockPlace const& place, ClientPtr pointer) const noexcept {
    Claim const claim{.call = "malloc_usable_size()", .any_kind = true};
    return Mode::inspect(place, pointer, claim) ? Mode::client_bytes(place) : 0;
  }

  [[gnu::noinline]] void release_large(void* address) noexcept {
    LargeBlock* const large = find_large(address);
    VERIFY(large, "free(): the address belongs to no block");
    global_.large.release(global_.space, large, Os::now_ms());
  }

  void* allocate_large(std::size_t bytes, std::size_t alignment, bool& zeroed) noexcept {
    std::size_t const least = bytes == 0 ? 1 : bytes;
    global_.tick();
    void* const block = global_.large.allocate(global_.space, least, alignment, zeroed);
    if (block || !global_.trim()) return block;
    return global_.large.allocate(global_.space, least, alignment, zeroed);
  }

  // A block keeps its place while it uses more than half of it.
  void* resize_in_place(Heap* heap, void* address, std::size_t bytes) noexcept {
    if (is_large(address)) {
      LargeBlock* const large = find_large(address);
      VERIFY(large, "realloc(): the address belongs to no block");
      if (bytes <= G::kMediumMax || bytes > kernels::kMaxRequest) return nullptr;
      return global_.large.resize(global_.space, large, bytes, Os::now_ms());
    }
    Slab* const head = head_of(address);
    std::size_t const have = head->block_bytes;
    bool const own_single = head->owner() == heap && head->state == SlabState::kSingle;
    if (own_single && bytes > G::kClassMax && bytes <= G::kMediumMax)
      return heap->resize_single(head, bytes) ? address : nullptr;
    return bytes <= have && (bytes > have / 2 || have <= 2 * G::kQuantum) ? address : nullptr;
  }

  Global<C> global_;
  HeapDirectory<C> directory_;
};

}  // namespace hakmem
