// What it owns: adding function and source line to the code addresses in a report of the checked build, which are told
// as "PATH+0xOFFSET (build-id HEX)". Invariants: any text is taken; a line that names no file which is there comes back
// as it was. Thread-safety: none.
#pragma once

#include <string>
#include <string_view>

#include "tools/hak/faults/elf_image.h"

namespace hakmem::tools {

class Symbolizer {
 public:
  // A line of a report's text, or a report as one JSON line; lines belong to one report in their order.
  std::string line(std::string const& line);

 private:
  std::string json(std::string const& line);
  // A place with what is known of it; `returns`: it is where a call returns to.
  std::string place(std::string_view text, bool returns);

  ElfImages images_;
  bool faulted_ = false;  // the stack that the lines are of begins with the faulting instruction
};

}  // namespace hakmem::tools
