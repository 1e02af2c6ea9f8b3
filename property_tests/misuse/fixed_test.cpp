// Nothing that the checked build fixed at its start can be written to by a program that uses it.
#include <gtest/gtest.h>

#include <csignal>
#include <sstream>
#include <string>

#include "property_tests/api/child.h"

namespace hakmem {
namespace {

TEST(FixedSettings, of_every_name_end_the_program_that_writes_to_them) {
  ChildResult const all = run_child("", {OVERWRITES}, {});
  ASSERT_EQ(all.exit_code, 0) << all.err;
  EXPECT_GT(count_of(all.out, "\n"), 0);
  std::istringstream names(all.out);
  for (std::string name; std::getline(names, name);)
    EXPECT_EQ(run_child("", {OVERWRITES, name}, {}).signal, SIGSEGV) << name;
}

}  // namespace
}  // namespace hakmem
