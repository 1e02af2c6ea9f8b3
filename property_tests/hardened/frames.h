// What it owns: frames that a test makes up on its own stack, for walks along them.
// Thread-safety: none.
#pragma once

#include <alloca.h>

#include <cstdint>
#include <vector>

#include "hardened/stacks.h"

namespace hakmem::hardened {

using Callers = std::vector<std::uintptr_t>;
inline Callers callers_of(Stack const& stack) {
  Callers callers;
  for (unsigned i = 0; i < stack.count; ++i) callers.push_back(reinterpret_cast<std::uintptr_t>(stack.frames[i]));
  return callers;
}
inline Callers numbered(std::size_t count, std::uintptr_t first) {
  Callers callers(count);
  for (std::uintptr_t& caller : callers) caller = first++;
  return callers;
}

// Links frames that lie one behind the other, on the stack; the last one leads to `beyond`.
inline void* link(Frame* frames, Callers const& callers, std::uintptr_t beyond = 0) {
  for (std::size_t i = 0; i < callers.size(); ++i) {
    frames[i] = {i + 1 < callers.size() ? reinterpret_cast<std::uintptr_t>(frames + i + 1) : beyond, callers[i]};
  }
  return frames;
}

// Calls use(frame) with such frames in the real stack of this thread.
template <class Use>
auto with_frames(Callers const& callers, Use use) {
  auto* const memory = static_cast<Frame*>(alloca(sizeof(Frame) * (callers.size() + 1)));
  return use(link(memory, callers));
}

}  // namespace hakmem::hardened
