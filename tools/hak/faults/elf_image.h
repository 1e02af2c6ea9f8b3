// What it owns: what an ELF file says of itself - where its parts are loaded and which function an
// address lies in. Separate debug files are used where they are installed.
// Addresses are the file's own, before it is loaded somewhere.
// Thread-safety: none.
#pragma once

#include <elfutils/libdwfl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace hakmem::tools {

class ElfImage {
 public:
  explicit ElfImage(std::string const& path);

  // nullopt: not in a part that is loaded, or the file is not ELF.
  std::optional<std::uint64_t> address_of_offset(std::uint64_t file_offset) const;
  std::optional<std::uint64_t> address_of_symbol(char const* name) const;
  // In a loaded part, zero-initialised memory included.
  bool contains(std::uint64_t address) const;
  std::uint64_t thread_local_bytes() const { return thread_local_bytes_; }
  // Demangled, without template arguments; empty if no symbol covers the address.
  std::string const& function_at(std::uint64_t address);
  // "FILE:LINE"; empty if it is not known.
  std::string source_at(std::uint64_t address);
  // In hexadecimal digits; empty if there is none.
  std::string build_id() const;

 private:
  struct Segment {
    std::uint64_t offset, address, file_bytes, memory_bytes;
  };
  void read_segments();

  std::unique_ptr<Dwfl, decltype(&dwfl_end)> session_;
  Dwfl_Module* module_ = nullptr;  // null: not an ELF file
  Elf* elf_ = nullptr;
  GElf_Addr bias_ = 0;
  std::vector<Segment> segments_;
  std::uint64_t thread_local_bytes_ = 0;
  std::unordered_map<std::uint64_t, std::string> functions_;  // as far as they were asked for
};

// Every file once.
class ElfImages {
 public:
  ElfImage& get(std::string const& path) { return images_.try_emplace(path, path).first->second; }

 private:
  std::map<std::string, ElfImage> images_;
};

}  // namespace hakmem::tools
