// What it owns: a pretend span: blocks in a row with their records, as the heap lays them out.
// Thread-safety: none.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "hardened/damage.h"
#include "hardened/soundness.h"

namespace hakmem::hardened {

class Span {
 public:
  static constexpr std::size_t kBlocks = 5, kBytes = 128, kMostBytes = 256;

  // With `tail`, kTailBytes follow the last block.
  explicit Span(bool tail = true, std::size_t bytes_of_each = kBytes) : block_bytes(bytes_of_each), tail_(tail) {
    std::memset(all_, 0x55, sizeof all_);
  }

  BlockPlace place(std::size_t index) {
    bool const last = index + 1 == kBlocks;
    return {.where = BlockPlace::Where::kSmall,
            .first = index == 0,
            .last = last,
            .tail = last && tail_,
            .start = start() + index * block_bytes,
            .bytes = block_bytes,
            .record = &records_[index]};
  }
  void make_live(std::size_t index, std::size_t bytes, std::size_t alignment = kMinAlignment) {
    Facts const facts{.bytes = bytes, .alignment = alignment, .state = BlockState::kLive, .generation = 3};
    set(index, facts.word());
    enclose(place(index), facts.word());
    std::memset(layout(index).client, 0x33, bytes);
  }
  // A long block that is not `whole` is filled at its ends.
  void make_free(std::size_t index, std::size_t bytes = 40, bool whole = false) {
    set(index, Facts{.bytes = bytes, .state = BlockState::kFree}.word() | (whole ? Facts::kWhole : 0));
    fill_free(place(index), word(index));
  }
  void set(std::size_t index, std::uint64_t word) { records_[index].state = word; }
  std::uint64_t word(std::size_t index) { return records_[index].state; }
  Facts facts(std::size_t index) { return Facts::from(word(index)); }
  Layout layout(std::size_t index) { return layout_of(place(index), facts(index)); }
  Damage damage(std::size_t index) {
    return facts(index).state == BlockState::kLive ? damage_of_live(place(index), word(index))
                                                   : damage_of_free(place(index), word(index));
  }
  bool is_sound(std::size_t index) {
    return facts(index).state == BlockState::kLive ? live_is_sound(place(index), word(index))
                                                   : free_is_sound(place(index), word(index));
  }

  std::size_t const block_bytes;

  std::byte* start() { return all_ + 256; }
  std::byte* end() { return start() + kBlocks * block_bytes; }

 private:
  bool const tail_;
  // Alignments up to 64 hold at each block; what lies around is nobody's.
  alignas(64) std::byte all_[kBlocks * kMostBytes + 512];
  BlockRecord records_[kBlocks];
};

}  // namespace hakmem::hardened
