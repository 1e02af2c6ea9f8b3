// Code addresses are told by what the kernel's list says of made-up files, and build-ids by their notes.
#include "hardened/modules.h"

#include <cstdio>
#include <fstream>
#include <sstream>

#include "hardened/fixed.h"
#include "property_tests/hardened/made_file.h"
#include "property_tests/hardened/reports.h"

namespace hakmem::hardened {
namespace {

constexpr std::size_t kPage = 4096;

std::string told(void const* address, CodeAddress kind = CodeAddress::kExact) {
  char buffer[2048];
  Text text(buffer, sizeof buffer);
  write_code_address(text, address, kind);
  return {text.data(), text.size()};
}

std::string padded(std::string text, std::size_t to = 4) {
  text.resize((text.size() + to - 1) / to * to);
  return text;
}

std::string note(unsigned type, std::string const& name, std::string const& description) {
  ElfW(Nhdr) head{};
  head.n_namesz = static_cast<ElfW(Word)>(name.size());
  head.n_descsz = static_cast<ElfW(Word)>(description.size());
  head.n_type = type;
  return bytes_of(head) + padded(name) + padded(description);
}
std::string const kGnu("GNU", 4);
std::string build_id(std::string const& id) { return note(NT_GNU_BUILD_ID, kGnu, id); }

// An ELF file whose notes are these, in a segment each, behind other segments.
std::string elf_with_notes(std::vector<std::string> const& segments) {
  std::size_t offset = sizeof(ElfW(Ehdr)) + (segments.size() + 1) * sizeof(ElfW(Phdr));
  std::string head = elf_header(static_cast<unsigned>(segments.size()) + 1) + elf_segment(PT_LOAD, 0, kPage);
  std::string notes;
  for (std::string const& text : segments) {
    head += elf_segment(PT_NOTE, offset, text.size());
    notes += text;
    offset += text.size();
  }
  return head + notes;
}

std::string told_of_file(std::string const& content) {
  MadeFile const file("module", padded(content, kPage));
  MappedFiles maps;
  std::string const text = told(maps.map(file, 0, kPage) + 0x12);
  EXPECT_EQ(text.find(file.path() + "+0x12"), 0u) << text;
  return text.substr(file.path().size() + 5);
}

TEST(HardenedModules, tell_the_file_and_the_offset_in_it_at_every_edge_of_a_mapping) {
  MadeFile const file("module", std::string(4 * kPage, 'x'));
  MappedFiles maps;
  char* const second = maps.map(file, 2 * kPage, 2 * kPage, kPage);
  EXPECT_EQ(told(second), file.path() + "+0x1000");
  EXPECT_EQ(told(second + 0x1fff), file.path() + "+0x2fff");
  EXPECT_EQ(told(second + 0x2000), "?");
  EXPECT_EQ(told(second - 1), "?");
}

TEST(HardenedModules, are_unknown_where_no_file_is_mapped) {
  int local = 0;
  EXPECT_EQ(told(&local), "?");
  EXPECT_EQ(told(nullptr), "?");
  EXPECT_EQ(told(reinterpret_cast<void*>(~std::uintptr_t{0})), "?");
  MappedFiles maps;
  EXPECT_EQ(told(maps.start()), "?");
}

TEST(HardenedModules, linked_into_the_program_are_no_library_of_their_own) {
  EXPECT_FALSE(is_in_own_library(reinterpret_cast<void const*>(&write_code_address)));
  EXPECT_FALSE(is_in_own_library(nullptr));
}

// The kernel writes more digits of an offset from 4 GiB on.
TEST(HardenedModules, tell_offsets_of_any_length) {
  MadeFile const file("module", "");
  MappedFiles maps;
  for (std::uint64_t const offset : {0x1000u, 0x1234000u, 0x12345000u, 0xfedcb000u}) {
    for (std::uint64_t const beyond : {std::uint64_t{0}, std::uint64_t{1} << 32, std::uint64_t{0xa} << 36}) {
      std::uint64_t const at = beyond + offset;
      ASSERT_EQ(::ftruncate(file.descriptor(), static_cast<off_t>(at + kPage)), 0);
      std::ostringstream expected;
      expected << file.path() << "+0x" << std::hex << at + 0x12;
      EXPECT_EQ(told(maps.map(file, 0, kPage, at) + 0x12), expected.str());
    }
  }
}

TEST(HardenedModules, of_the_first_line_are_found_as_well) {
  std::string first;
  std::ifstream maps("/proc/self/maps");
  std::getline(maps, first);
  std::uintptr_t start = 0;
  ASSERT_EQ(std::sscanf(first.c_str(), "%lx", &start), 1);
  std::size_t const path = first.find('/');
  std::string const expected = path == std::string::npos ? "?" : first.substr(path) + "+0x0";
  EXPECT_EQ(told(reinterpret_cast<void*>(start)).substr(0, expected.size()), expected);
}

TEST(HardenedModules, of_many_lines_are_each_found) {
  MadeFile const file("module", std::string(kPage, 'x'));
  std::vector<void*> places;
  for (int i = 0; i < 100; ++i) {
    places.push_back(::mmap(nullptr, kPage, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE, file.descriptor(), 0));
    EXPECT_EQ(told(static_cast<char*>(places.back()) + 0x100 + i % 10),
              file.path() + "+0x10" + static_cast<char>('0' + i % 10));
  }
  for (void* const place : places) ::munmap(place, kPage);
}

TEST(HardenedModules, have_any_name_and_it_is_printable) {
  MappedFiles maps;
  for (auto const& [name, shown] : {std::pair<std::string, std::string>{"with  two spaces", "with  two spaces"},
                                    {" in front", " in front"},
                                    {"tab\tbell\aescape\x1b"
                                     "delete\x7f",
                                     "tab?bell?escape?delete?"},
                                    {"line\nend", "line\\012end"},
                                    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"}}) {
    MadeFile const file(name, std::string(kPage, 'x'));
    std::string const path = file.path();
    EXPECT_EQ(told(maps.map(file, 0, kPage)), path.substr(0, path.size() - name.size()) + shown + "+0x0");
  }
}

TEST(HardenedModules, have_names_that_are_cut_when_they_are_too_long) {
  testing::ScratchPath const top("folder");
  std::filesystem::path folder = top.text();
  for (int i = 0; i < 3; ++i) folder /= std::string(200, static_cast<char>('a' + i));
  std::filesystem::create_directories(folder);
  std::string const path = folder / "module";
  int const file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  ASSERT_EQ(::ftruncate(file, kPage), 0);
  void* const place = ::mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, file, 0);
  EXPECT_EQ(told(place), path.substr(0, 511) + "+0x0");
  ::munmap(place, kPage);
  ::close(file);
}

TEST(HardenedModules, tell_the_build_id_wherever_it_stands_among_the_notes) {
  std::string const id = "\x01\x23\x45\x67\x89\xab\xcd\xef\xf0";
  std::string const shown = " (build-id 0123456789abcdeff0)";
  std::string const other = note(NT_GNU_ABI_TAG, kGnu, "12345"), odd = note(3, std::string("Linux", 6), "1");
  std::string const even = note(NT_GNU_ABI_TAG, kGnu, "1234"), empty = note(NT_GNU_GOLD_VERSION, kGnu, "");
  EXPECT_EQ(told_of_file(elf_with_notes({build_id(id)})), shown);
  EXPECT_EQ(told_of_file(elf_with_notes({other + build_id(id)})), shown);
  EXPECT_EQ(told_of_file(elf_with_notes({other + odd + other + build_id(id)})), shown);
  EXPECT_EQ(told_of_file(elf_with_notes({other, odd, build_id(id)})), shown);
  EXPECT_EQ(told_of_file(elf_with_notes({even + empty + build_id(id)})), shown);
  EXPECT_EQ(told_of_file(elf_with_notes({build_id("")})), " (build-id )") << "an empty one";
  EXPECT_EQ(told_of_file(elf_with_notes({build_id(id), build_id("zz")})), shown) << "the first one";
  EXPECT_EQ(told_of_file(elf_with_notes({build_id(std::string(64, '\xff'))})),
            " (build-id " + std::string(128, 'f') + ")");
}

TEST(HardenedModules, without_a_build_id_or_with_notes_of_any_content_tell_none) {
  std::string const id = "abcdefgh";
  std::string const good = build_id(id);
  for (std::string const& notes :
       {std::string(), note(NT_GNU_ABI_TAG, kGnu, id), note(NT_GNU_BUILD_ID, std::string("Linux", 6), id),
        build_id(std::string(65, 'x')), good.substr(0, good.size() - 1), good.substr(0, 11), good.substr(0, 5)})
    EXPECT_EQ(told_of_file(elf_with_notes({notes})), "") << notes.size();
  std::string endless = good;
  endless[7] = endless[6] = endless[5] = endless[4] = '\xff';
  EXPECT_EQ(told_of_file(elf_with_notes({endless})), "");
  EXPECT_EQ(told_of_file(std::string(kPage, '\xff')), "");
  EXPECT_EQ(told_of_file("\x7f"
                         "E" +
                         std::string(kPage - 2, '\xff')),
            "");
  for (std::size_t byte : {0, 1}) {
    std::string spoilt = elf_with_notes({good});
    spoilt[byte] ^= 1;
    EXPECT_EQ(told_of_file(spoilt), "");
  }
}

TEST(HardenedModules, with_segments_outside_of_the_mapping_are_read_in_bounds) {
  std::string const good = build_id("abcdefgh");
  std::size_t const behind = sizeof(ElfW(Ehdr)) + 3 * sizeof(ElfW(Phdr));
  auto const with_first = [&](std::uint64_t offset, std::uint64_t bytes) {
    return elf_header(3) + elf_segment(PT_NOTE, offset, bytes) + elf_segment(PT_LOAD, behind, good.size()) +
           elf_segment(PT_NOTE, behind, good.size()) + good;
  };
  std::string const shown = " (build-id 6162636465666768)";
  EXPECT_EQ(told_of_file(with_first(kPage, 1)), shown);
  EXPECT_EQ(told_of_file(with_first(kPage - 8, 9)), shown);
  EXPECT_EQ(told_of_file(with_first(~std::uint64_t{0} - 7, 8)), shown);
  EXPECT_EQ(told_of_file(with_first(64, ~std::uint64_t{0})), shown);
  EXPECT_EQ(told_of_file(elf_header(0xffff) + std::string(kPage - sizeof(ElfW(Ehdr)), '\0')), "");
  EXPECT_EQ(told_of_file(elf_header(1) + elf_segment(PT_LOAD, 0, kPage) +
                         elf_segment(PT_NOTE, behind - sizeof(ElfW(Phdr)), good.size()) + good),
            "")
      << "a segment that is not counted";
  std::string at_the_end = padded(elf_header(1) + elf_segment(PT_NOTE, kPage - good.size(), good.size()), kPage);
  at_the_end.replace(kPage - good.size(), good.size(), good);
  EXPECT_EQ(told_of_file(at_the_end), shown);
}

TEST(HardenedModules, tell_the_build_id_of_the_file_and_not_of_its_neighbour) {
  std::string const content = padded(elf_with_notes({build_id("abcd")}), kPage) + std::string(kPage, 'y');
  MadeFile const file("module", content), other("neighbour", std::string(2 * kPage, 'z'));
  MappedFiles maps;
  maps.map(file, 0, kPage);
  char* const second = maps.map(file, kPage, kPage, kPage, PROT_READ | PROT_EXEC);
  char* const neighbour = maps.map(other, 2 * kPage, kPage, kPage);
  EXPECT_EQ(told(second + 5), file.path() + "+0x1005 (build-id 61626364)");
  EXPECT_EQ(told(neighbour), other.path() + "+0x1000");
  maps.map(file, 0, kPage, 0, PROT_NONE);
  EXPECT_EQ(told(second + 5), file.path() + "+0x1005") << "the first page cannot be read";
  EXPECT_EQ(told(maps.map(file, kPage, kPage) + 5), file.path() + "+0x5 (build-id 61626364)") << "the nearer one can";
}

// Of two functions at 0x1100 and 0x1110 of a file, what is told of the second one's first byte.
class HardenedModulesNamed : public ::testing::Test {
 public:
  std::string told_of_second(CodeAddress kind) { return told(at_, kind).substr(file_.path().size()); }
  void remove_file() { ::unlink(file_.path().c_str()); }

