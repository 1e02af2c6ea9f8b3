// Functions are named from made-up symbol tables; a file of any content is read in bounds.
#include "hardened/symbols.h"

#include "property_tests/hardened/made_file.h"

namespace hakmem::hardened {
namespace {

struct Symbol {
  std::string name;
  std::uint64_t value, size;
  unsigned type = STT_FUNC;
  unsigned section = 1;
};

// An ELF file that is loaded at 0x10000 from its offset 0x100 on, with one table of symbols of each type given.
struct Table {
  unsigned type;
  std::vector<Symbol> symbols;
};

std::string section(unsigned type, std::uint64_t offset, std::uint64_t bytes, unsigned link, std::uint64_t each) {
  ElfW(Shdr) head{};
  head.sh_type = type;
  head.sh_offset = offset;
  head.sh_size = bytes;
  head.sh_link = link;
  head.sh_entsize = each;
  return bytes_of(head);
}

std::string elf_with_symbols(std::vector<Table> const& tables, std::size_t entry_bytes = sizeof(ElfW(Sym))) {
  std::string body(0x400, '\0');
  std::string heads = section(SHT_NULL, 0, 0, 0, 0);
  unsigned count = 1;
  for (Table const& table : tables) {
    std::string names(1, '\0'), symbols;
    for (Symbol const& symbol : table.symbols) {
      ElfW(Sym) entry{};
      entry.st_name = static_cast<ElfW(Word)>(names.size());
      entry.st_info = static_cast<unsigned char>(symbol.type | 0x10);
      entry.st_shndx = static_cast<ElfW(Half)>(symbol.section);
      entry.st_value = symbol.value;
      entry.st_size = symbol.size;
      symbols += bytes_of(entry);
      names += symbol.name + '\0';
    }
    heads += section(table.type, body.size(), symbols.size(), count + 1, entry_bytes);
    body += symbols;
    heads += section(SHT_STRTAB, body.size(), names.size(), 0, 0);
    body += names;
    count += 2;
  }
  std::string const head = elf_header(2, body.size(), count) + elf_segment(PT_NOTE, 0, 0x10000) +
                           elf_segment(PT_LOAD, 0x100, 0x8000, 0x10000);
  return head + body.substr(head.size()) + heads;
}

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
  Table const full{SHT_SYMTAB, {{"full", kBase, 0x10}}}, dynamic{SHT_DYNSYM, {{"dynamic", kBase, 0x20}}};
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

}  // namespace
}  // namespace hakmem::hardened
