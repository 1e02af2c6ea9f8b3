// One bug, or its corrected twin:  misuse BUG SIZE main|thread wrong|right
// The bug `list` prints the names of all.
// Built without optimisation: a compiler may remove what is undefined.
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <thread>
#include <vector>

namespace {

std::size_t size;
bool wrong;

char* allocated() {
  auto* const block = static_cast<char*>(std::malloc(size));
  if (size != 0) std::memset(block, 'x', size);
  return block;
}
void free_elsewhere(char* block) {
  std::thread([block] { std::free(block); }).join();
}
void churn(int rounds) {
  for (int i = 0; i < rounds; ++i) std::free(std::malloc(size));
}
// One write behind the block, or the last one in it.
void write_at(char* block, std::ptrdiff_t past, std::ptrdiff_t right) { block[wrong ? past : right] = 'y'; }
std::ptrdiff_t end() { return static_cast<std::ptrdiff_t>(size); }

void double_free() {
  char* const block = allocated();
  std::free(block);
  if (wrong) std::free(block);
}
void double_free_by_another_thread() {
  char* const block = allocated();
  free_elsewhere(block);
  if (wrong) std::free(block);
}
void double_free_in_another_thread() {
  char* const block = allocated();
  std::free(block);
  if (wrong) free_elsewhere(block);
}
void double_free_much_later() {
  char* const block = allocated();
  std::free(block);
  char* others[16];
  for (char*& other : others) other = allocated();
  if (wrong) std::free(block);
  for (char* other : others) std::free(other);
}
void free_inside() {
  char* const block = allocated();
  std::free(wrong ? block + 8 : block);
}
void free_misaligned() {
  char* const block = allocated();
  std::free(wrong ? block + 1 : block);
}
void free_stack() {
  char local[64] = {};
  std::free(wrong ? local : nullptr);
}
void free_static() {
  static char area[64];
  std::free(wrong ? area : nullptr);
}
void free_wild() { std::free(wrong ? reinterpret_cast<void*>(0x123456789000) : nullptr); }

void delete_of_malloc() {
  char* const block = allocated();
  wrong ? ::operator delete(block) : std::free(block);
}
void free_of_new() {
  void* const block = ::operator new(size);
  wrong ? std::free(block) : ::operator delete(block);
}
void delete_array_of_new() {
  void* const block = ::operator new(size);
  if (wrong) return ::operator delete[](block);
  ::operator delete(block);
}
void delete_of_new_array() {
  void* const block = ::operator new[](size);
  if (wrong) return ::operator delete(block);
  ::operator delete[](block);
}
void free_of_aligned_new() {
  void* const block = ::operator new (size, std::align_val_t{64});
  wrong ? std::free(block) : ::operator delete (block, std::align_val_t{64});
}
void delete_with_another_size() {
  void* const block = ::operator new(size);
  ::operator delete(block, wrong ? size + 1 : size);
}
void delete_with_another_alignment() {
  void* const block = ::operator new (size, std::align_val_t{64});
  ::operator delete (block, std::align_val_t{wrong ? 128u : 64u});
}
void free_sized_with_another_size() {
  using FreeSized = void (*)(void*, std::size_t);
  auto const free_sized = reinterpret_cast<FreeSized>(::dlsym(RTLD_DEFAULT, "free_sized"));
  free_sized(allocated(), wrong ? size - 1 : size);
}

void realloc_of_dead() {
  char* const block = allocated();
  if (!wrong) return std::free(std::realloc(block, size + 1));
  std::free(block);
  std::free(std::realloc(block, size + 1));
}
void realloc_of_new() {
  void* const block = wrong ? ::operator new(size) : std::malloc(size);
  std::free(std::realloc(block, 2 * size));
}
void usable_size_of_dead() {
  char* const block = allocated();
  if (wrong) std::free(block);
  std::printf("%d\n", malloc_usable_size(block) == size);
  if (!wrong) std::free(block);
}

void write_past_end() {
  char* const block = allocated();
  write_at(block, end(), end() - 1);
  std::free(block);
}
void write_seven_past_end() {
  char* const block = allocated();
  write_at(block, end() + 7, end() - 1);
  std::free(block);
}
void write_past_end_and_never_free() {
  char* const block = allocated();
  write_at(block, end(), end() - 1);
}
void write_past_end_while_others_are_freed() {
  char* const block = allocated();
  write_at(block, end(), end() - 1);
  for (int i = 0; i < 20; ++i) std::free(std::malloc(5000));
  ::_exit(0);
}
void write_before(std::ptrdiff_t bytes) {
  char* const block = allocated();
  write_at(block, -bytes, 0);
  std::free(block);
}
void write_before_start() { write_before(1); }
void write_sixteen_before_start() { write_before(16); }
void write_past_zero_bytes() {
  size = 0;
  char* const block = allocated();
  if (wrong) block[0] = 'y';
  std::free(block);
}
void write_after_free() {
  char* const block = allocated();
  if (!wrong) block[size / 2] = 'y';
  std::free(block);
  if (wrong) block[size / 2] = 'y';
}
void write_after_free_at(std::size_t offset) {
  char* const block = allocated();
  std::free(block);
  if (wrong) block[offset] = 'y';
}
void write_after_free_at_start() { write_after_free_at(0); }
void write_after_free_at_end() { write_after_free_at(size - 1); }
void write_after_free_before_reuse() {
  write_after_free();
  churn(100'000);
}
void write_after_free_when_much_was_freed() {
  churn(1'000);
  write_after_free();
}
void read_after_free() {
  char* const block = allocated();
  if (wrong) std::free(block);
  std::printf("%d\n", block[size / 2] == 'x');
  if (!wrong) std::free(block);
}
void read_past_end() {
  char* const block = allocated();
  std::printf("%d\n", block[wrong ? size : size - 1] == 'x');
  std::free(block);
}

void read_before_start() {
  char* const block = allocated();
  std::printf("%d\n", block[wrong ? -1 : 0] == 'x');
  std::free(block);
}

// Where SuperSlabs end, in the checked build. All blocks stay live.
constexpr std::uintptr_t kSlabBytes = 128 << 10, kSuperSlabBytes = 2 << 20;
char* super_slab_of(char* block) {
  return reinterpret_cast<char*>(reinterpret_cast<std::uintptr_t>(block) & -kSuperSlabBytes);
}
char* end_of_slabs(char* block) { return super_slab_of(block) + kSuperSlabBytes - kSlabBytes; }
// Enough to fill four SuperSlabs or more, in the order of their addresses.
std::vector<char*> many() {
  std::vector<char*> blocks(4 * kSuperSlabBytes / size);
  std::generate(blocks.begin(), blocks.end(), &allocated);
  std::sort(blocks.begin(), blocks.end());
  return blocks;
}
// From the last block in the last slab to where the slabs end, and on. Says how far that is from its end.
void run_on_to_the_next_super_slab(bool writes) {
  char* last = nullptr;
  for (char* block : many())
    if (std::size_t(end_of_slabs(block) - (block + size)) < kSlabBytes) last = block;
  if (!last) return;
  ::dprintf(STDOUT_FILENO, "%td\n", end_of_slabs(last) - (last + size));
  for (char volatile* at = last; at < last + size || (wrong && at <= end_of_slabs(last)); ++at)
    writes ? static_cast<void>(*at = 'y') : static_cast<void>(*at);
}
void read_on_to_the_next_super_slab() { run_on_to_the_next_super_slab(false); }
void write_on_to_the_next_super_slab() { run_on_to_the_next_super_slab(true); }
// From the first block of a SuperSlab into the one in front of it.
void read_back_to_the_last_super_slab() {
  char* before = nullptr;
  for (char* block : many()) {
    bool const is_next = before && super_slab_of(before) + kSuperSlabBytes == super_slab_of(block);
    if (is_next && block == super_slab_of(block) + 16) std::printf("%d\n", block[wrong ? -17 : 0] == 'x');
    before = block;
  }
}
void read_between_super_slabs() {
  char volatile* const block = allocated();
  std::printf("%d\n", (wrong ? *end_of_slabs(const_cast<char*>(block)) : *block) == 'x');
}

// Reads past the end in programs that install a handler of their own, after their first allocation.
void handled(int) {
  static_cast<void>(::write(STDOUT_FILENO, "handled\n", 8));
  ::_exit(7);
}
void read_past_end_with_sigaction() {
  char* const first = allocated();
  struct sigaction action {};
  action.sa_handler = &handled;
  ::sigaction(SIGSEGV, &action, nullptr);
  read_past_end();
  std::free(first);
}
void read_past_end_with(char const* name) {
  char* const first = allocated();
  using Signal = void (*(*)(int, void (*)(int)))(int);
  reinterpret_cast<Signal>(::dlsym(RTLD_DEFAULT, name))(SIGSEGV, &handled);
  read_past_end();
  std::free(first);
}
void read_past_end_with_signal() { read_past_end_with("signal"); }
void read_past_end_with_bsd_signal() { read_past_end_with("bsd_signal"); }
void read_past_end_with_sysv_signal() { read_past_end_with("sysv_signal"); }
void read_past_end_with_strict_signal() { read_past_end_with("__sysv_signal"); }

// No bug: more blocks than there may be mappings, alive at once, then used and freed.
void hold_many() {
  constexpr int kMany = 50'000;
  static char* blocks[kMany];
  for (char*& block : blocks) block = allocated();
  for (char* block : blocks) {
    for (std::size_t i = 0; i < size; ++i)
      if (block[i] != 'x') std::puts("damaged");
    std::free(block);
  }
}

// From now on the kernel answers `call` with errno `code` when its third argument is `value`.
void refuse(long call, unsigned value, unsigned code) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{sizeof program / sizeof program[0], program};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    std::puts("no filter");
}
constexpr unsigned kGuardInstall = 102;

// The same where guards are made by access rights, at the price of mappings; and some where they cannot be made.
void hold_many_on_an_older_kernel() {
  refuse(SYS_madvise, kGuardInstall, EINVAL);
  hold_many();
}
void hold_some_without_guards() {
  refuse(SYS_madvise, kGuardInstall, EINVAL);
  refuse(SYS_mprotect, PROT_NONE, ENOMEM);
  churn(100);
}

// No bug: where blocks lie relative to the first one, while some are freed.
void print_distances() {
  char* const first = allocated();
  for (int i = 0; i < 200; ++i) {
    char* const block = allocated();
    std::printf("%td\n", block - first);
    if (i % 3 != 0) std::free(block);
  }
}

struct Bug {
  std::string_view name;
  void (*run)();
};
#define BUG(name) \
  { #name, &name }
constexpr Bug kBugs[] = {BUG(double_free),
                         BUG(double_free_by_another_thread),
                         BUG(double_free_in_another_thread),
                         BUG(double_free_much_later),
                         BUG(free_inside),
                         BUG(free_misaligned),
                         BUG(free_stack),
                         BUG(free_static),
                         BUG(free_wild),
                         BUG(delete_of_malloc),
                         BUG(free_of_new),
                         BUG(delete_array_of_new),
                         BUG(delete_of_new_array),
                         BUG(free_of_aligned_new),
                         BUG(delete_with_another_size),
                         BUG(delete_with_another_alignment),
                         BUG(free_sized_with_another_size),
                         BUG(realloc_of_dead),
                         BUG(realloc_of_new),
                         BUG(usable_size_of_dead),
                         BUG(write_past_end),
                         BUG(write_seven_past_end),
                         BUG(write_past_end_and_never_free),
                         BUG(write_past_end_while_others_are_freed),
                         BUG(write_before_start),
                         BUG(write_sixteen_before_start),
                         BUG(write_past_zero_bytes),
                         BUG(write_after_free),
                         BUG(write_after_free_at_start),
                         BUG(write_after_free_at_end),
                         BUG(write_after_free_before_reuse),
                         BUG(write_after_free_when_much_was_freed),
                         BUG(read_after_free),
                         BUG(read_past_end),
                         BUG(read_before_start),
                         BUG(read_on_to_the_next_super_slab),
                         BUG(write_on_to_the_next_super_slab),
                         BUG(read_back_to_the_last_super_slab),
                         BUG(read_between_super_slabs),
                         BUG(read_past_end_with_sigaction),
                         BUG(read_past_end_with_signal),
                         BUG(read_past_end_with_bsd_signal),
                         BUG(read_past_end_with_sysv_signal),
                         BUG(read_past_end_with_strict_signal),
                         BUG(hold_many),
                         BUG(hold_many_on_an_older_kernel),
                         BUG(hold_some_without_guards),
                         BUG(print_distances)};

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    std::fprintf(stderr, "usage: misuse BUG SIZE main|thread wrong|right\n");
    return 2;
  }
  size = std::strtoull(arguments[2], nullptr, 10);
  bool const in_thread = arguments[3] == std::string_view("thread");
  wrong = arguments[4] == std::string_view("wrong");
  for (Bug const& bug : kBugs) {
    if (arguments[1] == std::string_view("list")) std::printf("%s\n", bug.name.data());
    if (bug.name != arguments[1]) continue;
    in_thread ? std::thread(bug.run).join() : bug.run();
    return 0;
  }
  if (arguments[1] == std::string_view("list")) return 0;
  std::fprintf(stderr, "misuse: no bug is named %s\n", arguments[1]);
  return 2;
}
