// What it owns: the tests of the Linux system calls: types of failure, errno, effects.
#include "core/os/linux.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/base/geometry.h"
#include "core/base/kernels.h"
#include "core/os/line.h"
#include "property_tests/kernel_view.h"
#include "property_tests/scratch_path.h"

namespace hakmem::testing {
namespace {

std::size_t const kPage = Linux::page_bytes();

// A mapping of the test's own, unmapped at its end.
class Mapped {
 public:
  explicit Mapped(std::size_t pages, MapKind kind = MapKind::kNormal)
      : bytes_(pages * kPage), base_(static_cast<char*>(Linux::map(nullptr, bytes_, kind).address)) {}
  ~Mapped() { Linux::unmap(base_, bytes_); }
  char* page(std::size_t index) const { return base_ + index * kPage; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t const bytes_;
  char* const base_;
};

TEST(OsLinux, every_errno_has_its_meaning) {
  auto const expected = [](int code) {
    switch (code) {
      case 0:
        return OsError::kNone;
      case ENOMEM:
        return OsError::kOutOfMemory;
      case EINVAL:
      case ENOSYS:
      case EOPNOTSUPP:
        return OsError::kUnsupported;
      case EINTR:
      case EAGAIN:
      case EBUSY:
        return OsError::kInterrupted;
      case EFAULT:
        return OsError::kBadAddress;
      case EHWPOISON:
        return OsError::kPoisoned;
      case EPERM:
      case EACCES:
        return OsError::kPermission;
      default:
        return OsError::kUnexpected;
    }
  };
  for (int code = 0; code <= EHWPOISON + 1; ++code) EXPECT_EQ(Linux::classify(code), expected(code)) << strerror(code);
}

TEST(OsLinux, calls_keep_errno_whether_they_succeed_or_fail) {
  Mapped const memory(4);
  std::atomic<std::uint32_t> word{1};
  void* const unaligned = memory.page(0) + 1;
  std::vector<std::pair<char const*, std::function<void()>>> const calls = {
      {"page_bytes", [] { Linux::page_bytes(); }},
      {"huge_page_bytes", [] { Linux::huge_page_bytes(); }},
      {"gives_huge_pages", [] { Linux::gives_huge_pages(); }},
      {"map", [] { Linux::unmap(Linux::map(nullptr, kPage, MapKind::kNormal).address, kPage); }},
      {"map refused", [] { EXPECT_FALSE(Linux::map(nullptr, ~kPage + 1, MapKind::kNormal).ok()); }},
      {"unmap refused", [&] { EXPECT_FALSE(Linux::unmap(unaligned, kPage).ok()); }},
      {"resize refused", [&] { EXPECT_FALSE(Linux::resize(unaligned, kPage, kPage).ok()); }},
      {"move refused", [&] { EXPECT_FALSE(Linux::move(unaligned, kPage, kPage, memory.page(1)).ok()); }},
      {"protect refused", [&] { EXPECT_FALSE(Linux::protect_none(unaligned, kPage).ok()); }},
      {"populate refused", [&] { EXPECT_FALSE(Linux::populate_write(unaligned, kPage).ok()); }},
      {"touch", [&] { Linux::touch(memory.page(1)); }},
      {"purge refused", [&] { EXPECT_FALSE(Linux::purge(unaligned, kPage).ok()); }},
      {"advise refused", [&] { EXPECT_FALSE(Linux::advise_huge(unaligned, kPage).ok()); }},
      {"collapse refused", [&] { EXPECT_FALSE(Linux::collapse_huge(unaligned, kPage).ok()); }},
      {"name", [&] { Linux::name(unaligned, kPage, "hakmem: a"); }},
      {"now_ms", [] { Linux::now_ms(); }},
      {"wait refused", [&] { Linux::wait(word, 2); }},
      {"wait_for refused", [&] { Linux::wait_for(word, 1, 1); }},
      {"mappings", [] { EXPECT_GT(Linux::mappings(), 10u); }},
      {"mappings_max", [] { Linux::mappings_max(); }},
      {"wake_one", [&] { Linux::wake_one(word); }},
      {"write refused", [] { Linux::write(-1, "x", 1); }},
  };
  for (auto const& [name, call] : calls) {
    errno = 4711;
    call();
    EXPECT_EQ(errno, 4711) << name;
  }
}

TEST(OsLinux, page_sizes_are_those_of_the_running_system) {
  EXPECT_EQ(Linux::page_bytes(), static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  std::size_t expected = 0;
  std::ifstream("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") >> expected;
  EXPECT_EQ(Linux::huge_page_bytes(), expected);
  std::string chosen;
  std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"), chosen);
  EXPECT_EQ(Linux::gives_huge_pages(), chosen.find("[always]") != std::string::npos);
}

TEST(OsLinux, failures_are_typed) {
  Mapped const memory(4);
  Linux::unmap(memory.page(2), kPage);
  EXPECT_EQ(Linux::map(nullptr, kernels::kMaxRequest & ~(kPage - 1), MapKind::kNormal).status.error,
            OsError::kOutOfMemory);
  EXPECT_EQ(Linux::map(nullptr, 0, MapKind::kNormal).status.error, OsError::kUnsupported);
  EXPECT_EQ(Linux::map(nullptr, 0, MapKind::kNormal).address, nullptr);
  EXPECT_EQ(Linux::unmap(memory.page(0) + 1, kPage).error, OsError::kUnsupported);
  EXPECT_EQ(Linux::populate_write(memory.page(0), 4 * kPage).error, OsError::kOutOfMemory);
  EXPECT_EQ(Linux::protect_none(memory.page(2), kPage).error, OsError::kOutOfMemory);
  EXPECT_EQ(Linux::resize(memory.page(2), kPage, 2 * kPage).error, OsError::kBadAddress);
  EXPECT_EQ(Linux::unmap(memory.page(0), kPage).code, 0);
}

TEST(OsLinux, a_normal_mapping_is_zero_writable_and_not_resident) {
  Mapped const memory(8);
  EXPECT_EQ(kernel_resident_bytes(memory.page(0), memory.bytes()), 0u);
  for (std::size_t i = 0; i < memory.bytes(); ++i) ASSERT_EQ(memory.page(0)[i], 0);
  std::memset(memory.page(0), 1, memory.bytes());
  EXPECT_EQ(kernel_resident_bytes(memory.page(0), memory.bytes()), memory.bytes());
}

TEST(OsLinux, a_populated_mapping_is_resident) {
  Mapped const memory(8, MapKind::kPopulate);
  EXPECT_EQ(kernel_resident_bytes(memory.page(0), memory.bytes()), memory.bytes());
}

TEST(OsLinux, a_reservation_is_given_access_later) {
  Mapped const memory(8, MapKind::kReserve);
  EXPECT_EQ(Linux::populate_write(memory.page(0), kPage).error, OsError::kUnsupported);
  ASSERT_TRUE(Linux::protect_read_write(memory.page(0), kPage).ok());
  memory.page(0)[0] = 1;
  ASSERT_TRUE(Linux::protect_none(memory.page(0), kPage).ok());
  EXPECT_DEATH(memory.page(0)[0] = 1, "");
}

TEST(OsLinux, touch_makes_a_page_our_own_and_keeps_its_contents) {
  Mapped const memory(2);
  std::memset(memory.page(1), 0x5a, 64);
  Linux::touch(memory.page(1));
  for (int i = 0; i < 64; ++i) EXPECT_EQ(memory.page(1)[i], 0x5a);
  EXPECT_EQ(*static_cast<char volatile*>(memory.page(0)), 0);  // maps the shared zero page
  if (kernel_resident_bytes(memory.page(0), kPage) != 0) GTEST_SKIP() << "this kernel has no shared zero page";
  Linux::touch(memory.page(0));
  EXPECT_EQ(kernel_resident_bytes(memory.page(0), memory.bytes()), 2 * kPage);
}

TEST(OsLinux, purge_gives_pages_back_and_they_read_as_zero) {
  Mapped const memory(4);
  std::memset(memory.page(0), 1, memory.bytes());
  ASSERT_TRUE(Linux::purge(memory.page(1), kPage).ok());
  EXPECT_EQ(kernel_resident_bytes(memory.page(0), memory.bytes()), 3 * kPage);
  EXPECT_EQ(memory.page(1)[0], 0);
  EXPECT_EQ(memory.page(0)[kPage - 1], 1);
  EXPECT_EQ(memory.page(2)[0], 1);
}

TEST(OsLinux, resize_grows_in_place_or_not_at_all) {
  Mapped const memory(4);
  ASSERT_TRUE(Linux::unmap(memory.page(2), 2 * kPage).ok());
  memory.page(1)[0] = 7;
  ASSERT_TRUE(Linux::resize(memory.page(0), 2 * kPage, 3 * kPage).ok());
  memory.page(2)[0] = 8;
  EXPECT_EQ(memory.page(1)[0], 7);
  ASSERT_TRUE(Linux::map(memory.page(3), kPage, MapKind::kNormal).address == memory.page(3));
  EXPECT_EQ(Linux::resize(memory.page(0), 3 * kPage, 4 * kPage).error, OsError::kOutOfMemory);
  ASSERT_TRUE(Linux::resize(memory.page(0), 3 * kPage, kPage).ok());
  EXPECT_EQ(kernel_mapped_bytes(memory.page(0), 3 * kPage), kPage);
}

TEST(OsLinux, move_takes_the_pages_along) {
  Mapped const from(2), to(4);
  std::strcpy(from.page(1), "contents");
  ASSERT_TRUE(Linux::move(from.page(0), 2 * kPage, 3 * kPage, to.page(0)).ok());
  EXPECT_STREQ(to.page(1), "contents");
  EXPECT_EQ(to.page(2)[0], 0);
  EXPECT_EQ(kernel_mapped_bytes(from.page(0), from.bytes()), 0u);
}

TEST(OsLinux, a_name_shows_in_the_maps_file_where_the_kernel_has_names) {
  Mapped const memory(1);
  Linux::name(memory.page(0), kPage, "hakmem: test");
  std::ifstream maps("/proc/self/maps");
  std::string const all((std::istreambuf_iterator<char>(maps)), {});
  if (all.find("[anon:") == std::string::npos) GTEST_SKIP() << "this kernel has no names for mappings";
  EXPECT_NE(all.find("[anon:hakmem: test]"), std::string::npos);
}

TEST(OsLinux, waiting_ends_by_a_wake_and_never_starts_on_another_value) {
  std::atomic<std::uint32_t> word{0};
  Linux::wait(word, 1);
  std::thread waker([&] {
    word.store(1);
    Linux::wake_one(word);
  });
  while (word.load() == 0) Linux::wait(word, 0);
  waker.join();
}

TEST(OsLinux, a_wait_with_a_limit_ends_by_itself) {
  std::atomic<std::uint32_t> word{0};
  std::uint64_t const start = Linux::now_ms();
  Linux::wait_for(word, 0, 30);
  EXPECT_GE(Linux::now_ms() - start, 10u);
}

TEST(OsLinux, mappings_are_counted_as_the_kernel_lists_them) {
  // Reading the file another way may map memory, under a sanitizer at least.
  std::size_t const before = Linux::mappings();
  std::size_t const listed = kernel_mappings();
  EXPECT_LE(before, listed);
  EXPECT_LE(listed, Linux::mappings());
  Mapped const memory(3);
  Linux::protect_none(memory.page(1), kPage);
  EXPECT_GE(Linux::mappings(), before + 2);
}

TEST(OsLinux, the_clock_tells_the_milliseconds_of_the_kernel) {
  auto const kernel_ms = [] {
    timespec now{};
    EXPECT_EQ(::clock_gettime(CLOCK_MONOTONIC_COARSE, &now), 0);
    return static_cast<std::uint64_t>(std::chrono::milliseconds(std::chrono::seconds(now.tv_sec)).count() +
                                      now.tv_nsec / 1'000'000);
  };
  std::uint64_t const before = kernel_ms(), told = Linux::now_ms(), after = kernel_ms();
  EXPECT_LE(before, told);
  EXPECT_LE(told, after);
}

TEST(OsLinux, the_clock_goes_forward) {
  std::uint64_t const start = Linux::now_ms();
  ::usleep(30'000);
  std::uint64_t const passed = Linux::now_ms() - start;
  EXPECT_GE(passed, 10u);
  EXPECT_LT(passed, 10'000u);
}

TEST(OsLinux, write_writes_everything) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::string const text(200'000, 'x');
  std::thread writer([&] {
    Linux::write(ends[1], text.data(), text.size());
    ::close(ends[1]);
  });
  std::size_t received = 0;
  std::array<char, 4096> buffer;
  for (ssize_t count; (count = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
    received += static_cast<std::size_t>(count);
  writer.join();
  ::close(ends[0]);
  EXPECT_EQ(received, text.size());
}

// Text in a file that is gone when the test ends.
class WrittenFile {
 public:
  explicit WrittenFile(std::string const& text) { std::ofstream(path()) << text; }
  char const* path() const { return path_.text().c_str(); }
  std::string text() const {
    std::ifstream file(path());
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  ScratchPath const path_{"file"};
};

TEST(OsLinux, reading_ends_at_the_end_of_a_file_whatever_errno_was) {
  WrittenFile const file("0123456789");
  int const fd = Linux::open_to_read(file.path());
  ASSERT_GE(fd, 0);
  std::array<char, 8> text{};
  for (int const before : {0, EINTR}) {
    errno = before;
    ASSERT_EQ(::lseek(fd, 0, SEEK_SET), 0);
    EXPECT_EQ(Linux::read(fd, text.data(), 8), 8u);
    EXPECT_EQ(Linux::read(fd, text.data(), 8), 2u);
    EXPECT_EQ(std::string(text.data(), 2), "89");
    EXPECT_EQ(Linux::read(fd, text.data(), 8), 0u);
    EXPECT_EQ(Linux::read_at(fd, 3, text.data(), 4), 4u);
    EXPECT_EQ(std::string(text.data(), 4), "3456");
    EXPECT_EQ(Linux::read_at(fd, 10, text.data(), 4), 0u);
    EXPECT_EQ(errno, before);
  }
  Linux::close(fd);
  EXPECT_EQ(Linux::read(fd, text.data(), 8), 0u) << "closed";
  EXPECT_EQ(Linux::read_at(fd, 0, text.data(), 8), 0u);
}

TEST(OsLinux, a_file_opened_to_append_grows_at_its_end_and_is_made_if_there_is_none) {
  WrittenFile const file("old");
  for (char const* text : {"a", "b"}) {
    int const fd = Linux::open_to_append(file.path());
    ASSERT_GE(fd, 0);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    Linux::write(fd, text, 1);
    Linux::close(fd);
    if (*text == 'b') continue;
    EXPECT_EQ(file.text(), "olda");
    ::unlink(file.path());
  }
  EXPECT_EQ(file.text(), "b");
}

TEST(OsLinux, the_limit_of_mappings_is_the_kernels) {
  std::size_t expected = 0;
  std::ifstream("/proc/sys/vm/max_map_count") >> expected;
  EXPECT_EQ(Linux::mappings_max(), expected);
  EXPECT_EQ(Linux::mappings_max(), expected) << "asked again";
}

TEST(OsLinux, a_sleep_lasts_as_long_as_asked) {
  for (unsigned const ms : {30u, 1100u}) {
    auto const begin = std::chrono::steady_clock::now();
    Linux::sleep_ms(ms);
    auto const passed = std::chrono::steady_clock::now() - begin;
    EXPECT_GE(passed, std::chrono::milliseconds(ms));
    EXPECT_LT(passed, std::chrono::milliseconds(ms + 900));
  }
}

TEST(OsLinux, a_wait_with_a_limit_above_a_second_ends_at_the_limit) {
  std::atomic<std::uint32_t> word{0};
  auto const begin = std::chrono::steady_clock::now();
  Linux::wait_for(word, 0, 1100);
  auto const passed = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(passed, std::chrono::milliseconds(1100));
  EXPECT_LT(passed, std::chrono::milliseconds(2000));
}

TEST(OsLinux, panic_writes_one_line_and_aborts) {
  EXPECT_EXIT(panic("core/a.h", 12, "verify failed: text"), ::testing::KilledBySignal(SIGABRT),
              "^hakmem: core/a.h:12: verify failed: text\n$");
}

TEST(OsLine, a_line_that_is_too_long_is_cut_and_still_ends) {
  ::testing::internal::CaptureStderr();
  Line().text(std::string(2000, 'x').c_str()).number(5).write_to<Linux>(kStandardError);
  std::string const written = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(written, std::string(511, 'x') + "\n");
}

TEST(OsLine, numbers_are_decimal) {
  ::testing::internal::CaptureStderr();
  Line().number(0).text(" ").number(~std::uint64_t{0}).write_to<Linux>(kStandardError);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "0 18446744073709551615\n");
}

TEST(OsLine, a_warning_is_given_once) {
  ::testing::internal::CaptureStderr();
  std::atomic<bool> said{false};
  for (int i = 0; i < 3; ++i) warn_once<Linux>(said, "beware");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "hakmem: beware\n");
}

}  // namespace
}  // namespace hakmem::testing
