// What it owns: instances of the allocator that a test runs beside libc's, one per mode.
// Thread-safety: as the runtime.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "core/api/entry.h"
#include "core/api/runtime.h"
#include "core/os/linux.h"
#include "hardened/hardened_mode.h"

namespace hakmem {

// A process without environment. Threads tell of their end by a thread_local destructor.
struct TestHost {
  static char const* const* environment() noexcept { return nullptr; }
  static bool arm_thread_exit(void (*run)()) noexcept {
    struct Leaving {
      void (*run)() = nullptr;
      ~Leaving() {
        if (run) run();
      }
    };
    static thread_local Leaving leaving;
    leaving.run = run;
    return true;
  }
  static void register_fork(void (*)(), void (*)(), void (*)()) noexcept {}
  static bool start_helper(void (*)()) noexcept { return false; }
  static void keep_standard_error() noexcept {}
  static void write_standard_error(void*, char const* text, std::size_t bytes) noexcept {
    Linux::write(2, text, bytes);
  }
};

template <class Mode>
using ProcessOf = Runtime<Mode, Linux, TestHost>;
template <class Mode>
using LibcOf = Entry<ProcessOf<Mode>>;

// The libc surface of one mode; typed tests run over `Modes`.
template <class Mode>
class ApiEntry : public testing::Test {
 protected:
  void TearDown() override { EXPECT_TRUE(ProcessOf<Mode>::core().validate(ProcessOf<Mode>::heap())); }

  // What clients hold is `before` again; the checked build counts what it holds back from reuse, up to `resting`.
  static void expect_used(std::size_t before, std::size_t resting) {
    std::size_t const used = LibcOf<Mode>::mallinfo2().uordblks;
    if constexpr (Mode::kTrustsClient)
      EXPECT_EQ(used, before);
    else
      EXPECT_LE(used, before + resting);
  }
};

// What the checked build keeps for the whole process starts once, also where several instances run in one; each
// watches, so nothing is sealed.
struct CheckedMode : HardenedMode {
  static void configure(Settings const& settings) noexcept {
    [[maybe_unused]] static bool const started = (HardenedMode::configure(settings), true);
  }
  static void seal() noexcept {}
};

using Modes = testing::Types<FastMode, CheckedMode>;

struct ModeName {
  template <class Mode>
  static std::string GetName(int) {
    return Mode::kName;
  }
};

// Sizes around every border between mechanisms.
inline constexpr std::size_t kSizes[] = {0,       1,       15,      16,      17,      128,       129,
                                         1000,    2048,    2049,    8192,    8193,    65536,     65537,
                                         500'000, 1 << 20, 1048577, 2097152, 2097153, 10'000'000};

}  // namespace hakmem