 private:
  MadeFile const file_{
      "module", padded(elf_with_symbols({{SHT_SYMTAB, {{"one", 0x11000, 16}, {"two", 0x11010, 16}}}}), 2 * kPage)};
  MappedFiles maps_;
  char* const at_ = maps_.map(file_, 0, kPage, kPage) + 0x110;
};

TEST_F(HardenedModulesNamed, tell_the_function_too_while_that_is_asked_for) {
  EXPECT_EQ(told_of_second(CodeAddress::kExact), "+0x1110");
  fixed.symbolize = true;
  EXPECT_EQ(told_of_second(CodeAddress::kExact), "+0x1110 in two+0x0");
  EXPECT_EQ(told_of_second(CodeAddress::kReturn), "+0x1110 in one+0x10");
  remove_file();
  EXPECT_EQ(told_of_second(CodeAddress::kExact), " (deleted)+0x1110") << "a file that cannot be opened";
  fixed.symbolize = false;
}

TEST_F(HardenedModulesNamed, leave_no_file_open) {
  fixed.symbolize = true;
  auto const before = open_files();
  for (int i = 0; i < 3; ++i) told_of_second(CodeAddress::kExact);
  EXPECT_EQ(open_files(), before);
  fixed.symbolize = false;
}

TEST_F(HardenedModulesNamed, are_told_without_standard_input_as_well) {
  run_in_child([this] {
    ::close(STDIN_FILENO);
    EXPECT_EQ(told_of_second(CodeAddress::kExact), "+0x1110");
  });
}

}  // namespace
}  // namespace hakmem::hardened
