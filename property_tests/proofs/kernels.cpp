// What it owns: one symbol of fixed name and plain integer type for each kernel of
// core/base/kernels.h at the shipped geometry, and for the words that headers of the checked build are made of. This
// file is compiled to LLVM IR, never linked; the proofs speak about the functions below, so about what the optimiser
// makes of the shipped source.
#include "core/base/kernels.h"

#include "core/mode/config.h"
#include "core/slab/superslab.h"
#include "hardened/seal.h"

namespace {

using namespace hakmem;
using kernels::Word;
using G = DefaultGeometry;

// The in-band metadata address is computed where the descriptor is; it depends on the geometry only.
struct InBand {
  struct Mode {
    static constexpr bool kMetadataInBand = true;
    using Links = PlainLinks;
  };
  using Sync = StdSync;
  using Geo = G;
  template <class T>
  using Atomic = std::atomic<T>;
};

}  // namespace

#define KERNEL(type, name, ...) extern "C" type name(__VA_ARGS__) noexcept

// The geometry, so that the goals state no number that could differ from it.
KERNEL(Word, kClassMax) { return G::kClassMax; }
KERNEL(Word, kSmallMax) { return G::kSmallMax; }
KERNEL(Word, kQuantum) { return G::kQuantum; }
KERNEL(Word, kSlabBytes) { return G::kSlabBytes; }
KERNEL(Word, kSuperSlabBytes) { return G::kSuperSlabBytes; }
KERNEL(Word, kWindowsBytes) { return G::kWindowsBytes; }
KERNEL(Word, kReservedBytes) { return G::kReservedBytes; }
KERNEL(Word, kSlabMetaSize) { return kSlabMetaBytes; }
KERNEL(Word, kSlabTitleSize) { return kSlabTitleBytes; }
KERNEL(unsigned, kClassCount) { return G::kClassCount; }
KERNEL(unsigned, kNoRun) { return kernels::kNoRun; }

KERNEL(bool, is_power_of_two, Word value) { return kernels::is_power_of_two(value); }
KERNEL(Word, align_down, Word value, Word alignment) { return kernels::align_down(value, alignment); }
KERNEL(Word, align_up, Word value, Word alignment) { return kernels::align_up(value, alignment); }
KERNEL(bool, is_aligned, Word value, Word alignment) { return kernels::is_aligned(value, alignment); }

KERNEL(Word, multiply_value, Word left, Word right) { return kernels::multiply(left, right).value; }
KERNEL(bool, multiply_overflowed, Word left, Word right) { return kernels::multiply(left, right).overflowed; }

KERNEL(Word, plan_trim_base, Word raw, Word raw_bytes, Word keep, Word alignment) {
  return kernels::plan_trim(raw, raw_bytes, keep, alignment).base;
}
KERNEL(Word, plan_trim_prefix, Word raw, Word raw_bytes, Word keep, Word alignment) {
  return kernels::plan_trim(raw, raw_bytes, keep, alignment).prefix;
}
KERNEL(Word, plan_trim_suffix, Word raw, Word raw_bytes, Word keep, Word alignment) {
  return kernels::plan_trim(raw, raw_bytes, keep, alignment).suffix;
}

KERNEL(unsigned, class_of_size, Word size) { return kernels::class_of_size<G>(size); }
KERNEL(Word, size_of_class, unsigned index) { return kernels::size_of_class<G>(index); }
KERNEL(unsigned, slabs_of_class, unsigned index) { return kernels::slabs_of_class<G>(index); }
KERNEL(unsigned, class_of_aligned_size, Word size, Word alignment) {
  return kernels::class_of_aligned_size<G>(size, alignment);
}

KERNEL(Word, first_block_offset, Word block_bytes, bool behind_metadata) {
  return kernels::first_block_offset<G>(block_bytes, behind_metadata);
}
KERNEL(unsigned, blocks_in_span, Word span_bytes, Word first_offset, Word block_bytes, Word tail_bytes) {
  return kernels::blocks_in_span(span_bytes, first_offset, block_bytes, tail_bytes);
}
KERNEL(Word, reciprocal, Word block_bytes) { return kernels::reciprocal(block_bytes); }
KERNEL(Word, block_index, Word offset, Word reciprocal_of_block) {
  return kernels::block_index(offset, reciprocal_of_block);
}
KERNEL(unsigned, carve_stretch, Word block_bytes, Word stretch, unsigned left) {
  return kernels::carve_stretch(block_bytes, stretch, left);
}

KERNEL(std::uint32_t, run_of_slabs, unsigned first, unsigned count) { return kernels::run_of_slabs(first, count); }
KERNEL(unsigned, find_run, std::uint32_t set, unsigned count, unsigned step) {
  return kernels::find_run(set, count, step);
}
KERNEL(unsigned, batch_size, Word mapped) { return kernels::batch_size(mapped); }
KERNEL(unsigned, ahead_slabs, Word super_slabs) { return kernels::ahead_slabs(super_slabs); }

KERNEL(Word, in_band_slab_of, Word address) {
  return reinterpret_cast<Word>(SuperSlab<InBand>::in_band_slab_of(reinterpret_cast<void*>(address)));
}
KERNEL(Word, in_band_title_of, Word address) {
  return reinterpret_cast<Word>(SuperSlab<InBand>::InBand(reinterpret_cast<void*>(address)).title());
}

using hardened::Facts;

KERNEL(Word, facts_word, Word bytes, unsigned log2_alignment, unsigned kind, unsigned state, bool left, unsigned age) {
  return Facts{bytes,
               std::size_t{1} << log2_alignment,
               static_cast<AllocationKind>(kind),
               static_cast<hardened::BlockState>(state),
               left,
               static_cast<std::uint8_t>(age)}
      .word();
}
KERNEL(Word, facts_bytes, Word word) { return Facts::from(word).bytes; }
KERNEL(Word, facts_alignment, Word word) { return Facts::from(word).alignment; }
KERNEL(unsigned, facts_kind, Word word) { return static_cast<unsigned>(Facts::from(word).kind); }
KERNEL(unsigned, facts_state, Word word) { return static_cast<unsigned>(Facts::from(word).state); }
KERNEL(bool, facts_left, Word word) { return Facts::from(word).left; }
KERNEL(unsigned, facts_age, Word word) { return Facts::from(word).generation; }
KERNEL(Word, facts_in_state, Word word, unsigned state) {
  return Facts::in_state(word, static_cast<hardened::BlockState>(state));
}
KERNEL(unsigned, facts_age_after, Word word) { return Facts::generation_after(word); }
