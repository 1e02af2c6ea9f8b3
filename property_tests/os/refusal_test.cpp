// What it owns: the tests of system calls that the kernel refuses or that a signal interrupts, each most in
// a child process of their own.
#include <fcntl.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

#include "core/os/linux.h"
#include "core/os/standard_error.h"
#include "core/os/thread.h"
#include "property_tests/kernel_view.h"
#include "property_tests/os/child.h"

namespace hakmem::testing {
namespace {

// What the OS layer asks the kernel once must be asked by the child: it starts the program anew.
class OsRefusal : public ::testing::Test {
 public:
  OsRefusal() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void without_descriptors() {
  rlimit before{};
  require(::getrlimit(RLIMIT_NOFILE, &before) == 0, "a limit of descriptors");
  rlimit const none{0, before.rlim_max};
  require(::setrlimit(RLIMIT_NOFILE, &none) == 0, "no descriptors");
  require(Linux::mappings() == 0, "mappings cannot be counted");
  for (int time = 0; time < 2; ++time) {
    require(Linux::huge_page_bytes() == 0, "no huge pages are known of");
    require(Linux::mappings_max() == 0, "no limit is known of");
  }
  OsMapping const mapping = Linux::map(nullptr, 1 << 21, MapKind::kHugetlb);
  require(mapping.address == nullptr && mapping.status.error == OsError::kUnsupported, "no huge page is asked for");
  require(::setrlimit(RLIMIT_NOFILE, &before) == 0, "descriptors");  // a sanitizer's runtime needs some at the end
}

TEST_F(OsRefusal, without_descriptors_nothing_is_known_and_nothing_breaks) { EXPECT_CHILD(without_descriptors); }

TEST_F(OsRefusal, a_huge_page_comes_from_the_pool_or_is_refused) {
  std::size_t const huge = Linux::huge_page_bytes();
  if (huge == 0) GTEST_SKIP() << "this kernel has no huge pages";
  OsMapping const mapping = Linux::map(nullptr, huge, MapKind::kHugetlb);
  if (!mapping.ok()) {
    EXPECT_EQ(mapping.status.error, OsError::kOutOfMemory);
    return;
  }
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mapping.address) % huge, 0u);
  EXPECT_TRUE(Linux::unmap(mapping.address, huge).ok());
}

void without_guard_pages() {
  constexpr std::uint32_t kGuardInstall = 102;  // MADV_GUARD_INSTALL
  filter_system_call(SYS_madvise, 2, kGuardInstall, EINVAL);
  std::size_t const page = Linux::page_bytes();
  auto* const memory = static_cast<char*>(Linux::map(nullptr, 3 * page, MapKind::kPopulate).address);
  require(Linux::guard(memory + page, page).ok(), "guarded by its rights");
  require(kernel_resident_bytes(memory, 3 * page) == 2 * page, "its page is given back");
  require(Linux::protect_read_write(memory + page, page).ok() && memory[page] == 0, "and reads as zero");
  require(!Linux::guard(memory + 1, page).ok(), "what cannot be protected is refused");
}

TEST_F(OsRefusal, a_kernel_without_guard_pages_takes_the_access_away) { EXPECT_CHILD(without_guard_pages); }

constexpr std::uint32_t kSetVma = 0x53564d41;  // PR_SET_VMA
void name_twice(int code) {
  void* const memory = Linux::map(nullptr, Linux::page_bytes(), MapKind::kNormal).address;
  filter_system_call(SYS_prctl, 0, kSetVma, code);
  Linux::name(memory, Linux::page_bytes(), "first");
  forbid_system_call(SYS_prctl, 0, kSetVma);
  Linux::name(memory, Linux::page_bytes(), "second");
}

TEST_F(OsRefusal, a_kernel_that_does_not_know_names_is_asked_once) {
  EXPECT_EXIT((name_twice(EINVAL), std::exit(0)), ::testing::ExitedWithCode(0), "");
}

TEST_F(OsRefusal, a_kernel_that_had_no_memory_for_a_name_is_asked_again) {
  EXPECT_EXIT((name_twice(ENOMEM), std::exit(0)), ::testing::KilledBySignal(SIGSYS), "");
}

void without_entropy() {
  require(Linux::entropy() != 0, "the kernel has entropy");
  filter_system_call(SYS_getrandom, 1, sizeof(std::uint64_t), EAGAIN);
  require(Linux::entropy() == 0, "none while the kernel has not");
}

TEST_F(OsRefusal, no_entropy_is_zero) { EXPECT_CHILD(without_entropy); }

// The kernel answers with errno `kCode`; with 0, that it did.
template <int kCode>
void naming() {
  filter_system_call(SYS_prctl, 0, PR_SET_VMA, kCode);
  std::size_t const page = Linux::page_bytes();
  void* const memory = Linux::map(nullptr, page, MapKind::kNormal).address;
  errno = 4711;
  for (int time = 0; time < 3; ++time) Linux::name(memory, page, "hakmem: test");
  require(errno == 4711, "errno is kept");
}

TEST_F(OsRefusal, names_are_a_wish) {
  EXPECT_CHILD(naming<0>);
  EXPECT_CHILD(naming<EINVAL>);
  EXPECT_CHILD(naming<ENOMEM>);
}

TEST_F(OsRefusal, what_cannot_be_read_is_empty) {
  char text[4];
  EXPECT_EQ(Linux::read(-1, text, sizeof text), 0u);
}

std::atomic<unsigned> interruptions{0};

// Sends a signal, whose handler does not restart calls, to a thread until it ran `times` times. Gives up
// on a thread that has ended.
void interrupt(pthread_t thread, unsigned times) {
  interruptions = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { ++interruptions; };
  ::sigaction(SIGUSR1, &action, nullptr);
  for (unsigned tries = 0; interruptions < times && tries < 2000; ++tries) {
    ::pthread_kill(thread, SIGUSR1);
    ::usleep(1000);
  }
}

TEST_F(OsRefusal, a_signal_ends_neither_read_nor_write) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  char received = 0;
  std::thread reader([&] { EXPECT_EQ(Linux::read(ends[0], &received, 1), 1u); });
  interrupt(reader.native_handle(), 5);
  Linux::write(ends[1], "x", 1);
  reader.join();
  EXPECT_EQ(received, 'x');

