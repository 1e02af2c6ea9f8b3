// What it owns: a SuperSlab on its own, without heap or pool, for tests of the slab layer.
// Thread-safety: none.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>

#include "core/mode/config.h"
#include "core/os/linux.h"
#include "core/slab/superslab.h"
#include "hardened/hardened_mode.h"
#include "property_tests/model/probe_mode.h"

namespace hakmem::testing {

template <class ModeT, class GeometryT>
using SlabConfig = Config<ModeT, Linux, StdSync, GeometryT>;

using SlabConfigs = ::testing::Types<SlabConfig<FastMode, TinyGeometry>, SlabConfig<ProbeMode, TinyGeometry>,
                                     SlabConfig<HardenedMode, TinyGeometry>, SlabConfig<FastMode, DefaultGeometry>,
                                     SlabConfig<ProbeMode, DefaultGeometry>, SlabConfig<HardenedMode, DefaultGeometry>>;

template <class C>
class LoneSuperSlab {
  using G = typename C::Geo;

 public:
  LoneSuperSlab() : memory_(std::aligned_alloc(G::kSuperSlabBytes, G::kSuperSlabBytes)) {
    super.base = static_cast<std::byte*>(memory_);
    for (unsigned i = 0; i < G::kSlabsPerSuperSlab; ++i) ::new (super.slab(i)) Slab<C>();
    if constexpr (!C::Mode::kMetadataInBand) {
      records_ = std::make_unique<BlockRecord[]>(SuperSlab<C>::Storage::kRecordBytes / sizeof(BlockRecord));
      super.storage.records = records_.get();
    }
    super.slabs.store(SlabSets{SuperSlab<C>::kUsable, 0}.word());
  }
  ~LoneSuperSlab() { std::free(memory_); }
  LoneSuperSlab(LoneSuperSlab const&) = delete;
  LoneSuperSlab& operator=(LoneSuperSlab const&) = delete;

  // The span of one class at `first`, empty and active.
  Slab<C>* span(unsigned first, unsigned size_class) {
    Slab<C>* const head = super.slab(first);
    head->super = &super;
    head->index = static_cast<std::uint8_t>(first);
    head->slabs = static_cast<std::uint8_t>(kernels::slabs_of_class<G>(size_class));
    head->block_bytes = static_cast<std::uint32_t>(kernels::size_of_class<G>(size_class));
    head->capacity =
        static_cast<std::uint16_t>((head->slabs * G::kSlabBytes - head->first_offset()) / head->block_bytes);
    head->state = SlabState::kActive;
    head->countdown = Slab<C>::kUncounted;
    return head;
  }

  SuperSlab<C> super;

 private:
  void* memory_;
  std::unique_ptr<BlockRecord[]> records_;
};

}  // namespace hakmem::testing
