#include "tools/hak/faults/elf_image.h"

#include <cxxabi.h>
#include <gelf.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace hakmem::tools {
namespace {

// "a::B<C<int>, 4>::f(int)" as "a::B<>::f(int)": instances of one template count as one function.
std::string without_template_arguments(std::string_view name) {
  std::string result;
  int depth = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    bool const operator_sign = result.ends_with("operator") || result.ends_with("operator<") ||
                               result.ends_with("operator>") || result.ends_with("-");
    bool const opens = name[i] == '<' && !operator_sign;
    bool const closes = name[i] == '>' && depth > 0 && name[i - 1] != '-';
    if (closes) --depth;
    if (depth == 0) result += name[i];
    if (opens) ++depth;
  }
  return result;
}

std::string demangled(char const* name) {
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> const text(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                         &std::free);
  return text ? without_template_arguments(text.get()) : name;
}

Dwfl_Callbacks const kCallbacks = {.find_elf = dwfl_build_id_find_elf,
                                   .find_debuginfo = dwfl_standard_find_debuginfo,
                                   .section_address = dwfl_offline_section_address,
                                   .debuginfo_path = nullptr};

}  // namespace

ElfImage::ElfImage(std::string const& path) : session_(dwfl_begin(&kCallbacks), &dwfl_end) {
  if (!session_) return;
  dwfl_report_begin(session_.get());
  module_ = dwfl_report_offline(session_.get(), path.c_str(), path.c_str(), -1);
  dwfl_report_end(session_.get(), nullptr, nullptr);
  if (module_) elf_ = dwfl_module_getelf(module_, &bias_);
  if (elf_) read_segments();
}

void ElfImage::read_segments() {
  std::size_t count = 0;
  if (elf_getphdrnum(elf_, &count) != 0) return;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr header;
    if (!gelf_getphdr(elf_, static_cast<int>(i), &header)) continue;
    if (header.p_type == PT_LOAD)
      segments_.push_back({header.p_offset, header.p_vaddr, header.p_filesz, header.p_memsz});
    if (header.p_type == PT_TLS) thread_local_bytes_ = header.p_memsz;
  }
}

std::optional<std::uint64_t> ElfImage::address_of_offset(std::uint64_t file_offset) const {
  auto const page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  for (Segment const& segment : segments_) {
    std::uint64_t const first = segment.offset & ~(page - 1);  // mapped from the page's start
    if (file_offset >= first && file_offset < segment.offset + segment.file_bytes)
      return segment.address - segment.offset + file_offset;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ElfImage::address_of_symbol(char const* name) const {
  for (Elf_Scn* section = nullptr; elf_ && (section = elf_nextscn(elf_, section));) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header)) continue;
    if ((header.sh_type != SHT_DYNSYM && header.sh_type != SHT_SYMTAB) || header.sh_entsize == 0) continue;
    Elf_Data* const data = elf_getdata(section, nullptr);
    for (std::size_t i = 0; data && i < header.sh_size / header.sh_entsize; ++i) {
      GElf_Sym symbol;
      if (!gelf_getsym(data, static_cast<int>(i), &symbol) || symbol.st_shndx == SHN_UNDEF) continue;
      char const* const found = elf_strptr(elf_, header.sh_link, symbol.st_name);
      if (found && std::string_view(found) == name) return symbol.st_value;
    }
  }
  return std::nullopt;
}

bool ElfImage::contains(std::uint64_t address) const {
  auto const page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  for (Segment const& segment : segments_) {
    std::uint64_t const end = (segment.address + segment.memory_bytes + page - 1) & ~(page - 1);
    if (address >= (segment.address & ~(page - 1)) && address < end) return true;
  }
  return false;
}

std::string const& ElfImage::function_at(std::uint64_t address) {
  auto const [entry, added] = functions_.try_emplace(address);
  if (!added || !elf_) return entry->second;
  GElf_Off offset = 0;
  GElf_Sym symbol;
  char const* const name = dwfl_module_addrinfo(module_, address + bias_, &offset, &symbol, nullptr, nullptr, nullptr);
  if (name) entry->second = demangled(name);
  return entry->second;
}

std::string ElfImage::source_at(std::uint64_t address) {
  Dwfl_Line* const line = elf_ ? dwfl_module_getsrc(module_, address + bias_) : nullptr;
  int number = 0;
  char const* const file = line ? dwfl_lineinfo(line, nullptr, &number, nullptr, nullptr, nullptr) : nullptr;
  return file ? file + (":" + std::to_string(number)) : "";
}

std::string ElfImage::build_id() const {
  unsigned char const* bits = nullptr;
  GElf_Addr place = 0;
  int const count = elf_ ? dwfl_module_build_id(module_, &bits, &place) : 0;
  std::string digits;
  for (int i = 0; i < count; ++i) {
    digits += "0123456789abcdef"[bits[i] >> 4];
    digits += "0123456789abcdef"[bits[i] & 15];
  }
  return digits;
}

}  // namespace hakmem::tools
