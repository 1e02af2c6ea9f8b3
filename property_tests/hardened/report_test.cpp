// Reports by themselves: first lines of every kind, and that text and JSON say the same of each field.
#include "hardened/report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "hardened/failure.h"
#include "hardened/fixed.h"
#include "hardened/stacks.h"
#include "property_tests/hardened/made_file.h"
#include "property_tests/hardened/reports.h"
#include "property_tests/hardened/span.h"

namespace hakmem::hardened {
namespace {

std::string content_of(MadeFile const& file) {
  std::ostringstream text;
  text << std::ifstream(file.path()).rdbuf();
  return text.str();
}

class HardenedReports : public ::testing::Test {
 public:
  HardenedReports() {
    own.entry = {};
    span_.make_live(1, 40);
  }

  // Of block 1, at so many bytes from what the client got.
  Evidence evidence(ErrorKind kind, char const* call, std::ptrdiff_t at = 0) {
    return {kind, call, client() + at, span_.place(1), span_.word(1)};
  }
  std::byte* client() { return span_.layout(1).client; }
  void make_free() { span_.make_free(1); }
  void set_kind(AllocationKind kind) {
    Facts facts = span_.facts(1);
    facts.kind = kind;
    span_.set(1, facts.word());
  }

  std::string first_line(Evidence const& evidence) {
    report(evidence);
    auto const taken = reports_.taken();
    EXPECT_EQ(taken.size(), 1u);
    return taken.empty() ? "" : taken[0].first_line();
  }

