#include "tools/hak/faults/heap_view.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "tools/hak/faults/memory_map.h"

namespace hakmem::tools {
namespace {

using Word = std::uint64_t;

constexpr Word kLargeTag = 1;

Word address_of(void const* pointer) { return reinterpret_cast<Word>(pointer); }

}  // namespace

// Until the library is relocated, the addresses in its layout lead nowhere: it is kept when they do not.
DebugLayout const* HeapView::layout() {
  if (layout_) return &*layout_;
  auto const fresh = read_memory<DebugLayout>(process_, layout_address_);
  if (!fresh) return nullptr;
  if (fresh->version != DebugLayout::kVersion) {
    throw std::runtime_error("the program's libhakmem has debug layout " + std::to_string(fresh->version) +
                             "; this hak knows " + std::to_string(DebugLayout::kVersion));
  }
  bool const relocated = read_memory<Word>(process_, address_of(fresh->registry_root)) &&
                         read_memory<Word>(process_, address_of(fresh->chunks));
  if (!relocated) return nullptr;
  layout_ = fresh;
  return &*layout_;
}

HeapPlace HeapView::look_up(Word address, Word mapping_start) {
  DebugLayout const* const layout = this->layout();
  if (!layout) return {};
  Word const unit = address / layout->super_slab_bytes;
  Word const root_index = unit / layout->registry_leaf_entries;
  if (root_index >= layout->registry_root_entries) return {};
  Word const leaf =
      read_memory<Word>(process_, address_of(layout->registry_root) + root_index * sizeof(Word)).value_or(0);
  Word const entry =
      leaf ? read_memory<Word>(process_, leaf + unit % layout->registry_leaf_entries * sizeof(Word)).value_or(0) : 0;
  if (entry != 0 && !(entry & kLargeTag)) return in_super_slab(*layout, entry, address);
  if (in_large_block(*layout, address, mapping_start)) return {HeapPlace::Kind::kLarge, 0};
  if (in_metadata(*layout, address)) return {HeapPlace::Kind::kMetadata, 0};
  return {};
}

HeapPlace HeapView::in_super_slab(DebugLayout const& layout, Word descriptor, Word address) const {
  auto const base = read_memory<Word>(process_, descriptor + layout.super_base);
  if (!base || address < *base || address - *base >= layout.super_slab_bytes) return {};
  Word const offset = address - *base;
  if (offset < layout.reserved_bytes) return {HeapPlace::Kind::kRecords, 0};
  Word records = descriptor + layout.super_slab_records;
  if (layout.windows_bytes != 0) {
    Word const windows = layout.windows_bytes / layout.window_bytes;
    records = *base + *base / layout.super_slab_bytes % windows * layout.window_bytes;
  }
  Word const record = records + offset / layout.slab_bytes * layout.slab_record_bytes;
  auto const distance = read_memory<std::uint8_t>(process_, record + layout.slab_head_distance);
  if (!distance) return {};
  Word const head = record - *distance * layout.slab_record_bytes;
  auto const bytes = read_memory<std::uint32_t>(process_, head + layout.slab_block_bytes);
  if (!bytes) return {};
  return {*bytes == 0 ? HeapPlace::Kind::kFreeSlab : HeapPlace::Kind::kBlock, *bytes};
}

// The registry entries for units [first, first + kEntriesAtOnce) of one leaf; all null if there is no leaf.
std::optional<HeapView::Entries> HeapView::entries_from(DebugLayout const& layout, Word first) const {
  Word const root_at = address_of(layout.registry_root) + first / layout.registry_leaf_entries * sizeof(Word);
  auto const leaf = read_memory<Word>(process_, root_at);
  if (!leaf) return std::nullopt;
  Entries entries{};
  if (*leaf == 0) return entries;
  Word const at = *leaf + first % layout.registry_leaf_entries * sizeof(Word);
  return read_memory(process_, at, entries.data(), sizeof entries) ? std::optional(entries) : std::nullopt;
}

// The entry of a large block stands for its first unit only: the nearest entry at or below counts.
bool HeapView::in_large_block(DebugLayout const& layout, Word address, Word mapping_start) const {
  Word const unit = address / layout.super_slab_bytes;
  Word const lowest = mapping_start / layout.super_slab_bytes / kEntriesAtOnce;
  for (Word stretch = unit / kEntriesAtOnce + 1; stretch-- > lowest;) {
    Word const first = stretch * kEntriesAtOnce;
    auto const entries = entries_from(layout, first);
    if (!entries) return false;
    for (Word i = std::min(unit - first + 1, kEntriesAtOnce); i-- > 0;) {
      Word const entry = (*entries)[i];
      if (entry == 0) continue;
      if (!(entry & kLargeTag)) return false;
      auto const base = read_memory<Word>(process_, (entry & ~kLargeTag) + layout.large_base);
      auto const bytes = read_memory<Word>(process_, (entry & ~kLargeTag) + layout.large_bytes);
      return base && bytes && address >= *base && address - *base < *bytes;
    }
  }
  return false;
}

bool HeapView::in_metadata(DebugLayout const& layout, Word address) const {
  auto chunk = read_memory<Word>(process_, address_of(layout.chunks));
  while (chunk && *chunk != 0) {
    auto const bytes = read_memory<Word>(process_, *chunk + layout.chunk_bytes);
    if (bytes && address >= *chunk && address - *chunk < *bytes) return true;
    chunk = read_memory<Word>(process_, *chunk + layout.chunk_next);
  }
  return false;
}

}  // namespace hakmem::tools
