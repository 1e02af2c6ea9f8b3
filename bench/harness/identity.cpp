#include "bench/harness/identity.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <link.h>

#include <cstdlib>
#include <filesystem>

namespace hakmem::bench {
namespace {

struct Origin {
  std::string file;
  link_map const* map = nullptr;
};

Origin origin_of(void const* address) {
  Dl_info info{};
  link_map* map = nullptr;
  if (dladdr1(address, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0 || info.dli_fname == nullptr) {
    return {};
  }
  std::error_code error;
  std::filesystem::path const path = std::filesystem::canonical(info.dli_fname, error);
  return {error ? std::string(info.dli_fname) : path.string(), map};
}

std::string soname_of(Origin const& origin) {
  ElfW(Sxword) offset = -1;
  char const* strings = nullptr;
  for (ElfW(Dyn) const* entry = origin.map->l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_SONAME) offset = static_cast<ElfW(Sxword)>(entry->d_un.d_val);
    if (entry->d_tag == DT_STRTAB) strings = reinterpret_cast<char const*>(entry->d_un.d_ptr);
  }
  if (offset < 0 || strings == nullptr) return std::filesystem::path(origin.file).filename();
  return strings + offset;
}

// The allocators' own version calls, each asked only if it is exported by the object under test.
template <typename Function>
Function* exported(char const* name, Origin const& origin) {
  void* const symbol = dlsym(RTLD_DEFAULT, name);
  return symbol != nullptr && origin_of(symbol).map == origin.map ? reinterpret_cast<Function*>(symbol) : nullptr;
}

std::string version_of(Origin const& origin) {
  if (auto* const hak = exported<char const*()>("hak_version", origin)) return hak();
  if (auto* const glibc = exported<char const*()>("gnu_get_libc_version", origin)) return glibc();
  if (auto* const gperftools = exported<char const*(int*, int*, char const**)>("tc_version", origin)) {
    return gperftools(nullptr, nullptr, nullptr);
  }
  if (auto* const mimalloc = exported<int()>("mi_version", origin)) {
    int const number = mimalloc();  // 209 is 2.0.9, 20304 is 2.3.4
    int const base = number < 10000 ? 10 : 100;
    return std::to_string(number / base / base) + "." + std::to_string(number / base % base) + "." +
           std::to_string(number % base);
  }
  if (auto* const control = exported<int(char const*, void*, std::size_t*, void*, std::size_t)>("mallctl", origin)) {
    char const* text = nullptr;
    std::size_t bytes = sizeof text;
    if (control("version", &text, &bytes, nullptr, 0) == 0)
      return std::string(text).substr(0, std::string(text).find('-'));
  }
  return {};
}

}  // namespace

AllocatorIdentity identify_allocator() {
  Origin const origin = origin_of(reinterpret_cast<void const*>(&std::malloc));
  if (origin.map == nullptr) return {"unknown", "unknown", "", false};
  AllocatorIdentity identity{origin.file, soname_of(origin), version_of(origin)};
  for (void const* const address :
       {reinterpret_cast<void const*>(&std::free), reinterpret_cast<void const*>(&std::calloc),
        reinterpret_cast<void const*>(&std::realloc)}) {
    identity.complete = identity.complete && origin_of(address).map == origin.map;
  }
  return identity;
}

}  // namespace hakmem::bench
