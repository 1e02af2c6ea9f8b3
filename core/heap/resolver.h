// What it owns: the one way from an address to a block where the client is not trusted: address ->
// registry -> SuperSlab, large block or nothing -> span head -> block number -> block.
// Invariants: reads no memory but ours, whatever the address. Slabs that are in no span answer with
// the blocks of their last one; what is kept out of use between two SuperSlabs, with a block beside it.
// Thread-safety: any thread. The answer stays true while the caller holds the block; for an address
// that nobody holds it is a snapshot, good for a report.
#pragma once

#include <array>

#include "core/global/large.h"
#include "core/slab/superslab.h"

namespace hakmem {

template <class C>
class Resolver {
  using G = typename C::Geo;

 public:
  [[gnu::always_inline]] static BlockPlace find(Registry<C> const& registry, void const* address) noexcept {
    RegistryEntry<C> const entry = registry.find(address);
    if (entry.large()) {
      LargeBlock* const large = large_at(entry, address);
      return large ? place_of(large) : BlockPlace{};
    }
    SuperSlab<C>* const super = entry.super_slab();
    if (!super) return {};
    if ((reinterpret_cast<std::uintptr_t>(address) & G::kSuperSlabMask) >= SuperSlab<C>::kUsableBytes) [[unlikely]]
      return find_beside(registry, super, address);
    return find_in(super, address);
  }

  // The same of a block of a span behind which there is another one; kNowhere: it is something else.
  [[gnu::always_inline]] static BlockPlace find_followed(Registry<C> const& registry, void const* address) noexcept {
    SuperSlab<C>* const super = registry.find(address).super_slab();
    if (!super) [[unlikely]]
      return {};
    Slab<C>* const head = slab_at(super, address)->head();
    kernels::Word const number = number_at(head, address);
    if (number + 1 >= head->capacity) [[unlikely]]
      return {};
    return place_of(head, number);
  }

  [[gnu::always_inline]] static BlockPlace place_of(Slab<C>* head, kernels::Word number) noexcept {
    std::byte* const start = head->reach.start + number * head->block_bytes;
    bool const last = number + 1 == head->capacity;
    return {.where = BlockPlace::Where::kSmall,
            .first = number == 0,
            .last = last,
            .tail = last && start + head->block_bytes + C::Mode::kSpanTailBytes <= span_end_of(head),
            .start = start,
            .bytes = head->block_bytes,
            .record = head->reach.records + number,
            .descriptor = head};
  }

  static BlockPlace place_of(LargeBlock* large) noexcept {
    BlockPlace place;
    place.where = BlockPlace::Where::kLarge;
    place.first = place.last = true;
    place.start = large->start();
    place.bytes = large->bytes;
    place.record = &large->record;
    place.descriptor = large;
    return place;
  }

  // Of a block that was just taken from a span of several.
  [[gnu::always_inline]] static BlockPlace place_of_taken(Slab<C>* head, Block<C>* block) noexcept {
    BlockPlace place = place_of(head, number_at(head, block));
    place.start = reinterpret_cast<std::byte*>(block);
    return place;
  }

  // Of null, nowhere: fetching what is no address does nothing.
  [[gnu::always_inline]] static void prefetch_record(Slab<C>* head, Block<C> const* block) noexcept {
    auto const records = reinterpret_cast<std::uintptr_t>(head->reach.records);
    __builtin_prefetch(reinterpret_cast<void*>(records + number_at(head, block) * sizeof(BlockRecord)), 1);
  }

  // What a span is to keep at hand. Domain: its place, block size and class are known.
  static SpanReach<false> reach_of(Slab<C> const* head) noexcept {
    return {reinterpret_cast<std::byte*>(head->block(0)), head->record(0), kReciprocals[head->size_class]};
  }

  // act(place) for each block of a span that was ever handed out.
  template <class Act>
  static void for_each_block(Slab<C>* head, Act act) noexcept {
    for (unsigned number = 0; number < head->carved; ++number) act(place_of(head, number));
  }

 private:
  static std::byte const* span_end_of(Slab<C>* head) noexcept { return head->start() + head->slabs * G::kSlabBytes; }

  // One entry per class, and one for spans of a single block, which have the class kClassCount.
  static constexpr auto kReciprocals = [] {
    std::array<kernels::Word, G::kClassCount + 1> table{};
    for (unsigned index = 0; index < G::kClassCount; ++index)
      table[index] = kernels::reciprocal(kernels::size_of_class<G>(index));
    return table;
  }();

  // Behind the usable slabs: the last block in front or the first one behind, whichever side is nearer, of
  // those that were ever handed out.
  static BlockPlace find_beside(Registry<C> const& registry, SuperSlab<C>* super, void const* address) noexcept {
    BlockPlace place;
    place.where = BlockPlace::Where::kBetween;
    bool const in_front = reinterpret_cast<std::uintptr_t>(address) % G::kSlabBytes < G::kSlabBytes / 2;
    if (!in_front) super = registry.find(super->base + G::kSuperSlabBytes).super_slab();
    if (!super) return place;
    Slab<C>* const head = super->slab(in_front ? SuperSlab<C>::kUsableSlabs - 1 : 0)->head();
    for_each_block(head, [&place, in_front](BlockPlace const& block) {
      bool const nearer = in_front || !place.is_block();
      if (nearer && block.record->state.load(std::memory_order_relaxed) != 0) place = block;
    });
    return place;
  }

  [[gnu::always_inline]] static Slab<C>* slab_at(SuperSlab<C>* super, void const* address) noexcept {
    auto const offset = reinterpret_cast<std::uintptr_t>(address) & G::kSuperSlabMask;
    return super->slab(static_cast<unsigned>(offset >> G::kSlabShift));
  }
  [[gnu::always_inline]] static kernels::Word number_at(Slab<C>* head, void const* address) noexcept {
    auto const offset = static_cast<std::size_t>(static_cast<std::byte const*>(address) - head->reach.start);
    return kernels::block_index(offset, head->reach.reciprocal);
  }

  // Where the client is not trusted, the first block of a span lies at its start.
  [[gnu::always_inline]] static BlockPlace find_in(SuperSlab<C>* super, void const* address) noexcept {
    static_assert(!C::Mode::kTrustsClient && !C::Mode::kMetadataInBand);
    BlockPlace between;
    between.where = BlockPlace::Where::kBetween;
    Slab<C>* const head = slab_at(super, address)->head();
    if (head->block_bytes == 0) [[unlikely]]
      return between;
    kernels::Word const number = number_at(head, address);
    return number < head->capacity ? place_of(head, number) : between;
  }
};

}  // namespace hakmem
