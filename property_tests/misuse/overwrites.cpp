// What the checked build fixed at its start is written to, as by a stray write:  overwrites [NAME]
// Without a name, all that there are.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "hardened/fixed.h"

namespace {

using hakmem::hardened::fixed;

struct Part {
  char const* name;
  void* address;
};
Part const kParts[] = {
    {"seal_keys", &fixed.secrets.seal_keys},
    {"link_key", &fixed.secrets.link_key},
    {"random_key", &fixed.secrets.random_key},
    {"pattern_words", &fixed.secrets.pattern_words},
    {"quarantine_bytes", &fixed.quarantine_bytes},
    {"quarantine_floor", &fixed.quarantine_floor},
    {"fill_most", &fixed.fill_most},
    {"stretch", &fixed.stretch},
    {"sample_in", &fixed.sample_in},
    {"guards", &fixed.guards},
    {"guard_side", &fixed.guard_side},
    {"check", &fixed.check},
    {"stacks", &fixed.stacks},
    {"stack_depth", &fixed.stack_depth},
    {"find_block", &fixed.find_block},
    {"on_error", &fixed.on_error},
    {"report_format", &fixed.report_format},
    {"symbolize", &fixed.symbolize},
    {"report_file", &fixed.report_file},
    {"the last byte", reinterpret_cast<unsigned char*>(&fixed + 1) - 1},
};

void overwrite(void* address) {
  auto volatile* const byte = static_cast<unsigned char volatile*>(address);
  *byte = *byte;
}

}  // namespace

int main(int count, char** words) {
  std::free(std::malloc(1));
  for (Part const& part : kParts) {
    if (count == 1) std::puts(part.name);
    if (count == 2 && std::strcmp(words[1], part.name) == 0) overwrite(part.address);
  }
}
