// What it owns: the proof of which allocator this process really has. It asks the dynamic linker
// which object the addresses of malloc, free and operator new lie in, and that object its version.
#pragma once

#include <string>

namespace hakmem::bench {

struct AllocatorIdentity {
  std::string file;      // the object that holds malloc, as a canonical path
  std::string soname;    // its DT_SONAME, or the file's own name
  std::string version;   // what the allocator says of itself, or empty
  bool complete = true;  // free, calloc and realloc are in the same object
};

AllocatorIdentity identify_allocator();

}  // namespace hakmem::bench
