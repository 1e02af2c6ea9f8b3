// Touches a known number of pages of one kind of memory in a function of its own: touches KIND PAGES.
#include <alloca.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>

namespace {

constexpr std::size_t kMostPages = 2000;
constexpr std::size_t kPageBytes = 4096;

thread_local char thread_memory[256 * kPageBytes];  // every page is written when a thread starts
char zero_memory[kMostPages * kPageBytes];

std::size_t page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

[[gnu::noinline]] void write_to_each_page(char volatile* memory, std::size_t bytes) {
  for (std::size_t offset = 0; offset < bytes; offset += page_bytes()) memory[offset] = 1;
}

void anonymous(std::size_t bytes) {
  write_to_each_page(
      static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), bytes);
}

void file(std::size_t bytes) {
  std::FILE* const scratch = std::tmpfile();
  if (ftruncate(fileno(scratch), static_cast<off_t>(bytes)) != 0) std::exit(1);
  write_to_each_page(static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(scratch), 0)),
                     bytes);
}

void stack(std::size_t bytes) { write_to_each_page(static_cast<char*>(alloca(bytes)), bytes); }

void small(std::size_t bytes) {
  for (std::size_t used = 0; used < bytes; used += 112) std::memset(std::malloc(112), 1, 112);
}

void child(std::size_t bytes) {
  if (fork() == 0) {
    write_to_each_page(zero_memory, bytes);
    _exit(0);
  }
  wait(nullptr);
}

std::map<std::string, std::function<void(std::size_t)>> const kKinds = {
    {"anonymous", anonymous},
    {"file", file},
    {"stack", stack},
    {"thread-stack", [](std::size_t bytes) { std::thread(stack, bytes).join(); }},
    {"thread-local",
     [](std::size_t) { std::thread([] { write_to_each_page(thread_memory, sizeof thread_memory); }).join(); }},
    {"zero-data", [](std::size_t bytes) { write_to_each_page(zero_memory, bytes); }},
    {"large", [](std::size_t bytes) { write_to_each_page(static_cast<char*>(std::malloc(bytes)), bytes); }},
    {"break", [](std::size_t bytes) { write_to_each_page(static_cast<char*>(sbrk(static_cast<long>(bytes))), bytes); }},
    {"small", small},
    {"child", child},
};

}  // namespace

int main(int count, char** words) {
  std::size_t const pages = count == 3 ? std::strtoul(words[2], nullptr, 10) : 0;
  if (pages == 0 || pages > kMostPages || page_bytes() > kPageBytes) return 2;
  kKinds.at(words[1])(pages * page_bytes());
}
