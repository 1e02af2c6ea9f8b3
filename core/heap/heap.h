// What it owns: one thread's allocator - the SuperSlabs it holds, for each size class the slab
// that malloc takes from (the *active* one) and the queue of others with room, and the fast paths.
//
// The fast path of malloc is: size -> active slab (one table for all direct sizes) -> pop. That of
// free is: pointer -> slab metadata (one mask) -> mine? -> push, count down. A thread starts with a
// constant heap, `unattached()`, whose active slabs are all the same empty one and which owns
// nothing, so neither path asks whether there is a heap.
//
// Ownership: blocks, slabs and SuperSlabs of a heap are changed by one thread at a time: the one
// it is attached to, or, while it is parked, the one that took it off the list (invariant R2).
// Other threads only push to `inbox`.
// Thread-safety: as above.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/base/list.h"
#include "core/global/global.h"
#include "core/heap/outbox.h"
#include "core/slab/remote_queue.h"
#include "core/slab/superslab.h"

namespace hakmem {

template <class C>
class HeapDirectory;

template <class C>
class alignas(128) Heap {
  using G = typename C::Geo;

 public:
  constexpr Heap() noexcept {
    for (Slab<C>*& entry : direct_) entry = &no_slab;
    for (Bin& bin : bins_) bin.active = &no_slab;
  }

  // The heap of a thread that has none.
  static constexpr Heap* unattached() noexcept { return &no_heap; }
  bool attached() const noexcept { return this != &no_heap; }

  void bind(Global<C>& global, HeapDirectory<C>& directory) noexcept {
    global_ = &global;
    directory_ = &directory;
    if constexpr (C::Mode::kSamples)
      if (C::Mode::samples()) until_chosen_ = C::Mode::next_sample();
  }

  // --- fast paths -----------------------------------------------------------------------------

  // The slab that malloc takes blocks of `size` bytes from. Domain: size <= kDirectMax.
  [[gnu::always_inline]] Slab<C>* active_slab(std::size_t size) const noexcept {
    return direct_[(size + G::kQuantum - 1) / G::kQuantum];
  }

  // A block from a slab's list; null: the list is empty (not: there is no memory). The link in the
  // block behind it is what the next call waits for, so it is fetched now (decision 006).
  [[gnu::always_inline]] static Block<C>* pop(Slab<C>* slab) noexcept {
    Block<C>* const block = slab->free;
    if (!block) [[unlikely]]
      return nullptr;
    Block<C>* const following = block->next();
    __builtin_prefetch(following, 1);
    slab->free = following;
    return block;
  }

  // Takes back a block that heap `mine` owns; false: not mine, large, or null. The block goes on
  // its slab's list; when the count says so, the slab changes its state. `mine` is a reference to
  // the thread-local word, so that it is compared where it stands.
  [[gnu::always_inline]] static bool try_release(Heap* const& mine,
                                                 void* address) noexcept requires SuperSlab<C>::kInBand {
    if (kernels::is_aligned(reinterpret_cast<std::uintptr_t>(address), G::kSuperSlabBytes)) [[unlikely]]
      return false;
    typename SuperSlab<C>::InBand const place(address);
    if (place.title()->owner.load(std::memory_order_relaxed) != mine) [[unlikely]]
      return false;
    push(place.slab(), static_cast<Block<C>*>(address));
    return true;
  }

  // The same of a block that another heap owns, behind try_release(): it is on its way home; false: large,
  // null, in a span's middle, or this thread has no heap.
  [[gnu::always_inline]] static bool try_send_home(Heap* mine, void* address) noexcept requires SuperSlab<C>::kInBand {
    if (kernels::is_aligned(reinterpret_cast<std::uintptr_t>(address), G::kSuperSlabBytes) || !mine->attached())
        [[unlikely]]
      return false;
    SlabTitle<C> const& title = *typename SuperSlab<C>::InBand(address).title();
    Heap* const owner = title.owner.load(std::memory_order_relaxed);
    if (!owner) [[unlikely]]
      return false;
    mine->outbox_.put(owner, static_cast<Block<C>*>(address), title.block_bytes);
    return true;
  }

  // --- everything else (heap_slow.h, heap_validate.h) ----------------------------------------------------------

