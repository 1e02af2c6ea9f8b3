// Parcels: a block that carries others loses none, and writes to no other.
#include "core/slab/parcel.h"

#include <gtest/gtest.h>

#include <vector>

#include "property_tests/slab/slab_fixture.h"

namespace hakmem::testing {
namespace {

using Fast = SlabConfig<FastMode, DefaultGeometry>;
using Probe = SlabConfig<ProbeMode, DefaultGeometry>;
constexpr std::size_t kSizes[] = {16, 32, 48, 128, 240, 256, 272, 1024, 65536};

TEST(SlabParcel, carries_what_fits_behind_the_link) {
  EXPECT_EQ(Parcel<Fast>::capacity(16), 1u);
  EXPECT_EQ(Parcel<Fast>::capacity(32), 3u);
  EXPECT_EQ(Parcel<Fast>::capacity(248), 30u);
  EXPECT_EQ(Parcel<Fast>::capacity(256), Parcel<Fast>::kMost);
  EXPECT_EQ(Parcel<Fast>::capacity(65536), Parcel<Fast>::kMost);
}

TEST(SlabParcel, carries_nothing_where_free_blocks_are_watched) {
  for (std::size_t const bytes : kSizes) EXPECT_EQ(Parcel<Probe>::capacity(bytes), 0u);
}

TEST(SlabParcel, gives_back_every_block_in_order_and_stays_inside_the_carrier) {
  for (std::size_t const bytes : kSizes) {
    for (std::size_t count = 0; count <= Parcel<Fast>::capacity(bytes); ++count) {
      std::vector<std::uint64_t> memory(bytes / 8 + 2, 0x5a5a5a5a5a5a5a5a);
      auto* const carrier = reinterpret_cast<Block<Fast>*>(memory.data());
      Parcel<Fast> parcel(carrier, bytes);
      auto const number = [](std::size_t i) { return reinterpret_cast<Block<Fast>*>(16 * (i + 1)); };
      parcel.pack(count, number);
      EXPECT_EQ(memory[0], 0x5a5a5a5a5a5a5a5a) << "the link is the chain's";
      EXPECT_EQ(memory[bytes / 8], 0x5a5a5a5a5a5a5a5a);
      std::vector<Block<Fast>*> found;
      parcel.unpack([&found](Block<Fast>* block) { found.push_back(block); });
      ASSERT_EQ(found.size(), count) << bytes << " bytes";
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(found[i], number(i));
    }
  }
}

}  // namespace
}  // namespace hakmem::testing