 private:
  Span span_;
  Reports reports_;
};

TEST_F(HardenedReports, of_each_kind_have_the_promised_first_line) {
  Evidence sized = evidence(ErrorKind::kSizeMismatch, "operator delete");
  sized.claim.bytes = 41;
  EXPECT_EQ(first_line(sized), "hakmem: size-mismatch: operator delete with size 41 of a 40-byte block from malloc");
  Evidence aligned = evidence(ErrorKind::kAlignmentMismatch, "aligned operator delete");
  aligned.claim.alignment = 64;
  EXPECT_EQ(first_line(aligned),
            "hakmem: alignment-mismatch: aligned operator delete with alignment 64 of a 40-byte block from malloc "
            "aligned to 16");
  EXPECT_EQ(first_line(evidence(ErrorKind::kInvalidFree, "free()", 8)),
            "hakmem: invalid-free: free() of an address 8 bytes inside a 40-byte block from malloc");
  Evidence written = evidence(ErrorKind::kOverflow, "free()", 40);
  written.damaged = 1;
  EXPECT_EQ(first_line(written),
            "hakmem: overflow: written 0 bytes past the end of a 40-byte block from malloc, found by free()");
  written = evidence(ErrorKind::kUnderflow, "a heap check", -1);
  written.damaged = 1;
  EXPECT_EQ(first_line(written),
            "hakmem: underflow: written 1 byte before a 40-byte block from malloc, found by a heap check");
  written = evidence(ErrorKind::kOverflow, "", 41);
  written.access = "read";
  EXPECT_EQ(first_line(written), "hakmem: overflow: read 1 byte past the end of a 40-byte block from malloc");
  written = {ErrorKind::kBrokenHeap};
  for (char const* access : {"read", "write", static_cast<char const*>(nullptr)}) {
    written.access = access;
    EXPECT_EQ(first_line(written),
              std::string("hakmem: broken-heap: bad ") + (access ? access : "access") +
                  " by the allocator: its own data were overwritten, or it was given a bad pointer");
  }
  make_free();
  EXPECT_EQ(first_line(evidence(ErrorKind::kDoubleFree, "free()")),
            "hakmem: double-free: free() of a freed 40-byte block from malloc");
  EXPECT_EQ(first_line(evidence(ErrorKind::kUseAfterFree, "realloc()")),
            "hakmem: use-after-free: realloc() of a freed 40-byte block from malloc");
  Evidence used = evidence(ErrorKind::kUseAfterFree, "free()", 39);
  used.damaged = 1;
  EXPECT_EQ(first_line(used),
            "hakmem: use-after-free: written 39 bytes inside a freed 40-byte block from malloc, found by free()");
  used = evidence(ErrorKind::kUseAfterFree, "a heap check");
  used.damaged = 1;
  EXPECT_EQ(first_line(used),
            "hakmem: use-after-free: written 0 bytes inside a freed 40-byte block from malloc, found by a heap check");
  used = evidence(ErrorKind::kUseAfterFree, "", 2);
  used.access = "write";
  EXPECT_EQ(first_line(used), "hakmem: use-after-free: write 2 bytes inside a freed 40-byte block from malloc");
}

TEST_F(HardenedReports, name_each_kind_of_allocation) {
  for (auto const& [kind, name] : {std::pair{AllocationKind::kMalloc, "malloc"},
                                   {AllocationKind::kNew, "new"},
                                   {AllocationKind::kNewArray, "new[]"},
                                   {AllocationKind::kAligned, "aligned new"},
                                   {AllocationKind::kAlignedArray, "aligned new[]"}}) {
    set_kind(kind);
    EXPECT_EQ(first_line(evidence(ErrorKind::kKindMismatch, "free()")),
              std::string("hakmem: kind-mismatch: free() of a 40-byte block from ") + name);
  }
}

TEST_F(HardenedReports, tell_where_an_address_lies_that_is_no_block) {
  static int elsewhere;
  int local = 0;
  auto const line_of = [this](void const* address, BlockPlace const& place = {}) {
    return first_line({ErrorKind::kInvalidFree, "free()", address, place});
  };
  EXPECT_EQ(line_of(&elsewhere), "hakmem: invalid-free: free() of an address that is not in the heap");
  EXPECT_EQ(line_of(&local), "hakmem: invalid-free: free() of an address on the stack");
  EXPECT_EQ(line_of(&elsewhere, {.where = BlockPlace::Where::kBetween}),
            "hakmem: invalid-free: free() of an address in the heap where no block is");
  Evidence never = evidence(ErrorKind::kInvalidFree, "free()");
  never.record = 0;
  EXPECT_EQ(first_line(never), "hakmem: invalid-free: free() of an address that is not in the heap");
}

TEST_F(HardenedReports, come_one_after_the_other_without_waiting) {
  auto const begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) first_line(evidence(ErrorKind::kDoubleFree, "free()"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1500));
}

std::string hex(void const* address) {
  std::ostringstream text;
  text << address;
  return text.str();
}

// The report of a block with both stacks and threads, in text and JSON.
struct Both {
  std::string text;
  nlohmann::json json;
};
Both both_of(Evidence const& evidence, bool symbolize = false) {
  MadeFile const file("report", "");
  {
    Reports reports(ReportFormat::kBoth, file.path().c_str(), symbolize);
    report(evidence);
    auto const taken = reports.taken();
    EXPECT_EQ(taken.size(), 1u);
    EXPECT_EQ(content_of(file).find(taken[0].text), 0u) << "the callback is given the text";
  }
  std::string const all = content_of(file);
  std::size_t const json = all.find("\n{") + 1;
  EXPECT_EQ(all.back(), '\n');
  EXPECT_EQ(std::count(all.begin() + static_cast<std::ptrdiff_t>(json), all.end(), '\n'), 1);
  return {all.substr(0, json), nlohmann::json::parse(all.substr(json))};
}

// The lines of one stack in the text, without number and address.
std::vector<std::string> stack_in(std::string const& text, std::string const& title) {
  std::vector<std::string> lines;
  std::istringstream rest(text.substr(text.find(title)));
  std::string line;
  std::getline(rest, line);
  while (std::getline(rest, line) && line.find("    #") == 0)
    lines.push_back(line.substr(line.find(' ', line.find("0x")) + 1));
  return lines;
}

TEST(HardenedReportForms, say_the_same_of_every_field) {
  start_stacks(8);
  std::uintptr_t frames[4] = {0, 0x1111, 0, 0x2222};
  auto const stack_from = [&](unsigned index) {
    note_entry(frames + index);
    std::uint32_t const id = remember_stack();
    own.entry = {};
    return id;
  };
  std::uintptr_t code[4] = {reinterpret_cast<std::uintptr_t>(code + 2), reinterpret_cast<std::uintptr_t>(&std::abort),
                            0, reinterpret_cast<std::uintptr_t>(&both_of)};
  note_entry(code);
  std::uint32_t const allocated = remember_stack();
  std::uint32_t const freed = stack_from(2);
  note_entry(code + 2);
  Trace const trace{.allocated_by = allocated, .freed_by = freed, .allocating_thread = 12, .freeing_thread = 34};
  Span span;
  for (bool const live : {true, false}) {
    live ? span.make_live(1, 40) : span.make_free(1, 40);
    std::byte* const client = span.layout(1).client;
    Both const both =
        both_of({ErrorKind::kOverflow, "free()", client + 41, span.place(1), span.word(1), trace.word(), 7});
    EXPECT_EQ(both.json["tool"], "hakmem");
    EXPECT_EQ(both.json["kind"], "overflow");
    EXPECT_EQ(both.json["message"].get<std::string>(), both.text.substr(0, both.text.find('\n')));
    EXPECT_EQ(both.json["address"], hex(client + 41));
    EXPECT_EQ(both.json["block"], hex(client));
    EXPECT_EQ(both.json["size"], 40);
    EXPECT_EQ(both.json["allocating_thread"], 12);
    EXPECT_EQ(both.json["freeing_thread"], 34);
    EXPECT_EQ(both.json["thread"], thread_number());
    EXPECT_EQ(both.json["stack"].size(), 1u);
    EXPECT_EQ(both.json["allocated"].size(), 2u);
    EXPECT_EQ(both.json.contains("freed"), !live);
    EXPECT_FALSE(both.json.contains("repeat_with"));
    EXPECT_NE(both.text.find("\n  address " + hex(client + 41) + ", 7 bytes changed, block " + hex(client) + " to " +
                             hex(client + 40) + " of 40 bytes\n"),
              std::string::npos)
        << both.text;
    EXPECT_NE(both.text.find("\n  found by thread " + std::to_string(thread_number()) + ":\n    #0 0x"),
              std::string::npos);
    EXPECT_NE(both.text.find("\n  allocated by thread 12:\n    #0 " + hex(reinterpret_cast<void*>(code[1])) + " /"),
              std::string::npos);
    EXPECT_EQ(both.text.find("\n  freed by thread 34:\n    #0 0x2222 ?\n") == std::string::npos, live);
    EXPECT_EQ(stack_in(both.text, "  found"), both.json["stack"].get<std::vector<std::string>>());
    EXPECT_EQ(stack_in(both.text, "  allocated"), both.json["allocated"].get<std::vector<std::string>>());
  }
  own.entry = {};
}

TEST(HardenedReportForms, of_an_address_that_is_no_block_leave_out_the_block) {
  start_stacks(1);
  std::uintptr_t frame[2] = {0, 0x1111};
  note_entry(frame);
  remember_stack();
  own.entry = {};
  static int elsewhere;
  Span span;
  for (BlockPlace const& place : {BlockPlace{}, span.place(1)}) {  // no block, or one that was never handed out
    Both const both = both_of({ErrorKind::kInvalidFree, "free()", &elsewhere, place});
    for (char const* absent : {"block", "size", "allocating_thread", "freeing_thread"})
      EXPECT_FALSE(both.json.contains(absent)) << absent;
    EXPECT_EQ(both.json["allocated"].size(), 0u);
    EXPECT_EQ(both.json["freed"].size(), 0u);
    EXPECT_EQ(both.text.find(" block "), std::string::npos);
    EXPECT_EQ(both.text.find("allocated"), std::string::npos);
    EXPECT_NE(both.text.find("\n  address " + hex(&elsewhere) + "\n  found by thread "), std::string::npos);
    EXPECT_NE(both.text.find(", no stack kept\n"), std::string::npos);
  }
}

TEST(HardenedReportForms, of_a_fault_begin_with_the_instruction_and_say_what_it_did) {
  std::uintptr_t frames[2] = {0, 0x2222};
  Span span;
  span.make_live(1, 40);
  Evidence evidence{ErrorKind::kOverflow, "", span.layout(1).client + 40, span.place(1), span.word(1)};
  evidence.access = "write";
  evidence.frame = frames;
  evidence.pc = reinterpret_cast<void*>(0x3333);
  Both const both = both_of(evidence);
  EXPECT_NE(both.text.find("\n  accessed by thread "), std::string::npos) << both.text;
  EXPECT_NE(both.text.find(":\n    #0 0x3333 ?\n    #1 0x2222 ?\n"), std::string::npos) << both.text;
  EXPECT_EQ(both.json["stack"].size(), 2u);
}

TEST(HardenedReportForms, of_a_fault_name_the_function_of_the_instruction_and_of_each_call_before_a_return) {
  std::string content = elf_with_symbols({{SHT_SYMTAB, {{"one", 0x10000, 16}, {"two", 0x10010, 16}}}});
  content.resize(4096);
  MadeFile const file("module", content);
  MappedFiles maps;
  char* const second = maps.map(file, 0, 4096) + 0x110;
  std::uintptr_t frames[2] = {0, reinterpret_cast<std::uintptr_t>(second)};
  start_stacks(1);
  note_entry(frames);
  Trace const trace{.allocated_by = remember_stack(), .freed_by = remember_stack()};
  own.entry = {};
  Span span;
  span.make_free(1);
  Evidence evidence{ErrorKind::kUseAfterFree, "", span.layout(1).client, span.place(1), span.word(1), trace.word()};
  evidence.access = "write";
  evidence.frame = frames;
  std::string const in_one = file.path() + "+0x110 in one+0x10", in_two = file.path() + "+0x110 in two+0x0";
  Both both = both_of(evidence, true);
  EXPECT_EQ(stack_in(both.text, "  accessed"), (std::vector<std::string>{in_one}));
  EXPECT_EQ(both.json["stack"], (std::vector<std::string>{in_one}));
  evidence.pc = second;
  both = both_of(evidence, true);
  EXPECT_EQ(stack_in(both.text, "  accessed"), (std::vector<std::string>{in_two, in_one}));
  EXPECT_EQ(both.json["stack"], (std::vector<std::string>{in_two, in_one}));
  for (char const* earlier : {"allocated", "freed"}) {
    EXPECT_EQ(stack_in(both.text, std::string("  ") + earlier), (std::vector<std::string>{in_one}));
    EXPECT_EQ(both.json[earlier], (std::vector<std::string>{in_one}));
  }
}

TEST(HardenedReportForms, hold_the_innermost_frames_of_a_deep_stack_and_the_instruction_before_them) {
  constexpr unsigned kDeep = Stack::kMaxFrames + 5, kKept = Stack::kMaxFrames - 1;
  Frame frames[kDeep];
  for (unsigned i = 0; i < kDeep; ++i)
    frames[i] = {i + 1 < kDeep ? reinterpret_cast<std::uintptr_t>(frames + i + 1) : 0, 0x5000 + i};
  Evidence evidence{ErrorKind::kBrokenHeap};
  evidence.frame = frames;
  auto const shown = [&] {
    std::string const text = both_of(evidence).text;
    return text.substr(text.find("    #0"));
  };
  auto const lines_from = [](unsigned number) {
    std::ostringstream lines;
    for (unsigned i = 0; i < kKept; ++i)
      lines << "    #" << number++ << " 0x" << std::hex << 0x5000 + i << std::dec << " ?\n";
    return lines.str();
  };
  EXPECT_EQ(shown(), lines_from(0));
  evidence.pc = reinterpret_cast<void*>(0x3333);
  EXPECT_EQ(shown(), "    #0 0x3333 ?\n" + lines_from(1));
}

TEST(HardenedReportForms, tell_how_refusals_are_repeated_once_there_was_one) {
  FailurePlan plan;
  ASSERT_TRUE(parse_failure_plan("nth:2", plan));
  start_failures(plan);
  refuses(1);
  static int elsewhere;
  Evidence const evidence{ErrorKind::kInvalidFree, "free()", &elsewhere};
  EXPECT_FALSE(both_of(evidence).json.contains("repeat_with"));
  refuses(1);
  refuses(1);
  Both const both = both_of(evidence);
  EXPECT_EQ(both.json["repeat_with"], "HAKMEM_FAIL=nth:2");
  EXPECT_NE(both.text.find("\n  after 1 refused request of 3; repeat with HAKMEM_FAIL=nth:2\n"), std::string::npos)
      << both.text;
  start_failures({});
}

TEST(HardenedReportForms, are_written_where_and_as_the_settings_say) {
  static int elsewhere;
  Evidence const evidence{ErrorKind::kInvalidFree, "free()", &elsewhere};
  MadeFile const file("report", "before\n");
  auto const written_as = [&](ReportFormat format) {
    std::string const before = content_of(file);
    Reports reports(format, file.path().c_str());
    report(evidence);
    EXPECT_EQ(content_of(file).find(before), 0u) << "appended";
    return content_of(file).substr(before.size());
  };
  std::string const text = written_as(ReportFormat::kText), json = written_as(ReportFormat::kJson);
  EXPECT_EQ(text.find("hakmem: invalid-free: "), 0u);
  EXPECT_EQ(json.find("{\"tool\":"), 0u);
  EXPECT_EQ(written_as(ReportFormat::kBoth), text + json);
  auto const before = open_files();
  written_as(ReportFormat::kBoth);
  EXPECT_EQ(open_files(), before) << "a file is left open";
  run_in_child([&] {
    ::close(STDIN_FILENO);  // so that the file is number 0
    std::string const content = content_of(file);
    Reports reports(ReportFormat::kText, file.path().c_str());
    report(evidence);
    EXPECT_EQ(content_of(file), content + text);
  });
  Reports reports(ReportFormat::kText, "/no/such/folder/report");
  ::testing::internal::CaptureStderr();
  report(evidence);
  report(evidence);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), text + text) << "where the file cannot be opened";
}

// Slashes in front lead to the same file.
TEST(HardenedReportForms, are_written_to_the_path_that_was_given_at_the_start_however_long_it_is) {
  static int elsewhere;
  MadeFile const file("report", "");
  std::string path(PATH_MAX - 1 - file.path().size(), '/');
  path += file.path();
  {
    Reports reports(ReportFormat::kText, path.c_str());
    path.back() = '!';
    report({ErrorKind::kInvalidFree, "free()", &elsewhere});
  }
  std::string const text = content_of(file);
  EXPECT_EQ(text.find("hakmem: invalid-free: "), 0u);
  path.back() = file.path().back();
  Reports reports(ReportFormat::kText, (path + "longer").c_str());
  ::testing::internal::CaptureStderr();
  report({ErrorKind::kInvalidFree, "free()", &elsewhere});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), text) << "a path that no file can have";
  EXPECT_EQ(content_of(file), text);
}

}  // namespace
}  // namespace hakmem::hardened
