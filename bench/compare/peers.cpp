#include "bench/compare/peers.h"

#include <filesystem>
#include <optional>
#include <stdexcept>

#include "bench/compare/child.h"

namespace hakmem::bench {
namespace {

namespace fs = std::filesystem;

struct KnownPeer {
  char const* name;
  char const* soname;
  char const* debian_package;
};

constexpr KnownPeer kKnownPeers[] = {
    {"jemalloc", "libjemalloc.so.2", "libjemalloc2"},
    {"mimalloc", "libmimalloc.so.2.0", "libmimalloc2.0"},
    {"tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"},
};

// The path that the dynamic linker's cache gives for a soname: "NAME (libc6,x86-64) => PATH".
std::optional<std::string> cached_library(std::string const& cache, std::string const& soname) {
  std::size_t const line = cache.find("\t" + soname + " ");
  if (line == std::string::npos) return std::nullopt;
  std::size_t const end = cache.find('\n', line);
  std::size_t const arrow = cache.find("=> ", line);
  if (arrow == std::string::npos || arrow > end) return std::nullopt;
  return cache.substr(arrow + 3, end - arrow - 3);
}

std::optional<std::string> find_library(std::string const& cache, std::string const& soname) {
  if (auto const path = cached_library(cache, soname)) return path;
  for (char const* const directory : {"/usr/lib/" HAKMEM_MULTIARCH, "/usr/local/lib", "/usr/lib64", "/usr/lib"}) {
    fs::path const path = fs::path(directory) / soname;
    if (fs::is_regular_file(path)) return path.string();
  }
  return std::nullopt;
}

std::optional<std::string> find_ours(std::string const& file) {
  fs::path const beside = fs::canonical("/proc/self/exe").parent_path();
  for (char const* const directory : {"../lib", "../lib/" HAKMEM_MULTIARCH, "../lib64"}) {
    fs::path const path = beside / directory / file;
    if (fs::is_regular_file(path)) return fs::canonical(path).string();
  }
  return std::nullopt;
}

}  // namespace

Candidates find_candidates(bool with_hardened) {
  Candidates result{.found = {{"glibc", ""}}, .notes = {}};
  std::string const cache = run_child({"/sbin/ldconfig", "-p"}, "").output;
  for (KnownPeer const& peer : kKnownPeers) {
    if (auto const path = find_library(cache, peer.soname)) {
      result.found.push_back({peer.name, *path});
    } else {
      result.notes.push_back(std::string(peer.name) + ": not installed (Debian package " + peer.debian_package + ")");
    }
  }
  std::vector<std::string> ours = {"hakmem"};
  if (with_hardened) ours.push_back("hakmem-hardened");
  for (std::string const& name : ours) {
    if (auto const path = find_ours("lib" + name + ".so")) {
      result.found.push_back({name, *path, false});
    } else {
      result.notes.push_back(name + ": no lib" + name + ".so in ../lib beside hak-bench");
    }
  }
  return result;
}

Candidate parse_candidate(std::string const& text) {
  std::size_t const equals = text.find('=');
  if (equals == 0 || equals == std::string::npos)
    throw std::runtime_error("--allocator " + text + ": expected NAME=PATH");
  std::string const path = text.substr(equals + 1);
  if (!fs::is_regular_file(path)) throw std::runtime_error("--allocator " + text + ": no such file");
  std::string const name = text.substr(0, equals);
  return {name, fs::canonical(path).string(), !name.starts_with("hakmem")};
}

}  // namespace hakmem::bench
