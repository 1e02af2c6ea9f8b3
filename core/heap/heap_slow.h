// What it owns: what a heap does off its fast paths - refilling a class, slabs that became full,
// useful again or empty, spans and SuperSlabs.
// Thread-safety: as core/heap/heap.h.
#pragma once

#include "core/heap/directory.h"
#include "core/heap/heap.h"
#include "core/heap/heap_prefault.h"
#include "core/heap/heap_sample.h"
#include "core/heap/resolver.h"

namespace hakmem {

// --- allocation --------------------------------------------------------------------------------

template <class C>
void* Heap<C>::allocate(std::size_t size, bool& zeroed) noexcept {
  if (size <= G::kClassMax) return allocate_class(kernels::class_of_size<G>(size), zeroed);
  return allocate_single(size, 1, zeroed);
}

template <class C>
[[gnu::always_inline]] inline void* Heap<C>::allocate_where_room(Slab<C>* dry) noexcept {
  if constexpr (C::Mode::kSamples)
    if (C::Mode::samples()) return nullptr;
  if (dry->state != SlabState::kActive || !inbox_.empty()) return nullptr;
  Bin& bin = bins_[dry->size_class];
  return reuse(bin) != 0 ? pop(bin.active) : nullptr;
}

template <class C>
void* Heap<C>::allocate_after_miss(std::size_t size, Slab<C>* dry) noexcept {
  bool zeroed = false;
  return refill(dry == &no_slab ? kernels::class_of_size<G>(size) : dry->size_class, zeroed);
}

template <class C>
void* Heap<C>::allocate_aligned(std::size_t size, std::size_t alignment, bool& zeroed) noexcept {
  unsigned const index = kernels::class_of_aligned_size<G>(size, alignment);
  if (index < G::kClassCount) return allocate_class(index, zeroed);
  return allocate_single(size == 0 ? 1 : size, alignment, zeroed);
}

template <class C>
void* Heap<C>::allocate_class(unsigned index, bool& zeroed) noexcept {
  if (Block<C>* const block = pop(bins_[index].active)) {
    zeroed = false;
    return block;
  }
  return refill(index, zeroed);
}

// In this order: what other threads gave back, a slab with enough free blocks, what is not carved
// yet, a new slab. The inbox comes first: looking costs one load, and blocks in it are resident.
// Carving comes after reuse: it is what makes the heap grow.
template <class C>
void* Heap<C>::refill(unsigned index, bool& zeroed) noexcept {
  zeroed = false;
  Bin& bin = bins_[index];
  if (!inbox_.empty()) {
    drain_inbox();
    if (Block<C>* const block = pop(bin.active)) return block;
    if (bin.undecided != 0) return nullptr;
  }
  if (std::uint32_t const listed = reuse(bin)) return hand_out(bin, pop(bin.active), listed - 1, zeroed);
  if (!bin.growing) {
    unsigned const count = kernels::slabs_of_class<G>(index);
    Span const span = take_span(count, 1, false);
    if (!span.super) return nullptr;
    bin.growing = make_span(span, count, kernels::size_of_class<G>(index), index);
    if (bin.active != &no_slab) populate_ahead(bin.growing);
  }
  if (bin.active != bin.growing) activate(bin, bin.growing, bin.growing->carved - bin.growing->used());
  if (Block<C>* const block = pop(bin.active)) return block;
  return carve(bin.active, zeroed);
}

template <class C>
void* Heap<C>::carve(Slab<C>* slab, bool& zeroed) noexcept {
  if (slab->cold && slab->carved != 0) populate_stretch(slab);
  unsigned const before = slab->carved;
  Block<C>* const block = slab->carve(G::kCarveBytes);
  handed_out_.add_alone(slab->carved - before);
  zeroed = slab->zeroed;
  Bin& bin = bins_[slab->size_class];
  if (!slab->has_room()) bin.growing = nullptr;
  return hand_out(bin, block, slab->carved - before - 1u, zeroed);
}

// Makes the slab that waited longest of those with room the active one; how many blocks it has, 0: none waits.
template <class C>
[[gnu::always_inline]] inline std::uint32_t Heap<C>::reuse(Bin& bin) noexcept {
  Slab<C>* const slab = bin.partial.pop_front();
  if (!slab) return 0;
  INVARIANT(slab->state == SlabState::kPartial);
  std::uint32_t const listed = slab->carved - slab->countdown;
  activate(bin, slab, listed);
  return listed;
}

// Makes a slab that is in no queue and has `listed` free blocks the one that malloc takes from; the one
// before has none left and waits for some to come back.
template <class C>
[[gnu::always_inline]] inline void Heap<C>::activate(Bin& bin, Slab<C>* slab, std::uint32_t listed) noexcept {
  if (Slab<C>* const before = bin.active; before != &no_slab) {
    INVARIANT(before->free == nullptr);
    before->state = SlabState::kFull;
    before->countdown = before->regain();
  }
  handed_out_.add_alone(listed);
  slab->state = SlabState::kActive;
  slab->countdown = Slab<C>::kUncounted;
  set_active(slab->size_class, slab);
}

template <class C>
void* Heap<C>::allocate_single(std::size_t size, std::size_t alignment, bool& zeroed) noexcept {
  unsigned const count = static_cast<unsigned>((size + G::kSlabBytes - 1) / G::kSlabBytes);
  unsigned const step = static_cast<unsigned>((alignment + G::kSlabBytes - 1) / G::kSlabBytes);
  static_assert(!C::Mode::kGuardsSuperSlabs || C::Mode::padded_bytes(1, G::kMediumMax) > G::kMediumMax,
                "no span has to end with the last slab of all to be aligned");
  if (!inbox_.empty()) drain_inbox();
  Span const span = take_span(count, step, true);
  if (!span.super) return nullptr;
  Slab<C>* const slab = make_span(span, count, count * G::kSlabBytes, G::kClassCount);
  if constexpr (!SuperSlab<C>::kInBand) slab->forget_records(0, 1);
  slab->state = SlabState::kSingle;
  slab->countdown = slab->carved = 1;
  zeroed = span.zeroed;
  singles_.add_alone(1);
  return slab->start();
}

template <class C>
void Heap<C>::set_active(unsigned index, Slab<C>* slab) noexcept {
  bins_[index].active = slab;
  if (index + 1 >= kDirectStarts.size()) return;
  for (unsigned entry = kDirectStarts[index]; entry < kDirectStarts[index + 1]; ++entry) direct_[entry] = slab;
}

// --- release -----------------------------------------------------------------------------------

template <class C>
void Heap<C>::release(Registry<C> const& registry, void* address) noexcept {
  auto* const block = static_cast<Block<C>*>(address);
  SlabTitle<C> const& title = title_of_span(registry, address);
  Heap* const owner = title.owner.load(std::memory_order_relaxed);
  VERIFY(owner, "free(): the address belongs to no block");
  if (owner == this) return push(slab_of(registry, address)->head(), block);
  if (attached()) return outbox_.put(owner, block, title.block_bytes);
  owner->inbox().push(alone(block));
}

template <class C>
[[gnu::always_inline]] inline void Heap<C>::release_to(Slab<C>* head, void* address) noexcept {
  auto* const block = static_cast<Block<C>*>(address);
  Heap* const owner = head->owner();
  if (owner == this) [[likely]]
    return push(head, block);
  if (attached()) return outbox_.put(owner, block, head->block_bytes);
  owner->inbox().push(alone(block));
}

template <class C>
void Heap<C>::drain_inbox() noexcept {
  Registry<C> const& registry = global_->space.registry();
  for (Block<C>* block = inbox_.take_all(); block;) {
    Block<C>* const following = block->next();
    Slab<C>* const head = slab_of(registry, block)->head();
    Parcel<C>(block, head->block_bytes).unpack([&registry](Block<C>* carried) {
      push(slab_of(registry, carried)->head(), carried);
    });
    push(head, block);
    block = following;
  }
}

// Who owns the slab is read again: the fast path of free keeps nothing in registers for this. What comes
// often is told apart first: a full slab has room again.
template <class C>
[[gnu::noinline]] void Heap<C>::counted_down(Slab<C>* slab) noexcept {
  Heap* const owner = slab->owner();
  std::uint32_t const used = slab->used();
  if (slab->state != SlabState::kFull || used == 0) [[unlikely]]
    return owner->change_state(slab);
  slab->state = SlabState::kPartial;
  slab->countdown = used;
  owner->bins_[slab->size_class].partial.push_back(slab);
}

template <class C>
void Heap<C>::change_state(Slab<C>* slab) noexcept {
  switch (slab->state) {
    case SlabState::kPartial:
      bins_[slab->size_class].partial.remove(slab);
      return retire_span(slab);
    case SlabState::kFull:
    case SlabState::kSingle:
      return retire_span(slab);
    case SlabState::kActive:
      return choose_freed(slab);
    default:
      VERIFY(false, "free(): a block came back to a slab that has none out");
  }
}

template <class C>
void Heap<C>::retire_empty_actives() noexcept {
  for (unsigned index = 0; index < G::kClassCount; ++index) {
    Slab<C>* const slab = bins_[index].active;
    if (slab == &no_slab || bins_[index].listed() != slab->carved) continue;
    bins_[index].waiting = nullptr;
    bins_[index].undecided = 0;
    set_active(index, &no_slab);
    retire_span(slab);
  }
}

// --- spans -------------------------------------------------------------------------------------

// Looks into a few SuperSlabs before it takes another one, and into all before it gives up.
template <class C>
typename Heap<C>::Span Heap<C>::take_span(unsigned count, unsigned step, bool whole) noexcept {
  constexpr unsigned kProbes = 16;
  outbox_.flush_all();
  Span span;
  SuperSlab<C>* super = available_.first();
  for (unsigned probe = 0;; ++probe) {
    if (!super || probe == kProbes) {
      SuperSlab<C>* const fresh = acquire_super_slab();
      if (!fresh && !super) return span;
      if (fresh) {
        ++super_slabs_;
        fresh->listed_available = true;
        available_.push_front(super = fresh);
      }
    }
    SlabSets const before = SlabSets::from(super->slabs.load(std::memory_order_relaxed));
    span.first = super->take_run(count, step, whole, span.zeroed);
    if (span.first != kernels::kNoRun) {
      span.resident = (before.dirty >> span.first & 1) != 0;
      break;
    }
    super = super->next;
  }
  if (super->exhausted()) list_full(super);
  span.super = super;
  return span;
}

template <class C>
void Heap<C>::list_available(SuperSlab<C>* super) noexcept {
  if (super->listed_available) return;
  full_.remove(super);
  super->listed_available = true;
  available_.push_front(super);
}

template <class C>
void Heap<C>::list_full(SuperSlab<C>* super) noexcept {
  available_.remove(super);
  super->listed_available = false;
  full_.push_front(super);
  if (global_->space.settings.huge == HugePolicy::kCollapse && !super->collapsed) {
    super->collapsed = true;
    global_->space.collapse(super->base);
  }
}

// Writes the metadata of a span whose slabs were just taken; the head comes out empty and in no
// queue.
template <class C>
Slab<C>* Heap<C>::make_span(Span span, unsigned count, std::size_t block_bytes, unsigned index) noexcept {
  Slab<C>* const head = ::new (span.super->slab(span.first)) Slab<C>();
  head->super = span.super;
  head->index = static_cast<std::uint8_t>(span.first);
  head->slabs = static_cast<std::uint8_t>(count);
  head->block_bytes = static_cast<std::uint32_t>(block_bytes);
  head->size_class = static_cast<std::uint8_t>(index);
  if constexpr (!SuperSlab<C>::kInBand) head->reach = Resolver<C>::reach_of(head);
  head->capacity = static_cast<std::uint16_t>(
      kernels::blocks_in_span(count * G::kSlabBytes, head->first_offset(), block_bytes, C::Mode::kSpanTailBytes));
  head->zeroed = span.zeroed;
  head->cold = !span.resident;
  head->state = SlabState::kPartial;
  mark_span(head);
  SlabTitle<C>& title = span.super->title(span.first);
  title.block_bytes = head->block_bytes;
  title.owner.store(this, std::memory_order_relaxed);
  return head;
}

// The slabs behind the head point back at it.
template <class C>
void Heap<C>::mark_span(Slab<C>* head) noexcept {
  for (unsigned distance = 1; distance < head->slabs; ++distance) {
    auto* const slab = ::new (head + distance) Slab<C>();
    slab->super = head->super;
    slab->index = static_cast<std::uint8_t>(head->index + distance);
    slab->head_distance = static_cast<std::uint8_t>(distance);
    ::new (&head->super->title(slab->index)) SlabTitle<C>();
  }
}

template <class C>
void Heap<C>::retire_span(Slab<C>* head) noexcept {
  SuperSlab<C>* const super = head->super;
  if (head->state != SlabState::kSingle && bins_[head->size_class].growing == head)
    bins_[head->size_class].growing = nullptr;
  if constexpr (!C::Mode::kTrustsClient) Resolver<C>::for_each_block(head, &C::Mode::sweep);
  std::uint32_t const run = kernels::run_of_slabs(head->index, head->slabs);
  super->title(head->index).owner.store(nullptr, std::memory_order_relaxed);
  for (unsigned i = head->slabs; i-- > 0;) (head + i)->retire();
  super->return_run(run);
  list_available(super);
  // The last empty SuperSlab stays, so that a heap at the edge does not take and return one for
  // each block.
  bool const last = available_.first() == super && available_.last() == super;
  if (super->used_slabs == 0 && !last) give_back(super);
  global_->tick();
}

template <class C>
bool Heap<C>::resize_single(Slab<C>* head, std::size_t size) noexcept {
  unsigned const wanted = static_cast<unsigned>((size + G::kSlabBytes - 1) / G::kSlabBytes);
  unsigned const have = head->slabs;
  if (head->index + wanted > G::kSlabsPerSuperSlab) return false;
  SuperSlab<C>* const super = head->super;
  if (wanted > have && !super->take_exactly(kernels::run_of_slabs(head->index + have, wanted - have))) return false;
  if (wanted > have && super->exhausted()) list_full(super);
  head->slabs = static_cast<std::uint8_t>(wanted);
  head->block_bytes = static_cast<std::uint32_t>(wanted * G::kSlabBytes);
  mark_span(head);
  if (wanted < have) {
    for (unsigned i = wanted; i < have; ++i) ::new (head + i) Slab<C>();
    super->return_run(kernels::run_of_slabs(head->index + wanted, have - wanted));
    list_available(super);
  }
  return true;
}

// --- SuperSlabs --------------------------------------------------------------------------------

// From the pool, else from what parked heaps no longer need, else from the system, else after
// giving everything free back to the system; null: no memory.
template <class C>
SuperSlab<C>* Heap<C>::acquire_super_slab() noexcept {
  global_->tick();
  SuperSlabPool<C>& pool = global_->pool;
  SuperSlab<C>* super = pool.take_pooled(global_->space);
  if (!super) {
    directory_->scavenge(HeapDirectory<C>::kScavengedAtOnce);
    super = pool.take_pooled(global_->space);
  }
  if (!super) super = pool.map_new(global_->space);
  if (!super && global_->trim()) super = pool.map_new(global_->space);
  if (super) global_->background.note_taken(global_->space);
  return super;
}

template <class C>
void Heap<C>::give_back(SuperSlab<C>* super) noexcept {
  available_.remove(super);
  super->listed_available = false;
  --super_slabs_;
  global_->pool.put_back(super, C::Os::now_ms());
}

template <class C>
void Heap<C>::tidy() noexcept {
  outbox_.flush_all();
  drain_inbox();
  retire_empty_actives();
  for (SuperSlab<C>* super = available_.first(); super;) {
    SuperSlab<C>* const following = super->next;
    if (super->used_slabs == 0) give_back(super);
    super = following;
  }
}

}  // namespace hakmem
