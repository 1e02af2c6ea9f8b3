// A thread's life: its heap after its exit, calls after its own teardown, exits that cannot be
// observed, threads that only free.
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "property_tests/api/instance.h"

namespace hakmem {
namespace {

template <class Mode>
class ApiEntryThread : public ApiEntry<Mode> {};
TYPED_TEST_SUITE(ApiEntryThread, Modes, ModeName);

TYPED_TEST(ApiEntryThread, heap_of_an_ended_thread_serves_the_next_one) {
  using Libc = LibcOf<TypeParam>;
  Libc::free(Libc::malloc(1));
  std::thread([] { Libc::free(Libc::malloc(1)); }).join();
  auto const heaps = ProcessOf<TypeParam>::core().statistics().heaps_now;
  for (int i = 0; i < 100; ++i) std::thread([] { Libc::free(Libc::malloc(1)); }).join();
  EXPECT_EQ(ProcessOf<TypeParam>::core().statistics().heaps_now, heaps);
  EXPECT_GE(ProcessOf<TypeParam>::core().statistics().heaps_parked_now, 1u);
}

// Destroyed after the heap is gone, because it is made before the heap is.
template <class Libc>
struct OutlivesHeap {
  int* failures = nullptr;
  void* kept = nullptr;
  ~OutlivesHeap() {
    std::vector<void*> blocks{kept};
    for (std::size_t const size : kSizes) {
      void* const block = Libc::calloc(1, size);
      if (!block) ++*failures;
      std::memset(block, 1, size);
      blocks.push_back(size > 0 ? Libc::realloc(block, size + 1) : block);
    }
    for (void* block : blocks) Libc::free(block);
  }
};

TYPED_TEST(ApiEntryThread, calls_after_the_threads_own_teardown_are_served) {
  using Process = ProcessOf<TypeParam>;
  using Libc = LibcOf<TypeParam>;
  Libc::free(Libc::malloc(1));
  int failures = 0;
  auto const heaps = Process::core().statistics().heaps_now;
  for (int i = 0; i < 20; ++i) {
    std::thread([&failures] {
      static thread_local OutlivesHeap<Libc> outlives;
      outlives.failures = &failures;
      outlives.kept = Libc::malloc(100);
    }).join();
  }
  EXPECT_EQ(failures, 0);
  EXPECT_LE(Process::core().statistics().heaps_now, heaps + 1);
}

TYPED_TEST(ApiEntryThread, thread_that_only_frees_keeps_errno_and_loses_nothing) {
  using Libc = LibcOf<TypeParam>;
  std::vector<void*> blocks;
  Libc::malloc_trim(0);  // takes in what earlier threads freed
  std::size_t const before = Libc::mallinfo2().uordblks;
  for (int round = 0; round < 50; ++round)
    for (std::size_t const size : kSizes) blocks.push_back(Libc::malloc(size));
  int error = 0;
  std::thread([&] {
    errno = 4242;
    // The largest first: what was released last rests, however large it is.
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) Libc::free(*block);
    error = errno;
  }).join();
  EXPECT_EQ(error, 4242);
  Libc::malloc_trim(0);
  this->expect_used(before, 2 * Settings{}.quarantine_bytes);
}

// A process in which no thread's end can be observed.
struct BlindHost : TestHost {
  static bool arm_thread_exit(void (*)()) noexcept { return false; }
};

TEST(ApiRuntime, thread_whose_exit_cannot_be_observed_borrows_a_heap_for_each_call) {
  using Process = Runtime<FastMode, Linux, BlindHost>;
  using Libc = Entry<Process>;
  void* kept = nullptr;
  for (int i = 0; i < 10; ++i) {
    std::thread([&kept] {
      Libc::free(kept);
      kept = Libc::malloc(100);
      for (std::size_t const size : kSizes) Libc::free(Libc::realloc(Libc::malloc(size), size + 100));
    }).join();
    EXPECT_EQ(Process::core().statistics().heaps_now, Process::core().statistics().heaps_parked_now);
  }
  EXPECT_EQ(Process::core().statistics().heaps_now, 1u);
  EXPECT_TRUE(Process::core().validate(Process::heap()));
  Libc::free(kept);
}

// An environment that the options are read from, and a record of what was said.
struct ConfiguredHost : TestHost {
  static inline std::string said;
  static inline int kept = 0;
  static char const* const* environment() noexcept {
    static char const* const kEntries[] = {"HAKMEM_STATS=1", "HAKMEM_WARMUP=64M", "HAKMEM_NO_SUCH=1", nullptr};
    return kEntries;
  }
  static void keep_standard_error() noexcept { ++kept; }
  static void write_standard_error(void*, char const* text, std::size_t bytes) noexcept { said.append(text, bytes); }
};

TEST(ApiRuntime, first_call_reads_the_options_once_and_acts_on_them) {
  using Process = Runtime<FastMode, Linux, ConfiguredHost>;
  using Libc = Entry<Process>;
  Libc::free(Libc::malloc(1));
  std::thread([] { Libc::free(Libc::malloc(1)); }).join();
  EXPECT_EQ(ConfiguredHost::said.find("hakmem: unknown option \"HAKMEM_NO_SUCH\""), 0u);
  EXPECT_EQ(ConfiguredHost::said.find('\n'), ConfiguredHost::said.size() - 1);
  EXPECT_EQ(ConfiguredHost::kept, 1);
  EXPECT_GE(Process::core().statistics().super_slabs_mapped, 32u);
  ConfiguredHost::said.clear();
  Process::report_at_exit();
  EXPECT_EQ(ConfiguredHost::said.find("hakmem: allocator statistics\n  "), 0u);
  EXPECT_NE(ConfiguredHost::said.find("small blocks allocated"), std::string::npos);
}

TEST(ApiRuntime, no_report_is_written_unless_asked_for) {
  struct QuietHost : ConfiguredHost {
    static char const* const* environment() noexcept { return nullptr; }
  };
  using Process = Runtime<FastMode, Linux, QuietHost>;
  Entry<Process>::free(Entry<Process>::malloc(1));
  ConfiguredHost::said.clear();
  Process::report_at_exit();
  EXPECT_EQ(ConfiguredHost::said, "");
}

}  // namespace
}  // namespace hakmem
