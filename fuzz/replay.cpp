// What it owns: the driver that needs no fuzzing engine.
//   replay_NAME FILE|DIRECTORY...    checks every input; the corpus as a regression test
//   replay_NAME --print FILE         says what an input does, without doing it
//   replay_NAME --control PATH...    each seeded bug must be found by some input, each in a process of its own
// Exit codes: 0 sound; 1 an input violates a property, or a bug was not found; 2 wrong use.
// Thread-safety: one thread.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/surface.h"

namespace hakmem::fuzz {
namespace {

namespace fs = std::filesystem;

int wrong_use(std::string const& text) {
  std::fprintf(stderr, "replay_%s: %s\n", surface.name, text.c_str());
  return 2;
}

std::vector<std::uint8_t> read_file(fs::path const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The files, those of directories in order of their names.
std::vector<fs::path> files_of(std::vector<std::string> const& paths) {
  std::vector<fs::path> files;
  for (std::string const& path : paths) {
    if (!fs::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    auto const first = static_cast<std::ptrdiff_t>(files.size());
    for (auto const& entry : fs::directory_iterator(path)) files.push_back(entry.path());
    std::sort(files.begin() + first, files.end());
  }
  return files;
}

int check_all(std::vector<fs::path> const& files) {
  for (fs::path const& path : files) {
    std::vector<std::uint8_t> const input = read_file(path);
    try {
      surface.check(input, 0);
    } catch (testing::Violation const& violation) {
      std::printf("%s: %s\n%s", path.c_str(), violation.what(), surface.print(input).c_str());
      return 1;
    }
  }
  std::printf("%zu inputs of %s: sound\n", files.size(), surface.name);
  return 0;
}

// Whether some input makes the seeded bug known: as a violation, or as the end of the process.
bool finds(unsigned seeded, std::vector<fs::path> const& files) {
  std::fflush(stdout);
  pid_t const child = fork();
  if (child == 0) {
    rlimit const no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    alarm(60);
    for (fs::path const& path : files) {
      std::vector<std::uint8_t> const input = read_file(path);
      try {
        surface.check(input, seeded);
      } catch (testing::Violation const& violation) {
        std::printf("seeded bug %u of %s: found by %s: %s\n", seeded, surface.name, path.filename().c_str(),
                    violation.what());
        std::fflush(stdout);
        _exit(1);
      }
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status))
    std::printf("seeded bug %u of %s: found by signal %d\n", seeded, surface.name, WTERMSIG(status));
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

int control(std::vector<fs::path> const& files) {
  bool all = true;
  for (unsigned seeded = 1; seeded <= surface.seeded_bugs; ++seeded) {
    if (finds(seeded, files)) continue;
    std::printf("seeded bug %u of %s: not found by %zu inputs\n", seeded, surface.name, files.size());
    all = false;
  }
  return all ? 0 : 1;
}

int run(std::vector<std::string> arguments) {
  std::string const option = !arguments.empty() && arguments[0].starts_with("-") ? arguments[0] : "";
  if (!option.empty()) arguments.erase(arguments.begin());
  bool const known = option.empty() || option == "--print" || option == "--control";
  if (!known || arguments.empty()) return wrong_use("usage: [--print|--control] FILE|DIRECTORY...");
  for (std::string const& path : arguments)
    if (!fs::exists(path)) return wrong_use("no such file: " + path);
  std::vector<fs::path> const files = files_of(arguments);
  if (files.empty()) return wrong_use("there are no inputs in " + arguments[0]);
  if (option == "--control") return control(files);
  if (option.empty()) return check_all(files);
  for (fs::path const& path : files) std::printf("// %s\n%s", path.c_str(), surface.print(read_file(path)).c_str());
  return 0;
}

}  // namespace
}  // namespace hakmem::fuzz

int main(int count, char** arguments) { return hakmem::fuzz::run({arguments + 1, arguments + count}); }