  // Null: no memory. `zeroed`: the block is known to read as zero.
  void* allocate(std::size_t size, bool& zeroed) noexcept;
  // After pop() found nothing in `dry`, the active slab for its class: a block of the next slab that has room.
  // Null: there is none, or another source comes first.
  void* allocate_where_room(Slab<C>* dry) noexcept;
  // The same from any source; `dry` was the active slab for `size`.
  void* allocate_after_miss(std::size_t size, Slab<C>* dry) noexcept;
  void* allocate_aligned(std::size_t size, std::size_t alignment, bool& zeroed) noexcept;
  // Where the mode samples: whether the allocation that begins is chosen; asked before each one off the
  // fast path. If it is, either it is served elsewhere, which settle() is told, or forgo() serves it here.
  bool chooses(std::size_t size, std::size_t alignment) noexcept;
  void settle(std::size_t size, std::size_t alignment) noexcept;
  void* forgo(std::size_t size, std::size_t alignment, bool& zeroed) noexcept;
  // Any block but a large one, of any heap.
  void release(Registry<C> const& registry, void* address) noexcept;
  // The same where metadata lies out of line, of a block of the span whose head this is.
  void release_to(Slab<C>* head, void* address) noexcept;
  // Extends or cuts a span of one block where it stands; false: unchanged.
  bool resize_single(Slab<C>* head, std::size_t size) noexcept;

  // The title of the slab that an address lies in. Domain: inside a SuperSlab.
  static SlabTitle<C>& title_of(Registry<C> const& registry, void const* address) noexcept {
    if constexpr (SuperSlab<C>::kInBand) return *typename SuperSlab<C>::InBand(address).title();
    SuperSlab<C>* const super = registry.find(address).super_slab();
    VERIFY(super, "the address belongs to no block");
    auto const offset = reinterpret_cast<std::uintptr_t>(address) & G::kSuperSlabMask;
    return super->title(static_cast<unsigned>(offset >> G::kSlabShift));
  }
  // That of the span. Domain: the address of a block.
  static SlabTitle<C>& title_of_span(Registry<C> const& registry, void* address) noexcept {
    SlabTitle<C>& title = title_of(registry, address);
    if (title.owner.load(std::memory_order_relaxed)) [[likely]]
      return title;
    std::size_t const distance = slab_of(registry, address)->head_distance * G::kSlabBytes;
    return title_of(registry, static_cast<std::byte*>(address) - distance);
  }
  // The metadata of the slab that an address lies in. Domain: inside a SuperSlab.
  static Slab<C>* slab_of(Registry<C> const& registry, void const* address) noexcept {
    if constexpr (SuperSlab<C>::kInBand) return SuperSlab<C>::in_band_slab_of(address);
    SuperSlab<C>* const super = registry.find(address).super_slab();
    VERIFY(super, "the address belongs to no block");
    auto const offset = reinterpret_cast<std::uintptr_t>(address) & G::kSuperSlabMask;
    return super->slab(static_cast<unsigned>(offset >> G::kSlabShift));
  }

  RemoteQueue<C>& inbox() noexcept { return inbox_; }
  typename C::Mode::ReuseGate& reuse_gate() noexcept { return reuse_gate_; }

  // Takes in what other threads freed.
  void drain_inbox() noexcept;
  // Sends out what this thread freed, takes in the inbox and gives every empty SuperSlab to the
  // pool; for parking, scavenging and trimming.
  void tidy() noexcept;

  // Walks all lists and slabs; true when they agree with each other.
  bool validate() noexcept;

  struct Counts {
    std::uint64_t handed_out = 0;
    std::uint64_t singles = 0;
    std::uint64_t forgone = 0;  // chosen for a guard, and served without
  };
  Counts counts() const noexcept { return {handed_out_.get(), singles_.get(), forgone_.get()}; }
  // visit(slab, its free blocks) for those that malloc takes from. Owner only.
  template <class Visit>
  void for_each_active(Visit visit) noexcept {
    for (Bin const& bin : bins_)
      if (bin.active != &no_slab) visit(*bin.active, bin.listed());
  }
  std::uint64_t remote_batches() const noexcept { return outbox_.batches(); }

  // Directory links, under its lock.
  Heap* next = nullptr;  // parked
  Heap* prev = nullptr;
  Heap* all_next = nullptr;
  bool parked = false;

 private:
  struct Bin {
    Slab<C>* active = nullptr;
    Slab<C>* growing = nullptr;  // the one slab that is not carved to its end, if there is one
    List<Slab<C>> partial;       // least recently queued first: those gathered most frees meanwhile
    // Where the mode samples, the active slab's list ends before the allocation that was chosen, so that
    // it leaves the fast path; the blocks behind wait here. Nothing waits while none is chosen.
    Block<C>* waiting = nullptr;
    std::uint32_t undecided = 0;  // of the blocks that wait, from the first on, which would serve the chosen one

