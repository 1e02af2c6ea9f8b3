// Every replaceable C++ allocation function, and what they do when there is no memory.
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "expect.h"

namespace {

constexpr std::align_val_t kAlignment{4096};
// Read at run time, so that the compiler does not judge them.
std::size_t volatile too_much = std::size_t{1} << 62;
std::size_t volatile three = 3;

// A result that is used: an allocation whose result is not may be left out by the compiler.
void* volatile sink;

template <class Call>
bool throws_bad_alloc(Call call) {
  try {
    call();
  } catch (std::bad_alloc const&) {
    return true;
  }
  return false;
}

bool aligned(void* block) { return block && reinterpret_cast<std::uintptr_t>(block) % 4096 == 0; }

void plain_forms() {
  ::operator delete(::operator new(10));
  ::operator delete[](::operator new[](10));
  ::operator delete (::operator new(10), std::size_t{10});
  ::operator delete[](::operator new[](10), std::size_t{10});
  ::operator delete(::operator new(10, std::nothrow), std::nothrow);
  ::operator delete[](::operator new[](10, std::nothrow), std::nothrow);
  ::operator delete(nullptr);
  sink = ::operator new(0);
  EXPECT(sink != nullptr);
}

void aligned_forms() {
  void* block = nullptr;
  EXPECT(aligned(block = ::operator new(10, kAlignment)));
  ::operator delete(block, kAlignment);
  EXPECT(aligned(block = ::operator new[](10, kAlignment)));
  ::operator delete[](block, kAlignment);
  EXPECT(aligned(block = ::operator new(10, kAlignment, std::nothrow)));
  ::operator delete(block, kAlignment, std::nothrow);
  EXPECT(aligned(block = ::operator new[](10, kAlignment, std::nothrow)));
  ::operator delete[](block, kAlignment, std::nothrow);
  EXPECT(aligned(block = ::operator new(10, kAlignment)));
  ::operator delete (block, std::size_t{10}, kAlignment);
  EXPECT(aligned(block = ::operator new[](10, kAlignment)));
  ::operator delete[](block, std::size_t{10}, kAlignment);
}

void failures_without_handler() {
  EXPECT(throws_bad_alloc([] { sink = ::operator new(too_much); }));
  EXPECT(throws_bad_alloc([] { sink = ::operator new[](too_much); }));
  EXPECT(throws_bad_alloc([] { sink = ::operator new(too_much, kAlignment); }));
  EXPECT(throws_bad_alloc([] { sink = ::operator new[](too_much, kAlignment); }));
  EXPECT(throws_bad_alloc([] { sink = ::operator new (10, std::align_val_t{three}); }));
  EXPECT(::operator new(too_much, std::nothrow) == nullptr);
  EXPECT(::operator new[](too_much, std::nothrow) == nullptr);
  EXPECT(::operator new(too_much, kAlignment, std::nothrow) == nullptr);
  EXPECT(::operator new[](too_much, kAlignment, std::nothrow) == nullptr);
  EXPECT(::operator new (10, std::align_val_t{three}, std::nothrow) == nullptr);
}

int handler_calls = 0;

void give_up_at_the_third_call() {
  if (++handler_calls == 3) std::set_new_handler(nullptr);
}
void throw_bad_alloc() {
  ++handler_calls;
  throw std::bad_alloc();
}

void failures_with_handler() {
  std::set_new_handler(give_up_at_the_third_call);
  EXPECT(throws_bad_alloc([] { sink = ::operator new(too_much); }));
  EXPECT(handler_calls == 3);

  handler_calls = 0;
  std::set_new_handler(give_up_at_the_third_call);
  EXPECT(::operator new(too_much, std::nothrow) == nullptr);
  EXPECT(handler_calls == 3);

  handler_calls = 0;
  std::set_new_handler(throw_bad_alloc);
  EXPECT(throws_bad_alloc([] { sink = ::operator new(too_much); }));
  EXPECT(::operator new(too_much, std::nothrow) == nullptr);
  EXPECT(::operator new[](too_much, kAlignment, std::nothrow) == nullptr);
  EXPECT(handler_calls == 3);
  std::set_new_handler(nullptr);
}

void library_types() {
  std::vector<std::string> words;
  for (int i = 0; i < 1000; ++i) words.emplace_back(static_cast<std::size_t>(i), 'x');
  for (std::size_t i = 0; i < words.size(); ++i) EXPECT(words[i].size() == i);
}

}  // namespace

int main() {
  plain_forms();
  aligned_forms();
  failures_without_handler();
  failures_with_handler();
  library_types();
  return 0;
}
