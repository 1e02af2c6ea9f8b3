// The calls that take an alignment: which are valid, what is returned and set otherwise.
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "property_tests/api/instance.h"
#include "property_tests/model/build_kind.h"

namespace hakmem {
namespace {

constexpr int kMarker = 4242;

template <class Mode>
class ApiEntryAlignment : public ApiEntry<Mode> {};
TYPED_TEST_SUITE(ApiEntryAlignment, Modes, ModeName);

bool is_aligned(void const* block, std::size_t alignment) {
  return block != nullptr && reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

TYPED_TEST(ApiEntryAlignment, every_power_of_two_up_to_one_gigabyte_is_given) {
  using Libc = LibcOf<TypeParam>;
  for (std::size_t alignment = 1; alignment <= kMaxAlignment; alignment *= 2) {
    for (std::size_t const size : kSizes) {
      std::vector<void*> blocks;
      for (int i = 0; i < 2; ++i) {
        void* const block = Libc::aligned_alloc(alignment, size);
        ASSERT_TRUE(is_aligned(block, alignment)) << alignment << ' ' << size;
        ASSERT_GE(Libc::malloc_usable_size(block), size);
        std::memset(block, i, size < 70'000 ? size : 70'000);
        blocks.push_back(block);
      }
      for (void* block : blocks) Libc::free(block);
    }
  }
}

TYPED_TEST(ApiEntryAlignment, pages_that_only_the_alignment_needs_stay_untouched) {
  using Libc = LibcOf<TypeParam>;
  for (std::size_t alignment = std::size_t{4} << 20; alignment <= kMaxAlignment; alignment *= 4) {
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    void* const block = Libc::aligned_alloc(alignment, 100);
    Libc::free(block);
    getrusage(RUSAGE_SELF, &after);
    EXPECT_TRUE(is_aligned(block, alignment));
    // A sanitizer's shadow has pages, too.
    EXPECT_LT(after.ru_minflt - before.ru_minflt, testing::kSanitized ? 1000 : 100) << alignment;
  }
}

TYPED_TEST(ApiEntryAlignment, anything_else_is_einval) {
  using Libc = LibcOf<TypeParam>;
  for (std::size_t const alignment :
       {std::size_t{0}, std::size_t{3}, std::size_t{24}, std::size_t{4097}, 2 * kMaxAlignment, SIZE_MAX}) {
    errno = kMarker;
    EXPECT_EQ(Libc::aligned_alloc(alignment, 100), nullptr) << alignment;
    EXPECT_EQ(errno, EINVAL) << alignment;
  }
}

TYPED_TEST(ApiEntryAlignment, posix_memalign_returns_errors_and_touches_neither_errno_nor_the_result) {
  using Libc = LibcOf<TypeParam>;
  void* const untouched = &errno;
  void* block = untouched;
  errno = kMarker;
  for (std::size_t const alignment : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{4}, std::size_t{12},
                                      std::size_t{24}, 2 * kMaxAlignment})
    EXPECT_EQ(Libc::posix_memalign(&block, alignment, 100), EINVAL) << alignment;
  EXPECT_EQ(Libc::posix_memalign(&block, 64, SIZE_MAX), ENOMEM);
  EXPECT_EQ(block, untouched);
  EXPECT_EQ(errno, kMarker);
  for (std::size_t alignment = sizeof(void*); alignment <= kMaxAlignment; alignment *= 2) {
    ASSERT_EQ(Libc::posix_memalign(&block, alignment, 100), 0);
    EXPECT_TRUE(is_aligned(block, alignment));
    Libc::free(block);
  }
  ASSERT_EQ(Libc::posix_memalign(&block, 64, 0), 0);
  EXPECT_TRUE(is_aligned(block, 64));
  Libc::free(block);
  EXPECT_EQ(errno, kMarker);
}

TYPED_TEST(ApiEntryAlignment, valloc_gives_a_page_and_pvalloc_whole_pages) {
  using Libc = LibcOf<TypeParam>;
  auto const page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  for (std::size_t const size : {std::size_t{0}, std::size_t{1}, page - 1, page, page + 1, 10 * page + 1}) {
    void* const one = Libc::valloc(size);
    EXPECT_TRUE(is_aligned(one, page)) << size;
    void* const whole = Libc::pvalloc(size);
    EXPECT_TRUE(is_aligned(whole, page)) << size;
    EXPECT_GE(Libc::malloc_usable_size(whole), (size + page - 1) / page * page) << size;
    Libc::free(one);
    Libc::free(whole);
  }
}

TYPED_TEST(ApiEntryAlignment, aligned_blocks_are_resized_like_any_other) {
  using Libc = LibcOf<TypeParam>;
  for (std::size_t alignment = 16; alignment <= (std::size_t{8} << 20); alignment *= 4) {
    auto* block = static_cast<unsigned char*>(Libc::aligned_alloc(alignment, 1000));
    ASSERT_NE(block, nullptr);
    std::memset(block, 0x77, 1000);
    for (std::size_t const size : {std::size_t{5000}, std::size_t{3} << 20, std::size_t{1000}}) {
      block = static_cast<unsigned char*>(Libc::realloc(block, size));
      ASSERT_NE(block, nullptr);
      for (std::size_t i = 0; i < 1000; ++i) ASSERT_EQ(block[i], 0x77);
    }
    Libc::free(block);
  }
}

}  // namespace
}  // namespace hakmem
