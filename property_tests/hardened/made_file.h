// What it owns: files that a test makes up and maps: ELF files of any content among them.
// Thread-safety: none.
#pragma once

#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "property_tests/scratch_path.h"

namespace hakmem::hardened {

// A file of its own, gone at the end.
class MadeFile {
 public:
  MadeFile(std::string const& name, std::string const& content)
      : path_(name), descriptor_(::open(path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    EXPECT_GE(descriptor_, 0) << path();
    EXPECT_EQ(::write(descriptor_, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  }
  ~MadeFile() { ::close(descriptor_); }
  MadeFile(MadeFile const&) = delete;
  MadeFile& operator=(MadeFile const&) = delete;

  std::string const& path() const { return path_.text(); }
  int descriptor() const { return descriptor_; }

 private:
  testing::ScratchPath const path_;
  int const descriptor_;
};

// Memory of a test, unmapped at the end: a stretch in which files are mapped.
class MappedFiles {
 public:
  static constexpr std::size_t kBytes = 64 * 1024;

  MappedFiles() : start_(static_cast<char*>(::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  ~MappedFiles() { ::munmap(start_, kBytes); }
  MappedFiles(MappedFiles const&) = delete;
  MappedFiles& operator=(MappedFiles const&) = delete;

  char* start() const { return start_; }
  // Maps `bytes` of the file from `offset` on at so many bytes from the start.
  char* map(MadeFile const& file, std::size_t at, std::size_t bytes, std::size_t offset = 0, int rights = PROT_READ) {
    void* const place =
        ::mmap(start_ + at, bytes, rights, MAP_PRIVATE | MAP_FIXED, file.descriptor(), static_cast<off_t>(offset));
    EXPECT_EQ(place, start_ + at);
    return start_ + at;
  }

 private:
  char* const start_;
};

// How many files this process has open.
inline auto open_files() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

template <class T>
std::string bytes_of(T const& part) {
  return {reinterpret_cast<char const*>(&part), sizeof part};
}

// The head of an ELF file with so many program headers behind it and section headers at `sections`.
inline std::string elf_header(unsigned segments, std::uint64_t sections = 0, unsigned section_count = 0) {
  ElfW(Ehdr) header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(ElfW(Phdr));
  header.e_phnum = static_cast<ElfW(Half)>(segments);
  header.e_shoff = sections;
  header.e_shentsize = sizeof(ElfW(Shdr));
  header.e_shnum = static_cast<ElfW(Half)>(section_count);
  return bytes_of(header);
}

inline std::string elf_segment(unsigned type, std::uint64_t offset, std::uint64_t bytes, std::uint64_t address = 0) {
  ElfW(Phdr) segment{};
  segment.p_type = type;
  segment.p_offset = offset;
  segment.p_filesz = segment.p_memsz = bytes;
  segment.p_vaddr = address;
  return bytes_of(segment);
}

struct Symbol {
  std::string name;
  std::uint64_t value, size;
  unsigned type = STT_FUNC;
  unsigned section = 1;
};

struct SymbolTable {
  unsigned type;
  std::vector<Symbol> symbols;
};

inline std::string elf_section(unsigned type, std::uint64_t offset, std::uint64_t bytes, unsigned link,
                               std::uint64_t each) {
  ElfW(Shdr) head{};
  head.sh_type = type;
  head.sh_offset = offset;
  head.sh_size = bytes;
  head.sh_link = link;
  head.sh_entsize = each;
  return bytes_of(head);
}

// An ELF file that is loaded at 0x10000 from its offset 0x100 on, with these tables of symbols.
inline std::string elf_with_symbols(std::vector<SymbolTable> const& tables,
                                    std::size_t entry_bytes = sizeof(ElfW(Sym))) {
  std::string body(0x400, '\0');
  std::string heads = elf_section(SHT_NULL, 0, 0, 0, 0);
  unsigned count = 1;
  for (SymbolTable const& table : tables) {
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
    heads += elf_section(table.type, body.size(), symbols.size(), count + 1, entry_bytes);
    body += symbols;
    heads += elf_section(SHT_STRTAB, body.size(), names.size(), 0, 0);
    body += names;
    count += 2;
  }
  std::string const head = elf_header(2, body.size(), count) + elf_segment(PT_NOTE, 0, 0x10000) +
                           elf_segment(PT_LOAD, 0x100, 0x8000, 0x10000);
  return head + body.substr(head.size()) + heads;
}

}  // namespace hakmem::hardened
