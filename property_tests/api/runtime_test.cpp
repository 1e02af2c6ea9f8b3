// What ties the allocator to its process: attaching, errno across start-up, the helper thread, fork.
#include <cerrno>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

#include "property_tests/api/instance.h"
#include "property_tests/model/probe_mode.h"

namespace hakmem {
namespace {

// Whose every function leaves another errno behind.
struct CarelessHost : TestHost {
  static char const* const* environment() noexcept {
    static char const* const kEntries[] = {"HAKMEM_STATS=1", nullptr};
    errno = 1001;
    return kEntries;
  }
  static bool arm_thread_exit(void (*run)()) noexcept {
    bool const armed = TestHost::arm_thread_exit(run);
    errno = 1002;
    return armed;
  }
  static void register_fork(void (*)(), void (*)(), void (*)()) noexcept { errno = 1003; }
  static void keep_standard_error() noexcept { errno = 1004; }
};

TEST(ApiRuntime, the_first_call_of_a_process_and_of_a_thread_keeps_errno) {
  using Libc = Entry<Runtime<FastMode, Linux, CarelessHost>>;
  auto const call = [] {
    errno = 4242;
    Libc::free(Libc::malloc(1));
    EXPECT_EQ(errno, 4242);
  };
  call();
  std::thread(call).join();
}

TEST(ApiRuntime, a_thread_has_a_heap_of_its_own_from_its_first_call_on) {
  using Process = ProcessOf<FastMode>;
  using Libc = LibcOf<FastMode>;
  auto const call = [](auto act) {
    std::thread([act] {
      EXPECT_FALSE(Process::heap()->attached());
      act();
      EXPECT_TRUE(Process::heap()->attached());
    }).join();
  };
  void* kept = nullptr;
  call([&] { kept = Libc::malloc(1); });
  call([&] { Libc::free(kept); });
  call([&] { kept = Libc::aligned_alloc(64, 64); });
  call([&] { kept = Libc::realloc(kept, 1000); });
  Libc::free(kept);
}

// Whose start allocates, as libc's functions may.
struct AllocatingHost : TestHost {
  static inline void (*allocate)() = nullptr;
  static void register_fork(void (*)(), void (*)(), void (*)()) noexcept { allocate(); }
};

TEST(ApiRuntime, a_start_that_allocates_makes_no_second_heap) {
  using Process = Runtime<FastMode, Linux, AllocatingHost>;
  using Libc = Entry<Process>;
  AllocatingHost::allocate = [] { Libc::free(Libc::malloc(1)); };
  Libc::free(Libc::malloc(1));
  EXPECT_EQ(Process::core().statistics().heaps_now, 1u);
}

// A process that counts the threads that it was asked for and runs what it is to run around fork.
template <int kNumber>
struct HelpfulHost : TestHost {
  static inline int helpers = 0;
  static inline void (*around_fork[3])() = {};
  static char const* const* environment() noexcept {
    static char const* const kBackground[] = {"HAKMEM_SS_PREFAULT=background", nullptr};
    static char const* const kAhead[] = {"HAKMEM_SS_PREFAULT=ahead", nullptr};
    return kNumber == 0 ? kAhead : kBackground;
  }
  static void register_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept {
    around_fork[0] = before;
    around_fork[1] = in_parent;
    around_fork[2] = in_child;
  }
  static bool start_helper(void (*)()) noexcept {
    ++helpers;
    errno = 1005;
    return false;
  }
};

template <int kNumber>
using HelpedProcess = Runtime<FastMode, Linux, HelpfulHost<kNumber>>;

TEST(ApiRuntime, a_helper_is_started_once_when_the_option_asks_for_it_and_the_program_is_not_small) {
  using Libc = Entry<HelpedProcess<1>>;
  void* const small = Libc::malloc(1);
  EXPECT_EQ(HelpfulHost<1>::helpers, 0);
  void* const large = Libc::malloc(5 << 20);
  EXPECT_EQ(HelpfulHost<1>::helpers, 1);
  errno = 4242;
  void* const another = Libc::malloc(5 << 20);
  EXPECT_EQ(errno, 4242);
  EXPECT_EQ(HelpfulHost<1>::helpers, 1);
  for (void* block : {small, large, another}) Libc::free(block);
}

TEST(ApiRuntime, no_helper_is_started_under_another_option) {
  using Libc = Entry<HelpedProcess<0>>;
  for (int i = 0; i < 3; ++i) Libc::free(Libc::malloc(5 << 20));
  EXPECT_EQ(HelpfulHost<0>::helpers, 0);
}

TEST(ApiRuntime, a_helper_is_started_anew_in_a_child_and_not_in_the_parent) {
  using Libc = Entry<HelpedProcess<2>>;
  using Host = HelpfulHost<2>;
  for (int i = 0; i < 3; ++i) Libc::free(Libc::malloc(5 << 20));
  EXPECT_EQ(Host::helpers, 1);
  Host::around_fork[0]();
  Host::around_fork[1]();
  for (int i = 0; i < 3; ++i) Libc::free(Libc::malloc(5 << 20));
  EXPECT_EQ(Host::helpers, 1);
  Host::around_fork[0]();
  Host::around_fork[2]();
  for (int i = 0; i < 3; ++i) Libc::free(Libc::malloc(5 << 20));
  EXPECT_EQ(Host::helpers, 2);
}

struct ListeningHost : TestHost {
  static inline std::string said;
  static void write_standard_error(void*, char const* text, std::size_t bytes) noexcept { said.append(text, bytes); }
};
struct RefusingMode : FastMode {
  static inline std::uint64_t refused = 0;
  static std::uint64_t failures() noexcept { return refused; }
  static char const* failure_token() noexcept { return "a token"; }
};

TEST(ApiRuntime, a_report_for_people_tells_of_requests_refused_on_purpose_if_there_were_any) {
  using Process = Runtime<RefusingMode, Linux, ListeningHost>;
  auto const said = [](StatsReport format) {
    ListeningHost::said.clear();
    Process::write_report(format);
    return ListeningHost::said;
  };
  std::string const text = said(StatsReport::kText), json = said(StatsReport::kJson);
  RefusingMode::refused = 3;
  EXPECT_EQ(said(StatsReport::kText), text + "  requests refused on purpose: 3; repeat with a token\n");
  EXPECT_EQ(said(StatsReport::kJson), json);
}

struct NotingMode : testing::ProbeMode {
  static void entered(void* frame) noexcept { noted = frame; }
  static inline void* noted = nullptr;
};

TEST(ApiRuntime, every_call_notes_its_caller_where_the_mode_makes_reports) {
  using Libc = Entry<Runtime<NotingMode, Linux, TestHost>>;
  void* block = Libc::malloc(1);
  auto const expect_noted = [](char const* name, auto call) {
    NotingMode::noted = nullptr;
    call();
    EXPECT_NE(NotingMode::noted, nullptr) << name;
  };
  expect_noted("realloc", [&] { block = Libc::realloc(block, 100); });
  expect_noted("reallocarray", [&] { block = Libc::reallocarray(block, 10, 100); });
  void* const large = Libc::malloc(4 * kMiB);
  expect_noted("malloc_usable_size", [&] { Libc::malloc_usable_size(large); });
  Libc::free(large);
  expect_noted("free", [&] { Libc::free(block); });
  auto const expect_noted_and_free = [&](char const* name, auto call) {
    expect_noted(name, [&] { block = call(); });
    Libc::free(block);
  };
  expect_noted_and_free("malloc", [] { return Libc::malloc(1); });
  expect_noted_and_free("calloc", [] { return Libc::calloc(1, 1); });
  expect_noted_and_free("aligned_alloc", [] { return Libc::aligned_alloc(64, 1); });
  expect_noted_and_free("valloc", [] { return Libc::valloc(1); });
  expect_noted_and_free("pvalloc", [] { return Libc::pvalloc(1); });
  expect_noted("posix_memalign", [&] { EXPECT_EQ(Libc::posix_memalign(&block, 64, 1), 0); });
  Libc::free(block);
}

TEST(ApiRuntime, a_check_of_the_heap_tells_of_damage_to_it_and_to_a_block) {
  using testing::ProbeMode;
  using Process = Runtime<ProbeMode, Linux, TestHost>;
  using Libc = Entry<Process>;
  void* const block = Libc::malloc(100);
  EXPECT_TRUE(Process::check_heap());
  BlockPlace const place = Process::core().find(block);
  ProbeMode::damaged = place.record;
  EXPECT_FALSE(Process::check_heap());
  ProbeMode::damaged = nullptr;
  auto* const slab = static_cast<Process::Core::Slab*>(place.descriptor);
  std::uint32_t const countdown = std::exchange(slab->countdown, 0);
  EXPECT_FALSE(Process::check_heap());
  slab->countdown = countdown;
  EXPECT_TRUE(Process::check_heap());
  Libc::free(block);
}

TEST(ApiRuntime, each_refused_request_is_counted_once) {
  using Process = ProcessOf<FastMode>;
  using Libc = LibcOf<FastMode>;
  void* const block = Libc::malloc(1);
  std::uint64_t const before = Process::statistics().out_of_memory;
  void* out = nullptr;
  EXPECT_EQ(Libc::malloc(SIZE_MAX / 2), nullptr);
  EXPECT_EQ(Libc::calloc(1, SIZE_MAX / 2), nullptr);
  EXPECT_EQ(Libc::realloc(block, SIZE_MAX / 2), nullptr);
  EXPECT_EQ(Libc::aligned_alloc(64, SIZE_MAX / 2), nullptr);
  EXPECT_EQ(Libc::posix_memalign(&out, 64, SIZE_MAX / 2), ENOMEM);
  EXPECT_EQ(Process::statistics().out_of_memory, before + 5);
  Libc::free(Libc::realloc(block, 2));
  EXPECT_EQ(Process::statistics().out_of_memory, before + 5);
}

}  // namespace
}  // namespace hakmem
