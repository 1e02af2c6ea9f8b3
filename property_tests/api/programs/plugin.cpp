// A shared library that is opened at run time and shares blocks with its host.
#include <cstdlib>
#include <string>

extern "C" {

void* plugin_allocate(std::size_t bytes) { return std::malloc(bytes); }
void plugin_free(void* block) { std::free(block); }
char* plugin_text(int count) {
  std::string const text(static_cast<std::size_t>(count), 'p');
  char* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy) text.copy(copy, text.size());
  return copy;
}
void plugin_delete(int* numbers) { delete[] numbers; }
int* plugin_new(int count) { return new int[static_cast<std::size_t>(count)](); }
}
