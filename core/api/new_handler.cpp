#include "core/api/new_handler.h"

#include "core/base/check.h"

extern "C" {
[[gnu::weak]] std::new_handler cxx_get_new_handler() noexcept __asm__("_ZSt15get_new_handlerv");
[[noreturn, gnu::weak]] void cxx_throw_bad_alloc() __asm__("_ZSt17__throw_bad_allocv");
}

// What a catch clause is compiled into: of the C++ library as well, and needed only when it throws.
__asm__(
    ".weak __gxx_personality_v0\n"
    ".weak __cxa_begin_catch\n"
    ".weak __cxa_end_catch\n"
    ".weak _ZSt9terminatev\n"
    ".weak _Unwind_Resume\n");

namespace hakmem {

void throw_bad_alloc() {
  VERIFY(cxx_throw_bad_alloc, "operator new: out of memory, and the program has no C++ library to throw with");
  cxx_throw_bad_alloc();
}

void* retry_or_throw(Attempt attempt, std::size_t bytes, std::size_t alignment) {
  for (;;) {
    if (void* const block = attempt(bytes, alignment)) return block;
    std::new_handler const handler = cxx_get_new_handler ? cxx_get_new_handler() : nullptr;
    if (!handler) throw_bad_alloc();
    handler();
  }
}

void* retry_or_null(Attempt attempt, std::size_t bytes, std::size_t alignment) noexcept {
  for (;;) {
    if (void* const block = attempt(bytes, alignment)) return block;
    std::new_handler const handler = cxx_get_new_handler ? cxx_get_new_handler() : nullptr;
    if (!handler) return nullptr;
    try {
      handler();
    } catch (...) {
      return nullptr;
    }
  }
}

}  // namespace hakmem
