#include "hardened/modules.h"

#include <elf.h>
#include <link.h>

#include "core/os/linux.h"

namespace hakmem::hardened {
namespace {

constexpr std::size_t kPathMax = 512;

// One line of /proc/self/maps.
struct Mapping {
  std::uintptr_t start = 0, end = 0, offset = 0;
  bool readable = false;
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
      if (length + 1 < kPathMax) mapping.path[length++] = static_cast<char>(character);
    mapping.path[length] = '\0';
    return true;
  }

 private:
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

// The note with the build-id of the module whose ELF header is mapped at [base, end).
void write_build_id(Text& out, std::uintptr_t base, std::uintptr_t end) noexcept {
  auto const* const header = reinterpret_cast<ElfW(Ehdr) const*>(base);
  if (end - base < sizeof *header || header->e_ident[0] != 0x7f || header->e_ident[1] != 'E') return;
  if (base + header->e_phoff + header->e_phnum * sizeof(ElfW(Phdr)) > end) return;
  auto const* const segments = reinterpret_cast<ElfW(Phdr) const*>(base + header->e_phoff);
  for (unsigned i = 0; i < header->e_phnum; ++i) {
    if (segments[i].p_type != PT_NOTE) continue;
    std::uintptr_t at = base + segments[i].p_offset;
    std::uintptr_t const notes_end = at + segments[i].p_filesz;
    while (notes_end <= end && at + sizeof(ElfW(Nhdr)) <= notes_end) {
      auto const* const note = reinterpret_cast<ElfW(Nhdr) const*>(at);
      std::uintptr_t const text = at + sizeof *note + ((note->n_namesz + 3u) & ~3u);
      if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && text + note->n_descsz <= notes_end) {
        out << " (build-id ";
        out.bytes(reinterpret_cast<unsigned char const*>(text), note->n_descsz) << ')';
        return;
      }
      at = text + ((note->n_descsz + 3u) & ~3u);
    }
  }
}

}  // namespace

void write_code_address(Text& out, void const* address) noexcept {
  auto const wanted = reinterpret_cast<std::uintptr_t>(address);
  MapsReader maps;
  Mapping head;  // the start of the file that the current line belongs to
  Mapping line;
  head.path[0] = '\0';
  while (maps.next(line)) {
    if (line.offset == 0 || !same_text(line.path, head.path)) head = line;
    if (wanted < line.start || wanted >= line.end) continue;
    if (line.path[0] != '/') break;
    out << line.path << '+';
    out.hex(wanted - line.start + line.offset);
    if (head.readable && head.offset == 0) write_build_id(out, head.start, head.end);
    return;
  }
  out << '?';
}

}  // namespace hakmem::hardened