  std::array<char, 4096> buffer{};
  ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
  std::size_t filled = 0;
  for (ssize_t count; (count = ::write(ends[1], buffer.data(), buffer.size())) > 0;)
    filled += static_cast<std::size_t>(count);
  ::fcntl(ends[1], F_SETFL, 0);
  std::thread writer([&] {
    Linux::write(ends[1], "y", 1);
    ::close(ends[1]);
  });
  interrupt(writer.native_handle(), 5);
  std::string all;
  while (std::size_t const count = Linux::read(ends[0], buffer.data(), buffer.size())) all.append(buffer.data(), count);
  writer.join();
  ::close(ends[0]);
  EXPECT_EQ(all.size(), filled + 1);
  EXPECT_EQ(all.back(), 'y');
}

void without_keys() {
  for (pthread_key_t key; ::pthread_key_create(&key, nullptr) == 0;) continue;
  int argument = 0;
  require(!ThreadExit::arm([](void*) {}, &argument), "no key is left");
  ThreadExit::disarm();
}

TEST_F(OsRefusal, without_a_key_nobody_hears_of_the_end_of_threads) { EXPECT_CHILD(without_keys); }

void standard_error_was_closed_before() {
  ::close(STDERR_FILENO);
  StandardError::keep();
  errno = 4711;
  StandardError::write("lost", 4);
  if (errno != 4711) ::_exit(1);
}

void standard_error_is_closed_after() {
  int ends[2];
  require(::pipe(ends) == 0, "a pipe");
  int const before = ::dup(STDERR_FILENO);
  ::dup2(ends[1], STDERR_FILENO);
  StandardError::keep();
  StandardError::write("open,", 5);
  ::close(STDERR_FILENO);
  StandardError::write("closed", 6);
  ::dup2(before, STDERR_FILENO);
  StandardError::write(",another", 8);
  char text[32]{};
  require(::read(ends[0], text, sizeof text) == 19, "all that was written");
  require(std::strcmp(text, "open,closed,another") == 0, "goes where it went at first");
}

TEST_F(OsRefusal, standard_error_is_where_it_was_at_first) {
  EXPECT_CHILD(standard_error_was_closed_before);
  EXPECT_CHILD(standard_error_is_closed_after);
}

}  // namespace
}  // namespace hakmem::testing
