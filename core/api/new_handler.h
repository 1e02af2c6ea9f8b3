// What it owns: what a failing operator new does, without linking the C++ library: its functions
// are weak references, found when the program brings one.
// Thread-safety: all functions, any thread.
#pragma once

#include <cstddef>
#include <new>

namespace hakmem {

// Repeats `attempt(first, second)` with the program's new-handler called in between, until it
// succeeds; without a handler throws std::bad_alloc. A program that has no C++ library gets a
// message and an abort instead.
using Attempt = void* (*)(std::size_t bytes, std::size_t alignment) noexcept;
void* retry_or_throw(Attempt attempt, std::size_t bytes, std::size_t alignment);

[[noreturn]] void throw_bad_alloc();

// The same, but null instead of any exception, the handler's own too.
void* retry_or_null(Attempt attempt, std::size_t bytes, std::size_t alignment) noexcept;

}  // namespace hakmem
