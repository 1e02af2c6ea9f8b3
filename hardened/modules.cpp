#include "hardened/modules.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include <cstring>

#include "core/os/linux.h"
#include "hardened/fixed.h"

// Made by the linker: the head of the file that this code became part of.
extern "C" [[gnu::visibility("hidden")]] ElfW(Ehdr) const __ehdr_start;

namespace hakmem::hardened {
namespace {

constexpr std::size_t kPathMax = 512;
constexpr std::size_t kBuildIdMax = 64;

// One line of /proc/self/maps.
struct Mapping {
  std::uintptr_t start, end, offset;
  bool readable;
  char path[kPathMax];
};

// Reads the file through one small buffer; a report is no place for large ones.
class MapsReader {
 public:
  MapsReader() noexcept : descriptor_(Linux::open_to_read("/proc/self/maps")) {}
  ~MapsReader() { Linux::close(descriptor_); }
  MapsReader(MapsReader const&) = delete;
  MapsReader& operator=(MapsReader const&) = delete;

  bool next(Mapping& mapping) noexcept {
    if (descriptor_ < 0 || peek() < 0) return false;
    mapping.start = number();
    take();  // '-'
    mapping.end = number();
    take();  // ' '
    mapping.readable = take() == 'r';
    for (int i = 0; i < 4; ++i) take();  // the other rights, ' '
    mapping.offset = number();
    for (int spaces = 0; spaces < 3;)  // device, inode
      if (int const character = take(); character < 0 || character == ' ') ++spaces;
    while (peek() == ' ') take();
    std::size_t length = 0;
    for (int character = take(); character >= 0 && character != '\n'; character = take())
      if (length + 1 < kPathMax) mapping.path[length++] = printable(character);
    mapping.path[length] = '\0';
    return true;
  }

 private:
  // A file may have any name; a terminal must not act on it.
  static char printable(int character) noexcept {
    return character < ' ' || character == 0x7f ? '?' : static_cast<char>(character);
  }
  int peek() noexcept {
    if (at_ == have_) {
      at_ = 0;
      have_ = Linux::read(descriptor_, buffer_, sizeof buffer_);
    }
    return at_ < have_ ? static_cast<unsigned char>(buffer_[at_]) : -1;
  }
  int take() noexcept {
    int const character = peek();
    if (character >= 0) ++at_;
    return character;
  }
  std::uintptr_t number() noexcept {
    std::uintptr_t value = 0;
    for (;;) {
      int const character = peek();
      bool const digit = character >= '0' && character <= '9';
      if (!digit && !(character >= 'a' && character <= 'f')) return value;
      value = value * 16 + static_cast<std::uintptr_t>(digit ? character - '0' : character - 'a' + 10);
      take();
    }
  }

  int const descriptor_;
  std::size_t at_ = 0, have_ = 0;
  char buffer_[1024];
};

bool same_text(char const* left, char const* right) noexcept {
  while (*left != '\0' && *left == *right) ++left, ++right;
  return *left == *right;
}

// [offset, offset + bytes) of [base, end); null: it is not all inside.
std::byte const* part_of(std::uintptr_t base, std::uintptr_t end, std::uintptr_t offset,
                         std::uintptr_t bytes) noexcept {
  std::uintptr_t const size = end - base;
  return offset <= size && bytes <= size - offset ? reinterpret_cast<std::byte const*>(base + offset) : nullptr;
}

// A structure of the file at an offset of any alignment; false: it is not all inside.
template <class T>
bool read_part(std::uintptr_t base, std::uintptr_t end, std::uintptr_t offset, T& part) noexcept {
  std::byte const* const from = part_of(base, end, offset, sizeof part);
  if (from) std::memcpy(&part, from, sizeof part);
  return from != nullptr;
}

// From the notes [base, end); false: there is none.
bool write_build_id_of_notes(Text& out, std::uintptr_t base, std::uintptr_t end) noexcept {
  ElfW(Nhdr) note;
  for (std::uintptr_t at = 0; read_part(base, end, at, note);) {
    std::uintptr_t const text = at + sizeof note + ((std::uintptr_t{note.n_namesz} + 3) & ~std::uintptr_t{3});
    std::byte const* const id = part_of(base, end, text, note.n_descsz);
    if (id && note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz <= kBuildIdMax) {
      out << " (build-id ";
      out.bytes(reinterpret_cast<unsigned char const*>(id), note.n_descsz) << ')';
      return true;
    }
    at = text + ((std::uintptr_t{note.n_descsz} + 3) & ~std::uintptr_t{3});
  }
  return false;
}

// The note with the build-id of the module whose ELF header is mapped at [base, end). The file may hold anything.
void write_build_id(Text& out, std::uintptr_t base, std::uintptr_t end) noexcept {
  ElfW(Ehdr) header;
  if (!read_part(base, end, 0, header) || header.e_ident[0] != 0x7f || header.e_ident[1] != 'E') return;
  ElfW(Phdr) segment;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    if (!read_part(base, end, header.e_phoff + i * sizeof segment, segment)) return;
    if (segment.p_type != PT_NOTE || !part_of(base, end, segment.p_offset, segment.p_filesz)) continue;
    std::uintptr_t const notes = base + segment.p_offset;
    if (write_build_id_of_notes(out, notes, notes + segment.p_filesz)) return;
  }
}

void write_symbol_of(Text& out, char const* path, std::uint64_t offset, CodeAddress kind) noexcept {
  int const file = Linux::open_to_read(path);
  if (file < 0) return;
  write_symbol(out, file, offset, kind);
  Linux::close(file);
}

}  // namespace

bool is_in_own_library(void const* code) noexcept {
  auto const base = reinterpret_cast<std::uintptr_t>(&__ehdr_start);
  std::uintptr_t const segments = base + __ehdr_start.e_phoff;
  if (segments == ::getauxval(AT_PHDR)) return false;
  auto const* const segment = reinterpret_cast<ElfW(Phdr) const*>(segments);
  std::uintptr_t const offset = reinterpret_cast<std::uintptr_t>(code) - base;
  for (unsigned i = 0; i < __ehdr_start.e_phnum; ++i)
    if (segment[i].p_type == PT_LOAD && (segment[i].p_flags & PF_X) != 0 &&
        offset - segment[i].p_vaddr < segment[i].p_memsz)
      return true;
  return false;
}

void write_code_address(Text& out, void const* address, CodeAddress kind) noexcept {
  auto const wanted = reinterpret_cast<std::uintptr_t>(address);
  MapsReader maps;
  Mapping head{};  // the start of the file that the current line belongs to
  Mapping line{};
  while (maps.next(line)) {
    if (line.offset == 0 || !same_text(line.path, head.path)) head = line;
    if (wanted < line.start || wanted >= line.end) continue;
    if (line.path[0] != '/') break;
    out << line.path << '+';
    out.hex(wanted - line.start + line.offset);
    if (head.readable && head.offset == 0) write_build_id(out, head.start, head.end);
    if (fixed.symbolize) write_symbol_of(out, line.path, wanted - line.start + line.offset, kind);
    return;
  }
  out << '?';
}

}  // namespace hakmem::hardened
