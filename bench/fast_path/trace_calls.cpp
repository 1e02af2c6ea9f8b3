// trace-calls LIBRARY: runs the probe with LIBRARY preloaded, single-steps each marked call, and
// prints as JSON what was executed: for each function the instructions of its most frequent path, as
// object and address in it. Nothing is estimated: the processor really took this path.
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/fast_path/marks.h"

namespace {

using namespace hakmem::bench;
namespace fs = std::filesystem;

using Path = std::vector<std::uint64_t>;  // program counters

constexpr std::size_t kLongestPath = 1'000'000;

struct Mapping {
  std::uint64_t begin;
  std::uint64_t end;
  std::uint64_t file_start;  // where the object's first byte is mapped
  std::string object;
};

class Tracee {
 public:
  Tracee(std::string const& probe, std::string const& library) : pid_(start(probe, library)) {
    if (!wait_for_trap()) throw std::runtime_error("the probe did not start");
    ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL);
  }

  // Runs to the next mark; false when the probe has ended.
  bool run_to_mark() { return resume(PTRACE_CONT); }

  std::uint64_t mark() const { return registers().rax; }

  // From the start mark to the end mark: every instruction outside the probe itself.
  Path step_through_call(Mapping const& probe) {
    Path path;
    for (;;) {
      if (!resume(PTRACE_SINGLESTEP)) throw std::runtime_error("the probe ended inside a call");
      std::uint64_t const counter = registers().rip;
      bool const in_probe = counter >= probe.begin && counter < probe.end;
      if (in_probe && at_breakpoint(counter)) return path;
      if (!in_probe) path.push_back(counter);
      if (path.size() > kLongestPath) throw std::runtime_error("a call does not return");
    }
  }

  std::vector<Mapping> mappings() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/maps");
    std::vector<Mapping> result;
    std::map<std::string, std::uint64_t> first;
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      Mapping mapping{};
      char dash = 0;
      std::string permissions, offset, device, inode;
      words >> std::hex >> mapping.begin >> dash >> mapping.end >> permissions >> offset >> device >> inode >>
          mapping.object;
      mapping.file_start = first.try_emplace(mapping.object, mapping.begin).first->second;
      if (permissions[2] == 'x') result.push_back(mapping);
    }
    return result;
  }

 private:
  static pid_t start(std::string const& probe, std::string const& library) {
    pid_t const child = fork();
    if (child != 0) return child;
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    setenv("LD_PRELOAD", library.c_str(), 1);
    setenv("LD_BIND_NOW", "1", 1);
    execl(probe.c_str(), probe.c_str(), nullptr);
    _exit(127);
  }

  bool resume(__ptrace_request request) {
    if (ptrace(request, pid_, nullptr, nullptr) != 0)
      throw std::runtime_error(std::string("ptrace: ") + std::strerror(errno));
    return wait_for_trap();
  }

  bool wait_for_trap() const {
    int status = 0;
    if (waitpid(pid_, &status, 0) != pid_) throw std::runtime_error(std::string("waitpid: ") + std::strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
    if (!WIFSTOPPED(status)) throw std::runtime_error("the probe failed");
    if (WSTOPSIG(status) != SIGTRAP)
      throw std::runtime_error(std::string("the probe got ") + strsignal(WSTOPSIG(status)));
    return true;
  }

  user_regs_struct registers() const {
    user_regs_struct values{};
    if (ptrace(PTRACE_GETREGS, pid_, nullptr, &values) != 0) throw std::runtime_error("cannot read the registers");
    return values;
  }

  bool at_breakpoint(std::uint64_t counter) const {
    constexpr long kBreakpoint = 0xCC;
    return (ptrace(PTRACE_PEEKTEXT, pid_, counter, nullptr) & 0xFF) == kBreakpoint;
  }

  pid_t pid_;
};

Mapping mapping_of(std::vector<Mapping> const& mappings, std::uint64_t address) {
  for (Mapping const& mapping : mappings) {
    if (address >= mapping.begin && address < mapping.end) return mapping;
  }
  throw std::runtime_error("an instruction outside every mapping");
}

Path most_frequent(std::vector<Path> const& paths) {
  auto const times = [&](Path const& path) { return std::count(paths.begin(), paths.end(), path); };
  return *std::max_element(paths.begin(), paths.end(),
                           [&](Path const& a, Path const& b) { return times(a) < times(b); });
}

nlohmann::json trace(std::string const& probe, std::string const& library) {
  Tracee tracee(probe, library);
  std::vector<Mapping> mappings;
  std::map<std::uint64_t, std::vector<Path>> paths;
  while (tracee.run_to_mark()) {
    std::uint64_t const call = tracee.mark();
    if (call >= std::size(kTracedCalls)) continue;  // the end mark, met when the run resumes
    if (mappings.empty()) mappings = tracee.mappings();
    Mapping const& own = *std::find_if(mappings.begin(), mappings.end(), [&](auto& m) { return m.object == probe; });
    paths[call].push_back(tracee.step_through_call(own));
  }
  bool const preloaded = std::any_of(mappings.begin(), mappings.end(), [&](auto& m) { return m.object == library; });
  if (!preloaded) throw std::runtime_error(library + " was not loaded");
  nlohmann::json document = nlohmann::json::array();
  for (auto const& [call, taken] : paths) {
    nlohmann::json instructions = nlohmann::json::array();
    for (std::uint64_t const counter : most_frequent(taken)) {
      Mapping const mapping = mapping_of(mappings, counter);
      instructions.push_back({{"object", mapping.object}, {"address", counter - mapping.file_start}});
    }
    document.push_back({{"function", kTracedCalls[call].name}, {"instructions", instructions}});
  }
  return document;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("usage: trace-calls LIBRARY");
    if (!fs::is_regular_file(argv[1])) throw std::runtime_error(std::string(argv[1]) + ": no such file");
    fs::path const probe = fs::canonical("/proc/self/exe").parent_path() / "trace-calls-probe";
    std::cout << trace(probe.string(), fs::canonical(argv[1]).string()).dump() << "\n";
    return 0;
  } catch (std::exception const& error) {
    std::cerr << "trace-calls: " << error.what() << "\n";
    return 1;
  }
}
