// What it owns: the switch between the mutants of a tree that tools/mutate made. ACTIVE_MUTANT=n in the
// environment turns mutant n on; REACHED_MUTANTS=file has one byte for each mutant, which becomes 1 when the
// switch is asked for it, in children as well.
// Invariant: no mutant is active in constant evaluation, so constexpr functions stay so.
// Thread-safety: any thread; written once, at the first question, which comes before a second thread.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <type_traits>

namespace hakmem::mutation {

inline bool chosen = false;
inline unsigned active = 0;
inline unsigned char* reached = nullptr;

// At the first question, which may come from the dynamic linker; before there is an environment, none is active.
[[gnu::cold, gnu::noinline]] inline void choose() noexcept {
  if (!environ) return;
  chosen = true;
  if (char const* const number = getenv("ACTIVE_MUTANT")) active = static_cast<unsigned>(atoi(number));
  char const* const path = getenv("REACHED_MUTANTS");
  if (!path) return;
  int const file = open(path, O_RDWR | O_CLOEXEC);
  struct stat about {};
  if (file < 0 || fstat(file, &about) != 0) return;
  auto const bytes = static_cast<unsigned long>(about.st_size);
  void* const map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (map != MAP_FAILED) reached = static_cast<unsigned char*>(map);
  close(file);
}

inline bool is_active(unsigned mutant) noexcept {
  if (!chosen) [[unlikely]]
    choose();
  if (reached) [[unlikely]]
    reached[mutant] = 1;
  return mutant == active;
}

constexpr bool mutant(unsigned number) noexcept {
  if (std::is_constant_evaluated()) return false;
  return is_active(number);
}

}  // namespace hakmem::mutation
