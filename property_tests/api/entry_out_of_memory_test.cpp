// Failing system calls, one at a time and all from one on: what is refused is NULL and ENOMEM, the
// heap stays valid, and what was there before stays intact.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "property_tests/api/instance.h"
#include "property_tests/faulty_os.h"
#include "property_tests/model/build_kind.h"

namespace hakmem {
namespace {

using Faulty = testing::FaultyLinux;
using testing::FaultPlan;

template <class Mode>
using FaultyProcess = Runtime<Mode, Faulty, TestHost>;

// Blocks with known contents.
template <class Libc>
class Blocks {
 public:
  std::uint64_t refused() const { return refused_; }

  // Takes a block over; null must come with ENOMEM.
  void add(void* block, std::size_t size) {
    if (!block) {
      ++refused_;
      EXPECT_EQ(errno, ENOMEM) << size;
      errno = 0;
      return;
    }
    auto const mark = static_cast<unsigned char>(blocks_.size());
    std::memset(block, mark, size);
    blocks_.push_back({static_cast<unsigned char*>(block), size, mark});
  }

  void resize(std::size_t which, std::size_t size) {
    if (blocks_.empty()) return;
    Block& block = blocks_[which % blocks_.size()];
    void* const moved = Libc::realloc(block.bytes, size);
    if (!moved) {
      ++refused_;
      EXPECT_EQ(errno, ENOMEM) << size;
      errno = 0;
      return;
    }
    block.bytes = static_cast<unsigned char*>(moved);
    if (size < block.size) block.size = size;
  }

  void expect_intact() const {
    for (Block const& block : blocks_) {
      bool const intact = std::all_of(block.bytes, block.bytes + block.size,
                                      [&block](unsigned char byte) { return byte == block.mark; });
      ASSERT_TRUE(intact) << "a block of " << block.size << " bytes";
    }
  }

  void free_all() {
    for (Block const& block : blocks_) Libc::free(block.bytes);
    blocks_.clear();
  }

 private:
  struct Block {
    unsigned char* bytes;
    std::size_t size;
    unsigned char mark;
  };
  std::vector<Block> blocks_;
  std::uint64_t refused_ = 0;
};

// Every way to allocate, in sizes that pass through every mechanism.
template <class Libc>
void allocate_in_every_way(Blocks<Libc>& blocks) {
  constexpr std::size_t kWanted[] = {100, 3000, 40'000, 1'000'000, 3'000'000};
  for (std::size_t const size : kWanted) {
    blocks.add(Libc::malloc(size), size);
    blocks.add(Libc::calloc(1, size), size);
    blocks.add(Libc::aligned_alloc(std::size_t{1} << 16, size), size);
    void* block = nullptr;
    int const error = Libc::posix_memalign(&block, std::size_t{4} << 20, size);
    EXPECT_EQ(error, block ? 0 : ENOMEM);
    if (!block) errno = error;
    blocks.add(block, size);
    blocks.resize(size, size * 2);
    blocks.resize(size + 1, size / 2);
  }
  // A class that grows, and more blocks than the SuperSlabs at hand have room for: long ones, because small ones
  // would be populated by more calls than a plan can name.
  for (int i = 0; i < 100; ++i) blocks.add(Libc::malloc(1000), 1000);
  for (int i = 0; i < 450; ++i) blocks.add(Libc::malloc(9000), 9000);
}

// Runs the scenario under `plan`; the calls that were made to fail.
template <class Mode>
std::uint64_t run_under(FaultPlan plan) {
  using Process = FaultyProcess<Mode>;
  Blocks<Entry<Process>> blocks;
  std::uint64_t const failed_before = Faulty::failed();
  std::uint64_t const refused_before = Process::statistics().out_of_memory;
  blocks.add(Entry<Process>::malloc(500), 500);
  Faulty::set_plan(plan);
  allocate_in_every_way(blocks);
  std::uint64_t const failed = Faulty::failed() - failed_before;
  EXPECT_EQ(Process::statistics().out_of_memory, refused_before + blocks.refused());
  blocks.expect_intact();
  EXPECT_TRUE(Process::core().validate(Process::heap()));
  blocks.free_all();
  Faulty::set_plan(FaultPlan::none());
  EXPECT_TRUE(Process::core().validate(Process::heap()));
  Entry<Process>::malloc_trim(0);
  EXPECT_EQ(Faulty::violation(), "");
  return failed;
}

// Under a sanitizer a scenario takes so long that only some of its calls are made to fail, and not all in the end.
constexpr unsigned kStep = testing::kThreadSanitizer ? 8 : testing::kAddressSanitizer ? 2 : 1;

template <class Mode>
class ApiEntryOutOfMemory : public ::testing::Test {};
TYPED_TEST_SUITE(ApiEntryOutOfMemory, Modes, ModeName);

TYPED_TEST(ApiEntryOutOfMemory, first_calls_of_a_process_without_memory_are_refused_and_later_ones_served) {
  struct OtherHost : TestHost {};
  using Libc = Entry<Runtime<TypeParam, Faulty, OtherHost>>;
  Faulty::set_plan(FaultPlan::always(ENOMEM));
  errno = 0;
  EXPECT_EQ(Libc::malloc(10), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  errno = 0;
  EXPECT_EQ(Libc::calloc(1, 10'000'000), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  errno = 4242;
  Libc::free(nullptr);
  EXPECT_EQ(errno, 4242);
  Faulty::set_plan(FaultPlan::none());
  Blocks<Libc> blocks;
  allocate_in_every_way(blocks);
  blocks.expect_intact();
  blocks.free_all();
}

TYPED_TEST(ApiEntryOutOfMemory, any_one_failing_call_leaves_the_heap_valid_and_the_blocks_intact) {
  unsigned which = 0;
  while (which < testing::kNamedCalls && run_under<TypeParam>(FaultPlan::nth(which, ENOMEM)) > 0) which += kStep;
  EXPECT_GT(which, 5u) << "the scenario makes calls that can fail";
  if (kStep == 1) {
    EXPECT_LT(which, testing::kNamedCalls) << "the scenario makes more calls than the plan can name";
  }
}

TYPED_TEST(ApiEntryOutOfMemory, all_calls_failing_from_any_one_on_leave_the_heap_valid_and_the_blocks_intact) {
  unsigned which = 0;
  while (which < testing::kNamedCalls &&
         run_under<TypeParam>({testing::kEveryCall, ~testing::CallBits{0} << which, true, ENOMEM}) > 0)
    which += kStep;
  EXPECT_GT(which, 5u);
  if (kStep == 1) {
    EXPECT_LT(which, testing::kNamedCalls);
  }
}

}  // namespace
}  // namespace hakmem
