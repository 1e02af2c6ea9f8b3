#include "hardened/symbols.h"

#include <elf.h>
#include <link.h>

#include <algorithm>

#include "core/os/linux.h"

namespace hakmem::hardened {
namespace {

constexpr std::uint64_t kMostSymbols = 1 << 22;
constexpr std::size_t kBatch = 64;
constexpr std::size_t kNameBytes = 256;

template <class T>
bool read_at(int file, std::uint64_t offset, T& part) noexcept {
  return Linux::read_at(file, offset, reinterpret_cast<char*>(&part), sizeof part) == sizeof part;
}

// Where the byte at `offset` of the file is loaded, as the file numbers addresses; false: nowhere.
bool find_address(int file, ElfW(Ehdr) const& header, std::uint64_t offset, std::uint64_t& address) noexcept {
  ElfW(Phdr) segment;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    if (!read_at(file, header.e_phoff + i * sizeof segment, segment)) return false;
    if (segment.p_type != PT_LOAD || offset < segment.p_offset || offset - segment.p_offset >= segment.p_filesz)
      continue;
    address = offset - segment.p_offset + segment.p_vaddr;
    return true;
  }
  return false;
}

bool is_function_at(ElfW(Sym) const& symbol, std::uint64_t address) noexcept {
  unsigned const type = symbol.st_info & 15u;
  return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol.st_shndx != SHN_UNDEF && address >= symbol.st_value &&
         address - symbol.st_value < symbol.st_size;
}

// Of the functions that cover the address, the one that starts last. `budget` is what may be looked at, and is used up.
bool find_in_table(int file, ElfW(Shdr) const& table, std::uint64_t address, std::uint64_t& budget,
                   ElfW(Sym) & best) noexcept {
  if (table.sh_entsize != sizeof best) return false;
  ElfW(Sym) batch[kBatch];
  bool found = false;
  std::uint64_t left = std::min<std::uint64_t>(table.sh_size / sizeof best, budget);
  for (std::uint64_t at = table.sh_offset; left != 0; at += sizeof batch) {
    std::size_t const wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left, kBatch));
    std::size_t const got =
        Linux::read_at(file, at, reinterpret_cast<char*>(batch), wanted * sizeof best) / sizeof best;
    if (got == 0) break;
    for (ElfW(Sym) const* symbol = batch; symbol != batch + got; ++symbol) {
      if (!is_function_at(*symbol, address) || (found && symbol->st_value < best.st_value)) continue;
      best = *symbol;
      found = true;
    }
    left -= got;
    budget -= got;
  }
  return found;
}

void write_name(Text& out, int file, ElfW(Shdr) const& strings, std::uint64_t at) noexcept {
  char name[kNameBytes];
  std::uint64_t const room = at < strings.sh_size ? strings.sh_size - at : 0;
  std::size_t const length = Linux::read_at(file, strings.sh_offset + at, name,
                                            static_cast<std::size_t>(std::min<std::uint64_t>(room, kNameBytes)));
  for (std::size_t i = 0; i < length && name[i] != '\0'; ++i) out << (name[i] > ' ' && name[i] < 0x7f ? name[i] : '?');
}

bool write_from_tables(Text& out, int file, ElfW(Ehdr) const& header, std::uint32_t type, std::uint64_t looked_up,
                       std::uint64_t told, std::uint64_t& budget) noexcept {
  ElfW(Shdr) table, strings;
  ElfW(Sym) symbol;
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    if (!read_at(file, header.e_shoff + i * sizeof table, table)) return false;
    if (table.sh_type != type || !find_in_table(file, table, looked_up, budget, symbol)) continue;
    if (!read_at(file, header.e_shoff + table.sh_link * sizeof strings, strings)) return false;
    out << " in ";
    write_name(out, file, strings, symbol.st_name);
    out << '+';
    out.hex(told - symbol.st_value);
    return true;
  }
  return false;
}

}  // namespace

void write_symbol(Text& out, int file, std::uint64_t offset, CodeAddress kind) noexcept {
  ElfW(Ehdr) header;
  std::uint64_t address = 0;
  bool const readable = read_at(file, 0, header) && header.e_ident[0] == 0x7f && header.e_ident[1] == 'E' &&
                        header.e_phentsize == sizeof(ElfW(Phdr)) && header.e_shentsize == sizeof(ElfW(Shdr));
  if (!readable || !find_address(file, header, offset, address)) return;
  std::uint64_t const looked_up = address - (kind == CodeAddress::kReturn ? 1 : 0);
  std::uint64_t budget = kMostSymbols;
  if (write_from_tables(out, file, header, SHT_SYMTAB, looked_up, address, budget)) return;
  write_from_tables(out, file, header, SHT_DYNSYM, looked_up, address, budget);
}

}  // namespace hakmem::hardened
