// The contracts at the edge, one by one: sizes, overflow, errno, contents, information.
#include <malloc.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

#include "property_tests/api/instance.h"

namespace hakmem {
namespace {

constexpr std::size_t kTooLarge = static_cast<std::size_t>(PTRDIFF_MAX) + 1;
constexpr int kMarker = 4242;  // an errno that nothing sets

TYPED_TEST_SUITE(ApiEntry, Modes, ModeName);

bool all_bytes_are(void const* block, std::size_t bytes, unsigned char value) {
  auto const* const at = static_cast<unsigned char const*>(block);
  for (std::size_t i = 0; i < bytes; ++i)
    if (at[i] != value) return false;
  return true;
}

TYPED_TEST(ApiEntry, malloc_of_zero_gives_unique_blocks) {
  std::set<void*> blocks;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(blocks.insert(LibcOf<TypeParam>::malloc(0)).second);
  EXPECT_FALSE(blocks.contains(nullptr));
  for (void* block : blocks) LibcOf<TypeParam>::free(block);
}

TYPED_TEST(ApiEntry, blocks_are_aligned_to_sixteen_and_usable_to_their_last_byte) {
  using Libc = LibcOf<TypeParam>;
  for (std::size_t const size : kSizes) {
    std::vector<void*> blocks;
    for (unsigned char i = 0; i < 3; ++i) {
      void* const block = Libc::malloc(size);
      ASSERT_NE(block, nullptr) << size;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % kMinAlignment, 0u) << size;
      ASSERT_GE(Libc::malloc_usable_size(block), size);
      std::memset(block, i, Libc::malloc_usable_size(block));
      blocks.push_back(block);
    }
    for (unsigned char i = 0; i < 3; ++i) {
      EXPECT_TRUE(all_bytes_are(blocks[i], Libc::malloc_usable_size(blocks[i]), i)) << size;
      Libc::free(blocks[i]);
    }
  }
}

TYPED_TEST(ApiEntry, sizes_above_ptrdiff_max_are_refused_with_enomem) {
  using Libc = LibcOf<TypeParam>;
  void* const block = Libc::malloc(10);
  for (std::size_t const size : {kTooLarge, kTooLarge + 4096, SIZE_MAX - 4096, SIZE_MAX - 1, SIZE_MAX}) {
    auto const refused = [](void* result) {
      bool const right = result == nullptr && errno == ENOMEM;
      errno = kMarker;
      return right;
    };
    errno = kMarker;
    EXPECT_TRUE(refused(Libc::malloc(size))) << size;
    EXPECT_TRUE(refused(Libc::calloc(1, size))) << size;
    EXPECT_TRUE(refused(Libc::calloc(size, 1))) << size;
    EXPECT_TRUE(refused(Libc::realloc(nullptr, size))) << size;
    EXPECT_TRUE(refused(Libc::realloc(block, size))) << size;
    EXPECT_TRUE(refused(Libc::reallocarray(block, 1, size))) << size;
    EXPECT_TRUE(refused(Libc::aligned_alloc(16, size))) << size;
    EXPECT_TRUE(refused(Libc::aligned_alloc(kMaxAlignment, size))) << size;
    EXPECT_TRUE(refused(Libc::valloc(size))) << size;
    EXPECT_TRUE(refused(Libc::pvalloc(size))) << size;
  }
  Libc::free(block);
}

TYPED_TEST(ApiEntry, products_that_overflow_are_refused_and_the_old_block_stays) {
  using Libc = LibcOf<TypeParam>;
  auto* const block = static_cast<unsigned char*>(Libc::malloc(100));
  std::memset(block, 7, 100);
  std::size_t const half = std::size_t{1} << 32;
  for (auto const& [count, size] : {std::pair{half, half}, std::pair{SIZE_MAX, std::size_t{2}},
                                    std::pair{half + 1, half - 1 + (half << 1)}, std::pair{SIZE_MAX, SIZE_MAX}}) {
    errno = kMarker;
    EXPECT_EQ(Libc::calloc(count, size), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    errno = kMarker;
    EXPECT_EQ(Libc::reallocarray(block, count, size), nullptr);
    EXPECT_EQ(errno, ENOMEM);
  }
  EXPECT_TRUE(all_bytes_are(block, 100, 7));
  Libc::free(block);
}

TYPED_TEST(ApiEntry, calloc_gives_zeroes_where_others_wrote) {
  using Libc = LibcOf<TypeParam>;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t const size : kSizes) {
      void* const dirty = Libc::malloc(size);
      std::memset(dirty, 0xff, size);
      Libc::free(dirty);
      void* const block = Libc::calloc(1, size);
      ASSERT_NE(block, nullptr);
      EXPECT_TRUE(all_bytes_are(block, size, 0)) << size;
      std::memset(block, 0xff, size);
      Libc::free(block);
    }
  }
  EXPECT_NE(Libc::calloc(0, 10), nullptr);
  EXPECT_NE(Libc::calloc(10, 0), nullptr);
}

TYPED_TEST(ApiEntry, realloc_keeps_the_first_bytes_between_all_sizes) {
  using Libc = LibcOf<TypeParam>;
  for (std::size_t const from : kSizes)
    for (std::size_t const to : kSizes) {
      if (to == 0) continue;
      void* const block = Libc::malloc(from);
      std::memset(block, 0x3c, from);
      void* const moved = Libc::realloc(block, to);
      ASSERT_NE(moved, nullptr);
      EXPECT_GE(Libc::malloc_usable_size(moved), to);
      EXPECT_TRUE(all_bytes_are(moved, from < to ? from : to, 0x3c)) << from << " to " << to;
      std::memset(moved, 0xff, to);
      Libc::free(moved);
    }
}