    // Free blocks of the active slab.
    std::uint32_t listed() const noexcept {
      std::uint32_t count = active->listed();
      for (Block<C> const* block = waiting; block; block = block->next()) ++count;
      return count;
    }
  };
  // Where the entries of `direct_` for each class of direct sizes begin, and behind the last class where they end.
  static constexpr auto kDirectStarts = [] {
    std::array<std::uint8_t, kernels::class_of_size<G>(G::kDirectMax) + 2> starts{};
    static_assert(G::kDirectEntries <= 0xff);
    for (unsigned index = 1; index < starts.size(); ++index)
      starts[index] = static_cast<std::uint8_t>(kernels::size_of_class<G>(index - 1) / G::kQuantum + 1);
    return starts;
  }();

  struct Span {
    SuperSlab<C>* super = nullptr;
    unsigned first = 0;
    bool zeroed = false;
    bool resident = false;  // it may hold pages already
  };

  static constinit Slab<C> no_slab;  // no block, no room
  static constinit Heap no_heap;

  [[gnu::always_inline]] static void push(Slab<C>* slab, Block<C>* block) noexcept {
    block->set_next(slab->free);
    slab->free = block;
    if (--slab->countdown == 0) [[unlikely]]
      counted_down(slab);
  }
  static void counted_down(Slab<C>* slab) noexcept;

  void* allocate_class(unsigned index, bool& zeroed) noexcept;
  void* allocate_single(std::size_t size, std::size_t alignment, bool& zeroed) noexcept;
  void* refill(unsigned index, bool& zeroed) noexcept;
  void populate_ahead(Slab<C>* head) noexcept;
  void populate_stretch(Slab<C> const* slab) noexcept;
  void populate_where_begun(void const* first, void const* from, void const* to, void const* end) noexcept;
  void* carve(Slab<C>* slab, bool& zeroed) noexcept;
  unsigned index_of_request(std::size_t size, std::size_t alignment) const noexcept;
  bool affords_choice() noexcept;
  void decide(Bin& bin, std::uint32_t count) noexcept;
  void* hand_out(Bin& bin, void* first, std::uint32_t behind, bool& zeroed) noexcept;
  void choose_freed(Slab<C>* slab) noexcept;
  std::uint32_t reuse(Bin& bin) noexcept;
  void activate(Bin& bin, Slab<C>* slab, std::uint32_t listed) noexcept;
  void set_active(unsigned index, Slab<C>* slab) noexcept;
  void change_state(Slab<C>* slab) noexcept;
  void retire_empty_actives() noexcept;

  Span take_span(unsigned count, unsigned step, bool whole) noexcept;
  Slab<C>* make_span(Span span, unsigned count, std::size_t block_bytes, unsigned index) noexcept;
  void retire_span(Slab<C>* head) noexcept;
  void mark_span(Slab<C>* head) noexcept;
  void list_available(SuperSlab<C>* super) noexcept;
  void list_full(SuperSlab<C>* super) noexcept;
  SuperSlab<C>* acquire_super_slab() noexcept;
  void give_back(SuperSlab<C>* super) noexcept;

  struct Census {
    unsigned active = 0;
    unsigned partial = 0;
  };
  bool validate_super_slab(SuperSlab<C>* super, Census& census) noexcept;
  bool validate_span(Slab<C>* head) noexcept;
  bool validate_bin(unsigned index, Census& census) noexcept;

  Slab<C>* direct_[G::kDirectEntries];
  Bin bins_[G::kClassCount];
  List<SuperSlab<C>> available_, full_;  // full: every slab is in a span
  unsigned super_slabs_ = 0;             // in both lists
  Global<C>* global_ = nullptr;
  HeapDirectory<C>* directory_ = nullptr;
  Outbox<C> outbox_;
  [[no_unique_address]] typename C::Mode::ReuseGate reuse_gate_;
  Counter<C> handed_out_, singles_, forgone_;
  std::uint32_t until_chosen_ = 0;    // allocations that pass before the next one that is chosen
  alignas(64) RemoteQueue<C> inbox_;  // a line of its own: other threads write it
};

template <class C>
constinit Slab<C> Heap<C>::no_slab{};
template <class C>
constinit Heap<C> Heap<C>::no_heap{};

}  // namespace hakmem
