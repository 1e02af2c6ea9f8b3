// Functions are named from made-up symbol tables; a file of any content is read in bounds.
#include "hardened/symbols.h"

#include "property_tests/hardened/made_file.h"

namespace hakmem::hardened {
namespace {

std::string named(std::string const& content, std::uint64_t offset, CodeAddress kind = CodeAddress::kExact) {
  MadeFile const file("symbols", content);
  char buffer[1024];
  Text text(buffer, sizeof buffer);
  write_symbol(text, file.descriptor(), offset, kind);
  return {text.data(), text.size()};
}

constexpr std::uint64_t kBase = 0x10000, kOffset = 0x100;

TEST(HardenedSymbols, name_the_function_that_an_offset_lies_in_from_its_first_byte_to_its_last) {
  std::string const file = elf_with_symbols({{SHT_SYMTAB, {{"one", kBase, 0x10}, {"two", kBase + 0x20, 0x10}}}});
  EXPECT_EQ(named(file, kOffset), " in one+0x0");
  EXPECT_EQ(named(file, kOffset + 0xf), " in one+0xf");
  EXPECT_EQ(named(file, kOffset + 0x10), "");
  EXPECT_EQ(named(file, kOffset + 0x1f), "");
  EXPECT_EQ(named(file, kOffset + 0x20), " in two+0x0");
  EXPECT_EQ(named(file, kOffset - 1), "") << "not loaded";
  EXPECT_EQ(named(file, kOffset + 0x8000), "") << "not loaded";
}

TEST(HardenedSymbols, of_a_return_address_are_those_of_the_call_before_it) {
  std::string const file = elf_with_symbols({{SHT_SYMTAB, {{"one", kBase, 0x10}, {"two", kBase + 0x10, 0x10}}}});
  EXPECT_EQ(named(file, kOffset + 0x10, CodeAddress::kReturn), " in one+0x10");
  EXPECT_EQ(named(file, kOffset + 0x11, CodeAddress::kReturn), " in two+0x1");
  EXPECT_EQ(named(file, kOffset + 0x10, CodeAddress::kExact), " in two+0x0");
}

TEST(HardenedSymbols, are_functions_that_the_file_defines) {
  for (auto const& [type, section, shown] : {std::tuple<unsigned, unsigned, char const*>{STT_FUNC, 1, " in it+0x3"},
                                             {STT_GNU_IFUNC, 1, " in it+0x3"},
                                             {STT_OBJECT, 1, ""},
                                             {STT_NOTYPE, 1, ""},
                                             {STT_FUNC, SHN_UNDEF, ""}})
    EXPECT_EQ(named(elf_with_symbols({{SHT_SYMTAB, {{"it", kBase, 0x10, type, section}}}}), kOffset + 3), shown);
}

TEST(HardenedSymbols, of_functions_that_cover_each_other_are_the_one_that_starts_last) {
  Symbol const outer{"outer", kBase, 0x100}, inner{"inner", kBase + 0x20, 0x10}, last{"last", kBase + 0x90, 0x10};
  for (std::vector<Symbol> const& order : {std::vector<Symbol>{outer, inner, last}, {last, inner, outer}}) {
    std::string const file = elf_with_symbols({{SHT_SYMTAB, order}});
    EXPECT_EQ(named(file, kOffset + 0x25), " in inner+0x5");
    EXPECT_EQ(named(file, kOffset + 0x35), " in outer+0x35");
  }
}

TEST(HardenedSymbols, are_found_anywhere_in_a_long_table) {
  for (std::size_t const count : {1, 63, 64, 65, 128, 200}) {
    std::vector<Symbol> symbols;
    for (std::size_t i = 0; i < count; ++i) symbols.push_back({"f" + std::to_string(i), kBase + 0x10 * i, 0x10});
    std::string const file = elf_with_symbols({{SHT_SYMTAB, symbols}});
    for (std::size_t i = 0; i < count; i += 1 + count / 9)
      EXPECT_EQ(named(file, kOffset + 0x10 * i + 1), " in f" + std::to_string(i) + "+0x1");
    EXPECT_EQ(named(file, kOffset + 0x10 * (count - 1)), " in f" + std::to_string(count - 1) + "+0x0");
    EXPECT_EQ(named(file, kOffset + 0x10 * count), "");
  }
}

TEST(HardenedSymbols, come_from_the_full_table_and_without_it_from_the_dynamic_one) {
  SymbolTable const full{SHT_SYMTAB, {{"full", kBase, 0x10}}}, dynamic{SHT_DYNSYM, {{"dynamic", kBase, 0x20}}};
  EXPECT_EQ(named(elf_with_symbols({dynamic, full}), kOffset), " in full+0x0");
  EXPECT_EQ(named(elf_with_symbols({dynamic, full}), kOffset + 0x10), " in dynamic+0x10");
  EXPECT_EQ(named(elf_with_symbols({dynamic}), kOffset), " in dynamic+0x0");
  EXPECT_EQ(named(elf_with_symbols({{SHT_NOBITS, full.symbols}}), kOffset), "");
  EXPECT_EQ(named(elf_with_symbols({}), kOffset), "");
}

TEST(HardenedSymbols, have_names_that_are_printable_and_cut_when_they_are_too_long) {
  EXPECT_EQ(named(elf_with_symbols({{SHT_SYMTAB, {{"a b\tc\x7f\x80~!", kBase, 1}}}}), kOffset), " in a?b?c??~!+0x0");
  std::string const longest(256, 'n');
  EXPECT_EQ(named(elf_with_symbols({{SHT_SYMTAB, {{longest + "and more", kBase, 1}, {"next", 0, 0}}}}), kOffset),
            " in " + longest + "+0x0");
}

TEST(HardenedSymbols, of_files_that_are_cut_or_spoilt_are_none_or_the_right_one) {
  std::string const file = elf_with_symbols({{SHT_SYMTAB, {{"one", kBase, 0x10}}}});
  std::string const shown = " in one+0x5";
  ASSERT_EQ(named(file, kOffset + 5), shown);
  for (std::size_t bytes = 0; bytes < file.size(); ++bytes) {
    std::string const text = named(file.substr(0, bytes), kOffset + 5);
    ASSERT_TRUE(text.empty()) << bytes << text;
  }
  for (std::size_t const spoilt : {offsetof(ElfW(Ehdr), e_ident), offsetof(ElfW(Ehdr), e_ident) + 1,
                                   offsetof(ElfW(Ehdr), e_phentsize), offsetof(ElfW(Ehdr), e_shentsize)}) {
    std::string other = file;
    other[spoilt] ^= 4;
    EXPECT_EQ(named(other, kOffset + 5), "") << spoilt;
  }
  EXPECT_EQ(named(elf_with_symbols({{SHT_SYMTAB, {{"one", kBase, 0x10}}}}, sizeof(ElfW(Sym)) + 1), kOffset), "");
  EXPECT_EQ(named(std::string(4000, '\xff'), 5), "");
  char buffer[16];
  Text text(buffer, sizeof buffer);
  write_symbol(text, -1, 0, CodeAddress::kExact);
  EXPECT_EQ(text.size(), 0u);
}

// A file in which a part was given another value.
template <class T>
std::string changed(std::string content, std::size_t at, T value) {
  std::memcpy(content.data() + at, &value, sizeof value);
  return content;
}
template <class T>
T part_at(std::string const& content, std::size_t at) {
  T part;
  std::memcpy(&part, content.data() + at, sizeof part);
  return part;
}
// Where the head of a section is.
std::size_t section_at(std::string const& content, unsigned number) {
  return part_at<ElfW(Ehdr)>(content, 0).e_shoff + number * sizeof(ElfW(Shdr));
}

TEST(HardenedSymbols, of_addresses_that_a_file_does_not_load_are_none_whatever_lies_there) {
  std::string const file = elf_with_symbols({{SHT_SYMTAB,
                                              {{"zero", 0, 0x100},
                                               {"before", kBase - 16, 16},
                                               {"last", kBase + 0x7ff0, 16},
                                               {"behind", kBase + 0x8000, 16}}}});
  EXPECT_EQ(named(file, kOffset + 0x7fff), " in last+0xf");
  EXPECT_EQ(named(file, kOffset + 0x8000), "");
  EXPECT_EQ(named(file, kOffset - 1), "");
  EXPECT_EQ(named(changed(file, offsetof(ElfW(Ehdr), e_phoff), std::uint64_t{1} << 40), kOffset), "")
      << "its segments are not to be read";
}

TEST(HardenedSymbols, lie_in_any_segment_that_the_header_counts) {
  std::string file =
      elf_with_symbols({{SHT_SYMTAB, {{"one", 0x20000, 16}, {"two", 0x30000, 16}, {"three", 0x40000, 16}}}});
  std::string const segments = elf_segment(PT_LOAD, 0x100, 0x100, 0x20000) +
                               elf_segment(PT_LOAD, 0x200, 0x100, 0x30000) +
                               elf_segment(PT_LOAD, 0x300, 0x100, 0x40000);
  file.replace(sizeof(ElfW(Ehdr)), segments.size(), segments);
  EXPECT_EQ(named(file, 0x101), " in one+0x1");
  EXPECT_EQ(named(file, 0x202), " in two+0x2");
  EXPECT_EQ(named(file, 0x303), "") << "the third of two";
}

TEST(HardenedSymbols, behind_the_end_of_their_table_are_none) {
  std::vector<Symbol> symbols;
  for (unsigned i = 0; i < 65; ++i) symbols.push_back({"f" + std::to_string(i), kBase + 0x10 * i, 0x10});
  std::string const file = elf_with_symbols({{SHT_SYMTAB, symbols}});
  std::string const shorter =
      changed(file, section_at(file, 1) + offsetof(ElfW(Shdr), sh_size), std::uint64_t{64 * sizeof(ElfW(Sym))});
  EXPECT_EQ(named(file, kOffset + 0x400), " in f64+0x0");
  EXPECT_EQ(named(shorter, kOffset + 0x400), "");
  EXPECT_EQ(named(shorter, kOffset + 0x3f0), " in f63+0x0");
  EXPECT_EQ(named(changed(file, offsetof(ElfW(Ehdr), e_shnum), ElfW(Half){1}), kOffset), "")
      << "a table behind the sections that are counted";
}

TEST(HardenedSymbols, have_names_that_end_where_their_section_ends) {
  std::string const file = elf_with_symbols({{SHT_SYMTAB, {{"name", kBase, 1}}}});
  auto const with_names_of = [&](std::uint64_t bytes) {
    return named(changed(file, section_at(file, 2) + offsetof(ElfW(Shdr), sh_size), bytes), kOffset);
  };
  EXPECT_EQ(with_names_of(6), " in name+0x0");
  EXPECT_EQ(with_names_of(4), " in nam+0x0");
  EXPECT_EQ(with_names_of(2), " in n+0x0");
  EXPECT_EQ(with_names_of(1), " in +0x0");
  EXPECT_EQ(with_names_of(0), " in +0x0");
}

TEST(HardenedSymbols, whose_names_cannot_be_read_are_looked_for_in_the_other_table) {
  std::string const dynamic = elf_with_symbols({{SHT_DYNSYM, {{"dynamic", kBase, 16}}}});
  EXPECT_EQ(named(changed(dynamic, offsetof(ElfW(Ehdr), e_shnum), ElfW(Half){50'000}), kOffset), " in dynamic+0x0")
      << "more sections are counted than there are";
  std::string const file =
      elf_with_symbols({{SHT_SYMTAB, {{"full", kBase, 16}}}, {SHT_DYNSYM, {{"dynamic", kBase, 16}}}});
  EXPECT_EQ(named(changed(file, section_at(file, 1) + offsetof(ElfW(Shdr), sh_link), ElfW(Word){50'000}), kOffset),
            " in dynamic+0x0");
}

TEST(HardenedSymbols, of_functions_that_begin_together_are_the_last_one_of_the_table) {
  EXPECT_EQ(named(elf_with_symbols({{SHT_SYMTAB, {{"first", kBase, 16}, {"second", kBase, 16}}}}), kOffset),
            " in second+0x0");
}

// In a file with a hole, in which so many symbols take no room.
TEST(HardenedSymbols, are_looked_for_among_four_million_and_no_more) {
  constexpr std::uint64_t kMost = 1 << 22;
  std::string const file = elf_with_symbols({{SHT_SYMTAB, {}}, {SHT_DYNSYM, {{"it", kBase, 16}}}});
  for (std::uint64_t const nameless : {kMost - 1, kMost}) {
    std::string const content =
        changed(changed(file, section_at(file, 1) + offsetof(ElfW(Shdr), sh_offset), std::uint64_t{1} << 20),
                section_at(file, 1) + offsetof(ElfW(Shdr), sh_size), nameless * sizeof(ElfW(Sym)));
    MadeFile const made("symbols", content);
    ASSERT_EQ(::ftruncate(made.descriptor(), (1 << 20) + static_cast<off_t>(kMost * sizeof(ElfW(Sym)))), 0);
    char buffer[64];
    Text text(buffer, sizeof buffer);
    write_symbol(text, made.descriptor(), kOffset, CodeAddress::kExact);
    EXPECT_EQ(std::string(text.data(), text.size()), nameless < kMost ? " in it+0x0" : "");
  }
}

}  // namespace
}  // namespace hakmem::hardened