TYPED_TEST(ApiEntry, realloc_of_null_allocates_and_to_zero_frees) {
  using Libc = LibcOf<TypeParam>;
  void* const block = Libc::realloc(nullptr, 100);
  ASSERT_NE(block, nullptr);
  std::size_t const held = Libc::mallinfo2().uordblks;
  errno = kMarker;
  EXPECT_EQ(Libc::realloc(block, 0), nullptr);
  // The checked build holds it back from reuse, so that it counts as used.
  EXPECT_LE(Libc::mallinfo2().uordblks + (TypeParam::kTrustsClient ? 100 : 0), held);
  EXPECT_EQ(Libc::reallocarray(Libc::malloc(10), 5, 0), nullptr);
  EXPECT_EQ(errno, kMarker);
  EXPECT_NE(Libc::realloc(nullptr, 0), nullptr);
}

TYPED_TEST(ApiEntry, free_keeps_errno_and_takes_null) {
  using Libc = LibcOf<TypeParam>;
  for (std::size_t const size : kSizes) {
    void* const block = Libc::malloc(size);
    errno = kMarker;
    Libc::free(block);
    EXPECT_EQ(errno, kMarker) << size;
  }
  Libc::free(nullptr);
  EXPECT_EQ(errno, kMarker);
}

TYPED_TEST(ApiEntry, usable_size_of_null_is_zero) { EXPECT_EQ(LibcOf<TypeParam>::malloc_usable_size(nullptr), 0u); }

TYPED_TEST(ApiEntry, trim_says_whether_it_gave_memory_back) {
  using Libc = LibcOf<TypeParam>;
  void* const block = Libc::malloc(20 << 20);
  std::memset(block, 1, 20 << 20);
  Libc::free(block);
  EXPECT_EQ(Libc::malloc_trim(0), 1);
  EXPECT_EQ(Libc::malloc_trim(0), 0);
}

TYPED_TEST(ApiEntry, mallopt_refuses_every_parameter) {
  for (int const parameter : {M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX, 12345})
    EXPECT_EQ(LibcOf<TypeParam>::mallopt(parameter, 1), 0);
}

TYPED_TEST(ApiEntry, mallinfo_counts_what_is_held) {
  using Libc = LibcOf<TypeParam>;
  struct mallinfo2 const before = Libc::mallinfo2();
  void* const small = Libc::malloc(5000);
  void* const large = Libc::malloc(5 << 20);
  struct mallinfo2 const after = Libc::mallinfo2();
  EXPECT_GE(after.uordblks, before.uordblks + 5000);
  EXPECT_LE(after.uordblks, before.uordblks + 6000);
  EXPECT_EQ(after.hblks, before.hblks + 1);
  EXPECT_GE(after.hblkhd, before.hblkhd + (5 << 20));
  EXPECT_EQ(after.arena, after.uordblks + after.fordblks);
  struct mallinfo const narrow = Libc::mallinfo();
  EXPECT_EQ(static_cast<std::size_t>(narrow.hblkhd), after.hblkhd);
  Libc::free(small);
  Libc::free(large);
  this->expect_used(before.uordblks, 6000);
  EXPECT_EQ(Libc::mallinfo2().hblks, before.hblks);
}

TEST(ApiReport, mallinfo_shows_what_does_not_fit_as_the_largest_int) {
  struct mallinfo2 wide {};
  wide.arena = std::size_t{5} << 30;
  wide.hblks = 7;
  struct mallinfo const narrow = to_mallinfo(wide);
  EXPECT_EQ(narrow.arena, INT_MAX);
  EXPECT_EQ(narrow.hblks, 7);
}

TYPED_TEST(ApiEntry, malloc_info_writes_a_document_for_options_zero_only) {
  using Libc = LibcOf<TypeParam>;
  char* text = nullptr;
  std::size_t bytes = 0;
  std::FILE* const stream = open_memstream(&text, &bytes);
  EXPECT_EQ(Libc::malloc_info(1, stream), EINVAL);
  EXPECT_EQ(Libc::malloc_info(0, stream), 0);
  std::fclose(stream);
  std::string const document(text, bytes);
  ::free(text);
  EXPECT_EQ(
      document.find("<malloc version=\"hakmem-" PROJECT_VERSION "\">\n<figure name=\"small_blocks_now\" value=\""), 0u);
  EXPECT_EQ(document.find("</malloc>\n"), document.size() - 10);
}

TEST(ApiReport, c_figures_are_the_statistics_in_their_order) {
  Statistics statistics;
  auto* const figures = reinterpret_cast<std::uint64_t*>(&statistics);
  constexpr std::size_t kCount = sizeof statistics / sizeof(std::uint64_t);
  for (std::size_t i = 0; i < kCount; ++i) figures[i] = 1000 + i;
  hak_statistics const copied = to_c(statistics);
  EXPECT_EQ(copied.size, sizeof copied);
  EXPECT_EQ(std::memcmp(&copied.small_blocks_now, figures, sizeof statistics), 0);
}

TEST(ApiReport, version_in_the_header_is_the_project_version) {
  EXPECT_STREQ(HAK_VERSION_STRING, PROJECT_VERSION);
  EXPECT_EQ(std::to_string(HAK_VERSION_MAJOR) + "." + std::to_string(HAK_VERSION_MINOR) + "." +
                std::to_string(HAK_VERSION_PATCH),
            HAK_VERSION_STRING);
}

}  // namespace
}  // namespace hakmem
