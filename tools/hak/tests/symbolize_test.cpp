// `hak symbolize` as its users see it: on reports of the checked build, and on text that is none.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/compare/child.h"

namespace hakmem::tools {
namespace {

std::string run(std::string const& words) { return bench::run_child({"/bin/sh", "-c", words + " 2>&1"}, "").output; }

class HakSymbolize : public testing::Test {
 protected:
  ~HakSymbolize() override { std::filesystem::remove(file_); }

  // The report of a double free, as the environment asks for it.
  std::string report(std::string const& environment) {
    return run(environment + " LD_PRELOAD=" LIBHAKMEM_HARDENED " " ALLOCATES " double_free 2>&1 | cat");
  }
  std::string symbolized(std::string const& text) {
    std::ofstream(file_) << text;
    bench::ChildResult const result = bench::run_child({HAK, "symbolize", file_}, "");
    EXPECT_EQ(result.failure, "") << text;
    return result.output;
  }

  std::string const file_ = std::filesystem::temp_directory_path() / ("hak-symbolize-test-" + std::to_string(getpid()));
};

TEST_F(HakSymbolize, names_function_and_line_of_each_stack) {
  std::string const text = symbolized(report(""));
  for (char const* const title : {"found by", "allocated by", "freed by"}) {
    std::size_t const stack = text.find(title);
    ASSERT_NE(stack, std::string::npos) << text;
    std::size_t const named = text.find(" in (anonymous namespace)::free_twice", stack);
    EXPECT_LT(named, text.find("by thread", stack + 20)) << title << text;
  }
  EXPECT_NE(text.find("allocates.cpp:"), std::string::npos) << text;
}

TEST_F(HakSymbolize, names_them_in_a_json_line) {
  auto const json = nlohmann::json::parse(symbolized(report("HAKMEM_REPORT_FORMAT=json")), nullptr, false);
  ASSERT_TRUE(json.is_object());
  for (char const* const stack : {"stack", "allocated", "freed"})
    EXPECT_NE(json[stack].dump().find("free_twice"), std::string::npos) << json;
}

TEST_F(HakSymbolize, says_when_the_file_is_another_one) {
  std::string text = report("");
  std::size_t const id = text.find("(build-id ") + 10;
  text[id] = text[id] == '0' ? '1' : '0';
  EXPECT_NE(symbolized(text).find("(the file there is another: build-id "), std::string::npos) << symbolized(text);
}

TEST_F(HakSymbolize, leaves_a_line_alone_where_the_module_is_gone) {
  std::string const gone = "    #0 0x1234 /gone/program+0x1234 (build-id 12ab)\n";
  EXPECT_EQ(symbolized(gone), gone);
}

TEST_F(HakSymbolize, leaves_alone_what_is_no_report) {
  for (std::string const& text : std::vector<std::string>{
           "no line end", "#\n", "#0 0x\n", "#0 0x1 /\n", "#0 0x1 /dev/zero+0x10\n", "#0 0x1 /etc/passwd+0x10\n",
           "#0 0x1 /bin+0x1\n", "#0 0x1 /bin/sh+0xffffffffffffffffff\n", "#0 0x1 /bin/sh+0xg (build-id\n",
           "#0 0x1 /bin/sh+0x1 (build-id 12\n", "{\"stack\":[1,null,\"/\"],\"message\":3\n", "{\n", "\xff\xfe{\n",
           std::string(1 << 20, '#') + "\n", std::string(1 << 20, '{') + "\n"}) {
    EXPECT_EQ(symbolized(text), text);
  }
}

TEST_F(HakSymbolize, survives_any_damage_to_a_report_and_to_the_file_it_names) {
  std::ifstream program(ALLOCATES, std::ios::binary);
  std::string const image(std::istreambuf_iterator<char>(program), {});
  std::string const module = file_ + ".module";
  unsigned state = 1;
  for (int round = 0; round < 40; ++round) {
    std::string damaged = image;
    for (int i = 0; i < 40; ++i) {
      state = state * 1664525 + 1013904223;
      damaged[state % (i < 20 ? 4096 : damaged.size())] = static_cast<char>(state >> 16);
    }
    std::ofstream(module, std::ios::binary) << damaged;
    std::string text;
    for (int offset = 0; offset < 0x4000; offset += 0x333)
      text += "    #0 0x1 " + module + "+0x" + std::to_string(offset) + "\n";
    symbolized(text);
  }
  std::filesystem::remove(module);
}

TEST_F(HakSymbolize, a_file_that_is_not_there_is_one_line_and_a_failure) {
  bench::ChildResult const result = bench::run_child({"/bin/sh", "-c", HAK " symbolize /nonexistent 2>&1"}, "");
  EXPECT_EQ(result.failure, "exit status 1");
  EXPECT_EQ(result.output, "hak: /nonexistent: No such file or directory\n");
}

}  // namespace
}  // namespace hakmem::tools
