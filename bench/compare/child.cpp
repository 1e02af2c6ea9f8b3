#include "bench/compare/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

namespace hakmem::bench {
namespace {

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

std::string name_of(std::string const& variable) { return variable.substr(0, variable.find('=') + 1); }

// Ours, without LD_PRELOAD, and with the variables in place of what they are now.
std::vector<std::string> environment_with(std::string const& preload, std::vector<std::string> result) {
  std::vector<std::string> replaced = {"LD_PRELOAD="};
  for (std::string const& variable : result) replaced.push_back(name_of(variable));
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::find(replaced.begin(), replaced.end(), name_of(*entry)) == replaced.end()) result.emplace_back(*entry);
  }
  if (!preload.empty()) result.push_back("LD_PRELOAD=" + preload);
  return result;
}

std::string read_all(int file) {
  std::string text;
  std::array<char, 4096> chunk;
  for (ssize_t length; (length = read(file, chunk.data(), chunk.size())) > 0;) {
    text.append(chunk.data(), static_cast<std::size_t>(length));
  }
  return text;
}

std::string describe_failure(int status) {
  if (WIFSIGNALED(status)) {
    return "signal " + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) + ")";
  }
  return WEXITSTATUS(status) == 0 ? "" : "exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

ChildResult run_child(std::vector<std::string> const& arguments, std::string const& preload,
                      std::vector<std::string> const& variables) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    return {.output = "", .failure = std::string("pipe: ") + std::strerror(errno)};
  std::vector<std::string> words = arguments;
  std::vector<std::string> environment = environment_with(preload, variables);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  auto const start = std::chrono::steady_clock::now();
  pid_t child = 0;
  int const error =
      posix_spawn(&child, words[0].c_str(), &actions, nullptr, pointers(words).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  ChildResult result;
  if (error == 0) {
    result.output = read_all(ends[0]);
    int status = 0;
    rusage usage{};
    wait4(child, &status, 0, &usage);
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result.system_seconds =
        static_cast<double>(usage.ru_stime.tv_sec) + static_cast<double>(usage.ru_stime.tv_usec) * 1e-6;
    constexpr double kKibibyte = 1024;
    result.peak_rss_bytes = static_cast<double>(usage.ru_maxrss) * kKibibyte;
    result.failure = describe_failure(status);
  } else {
    result.failure = std::strerror(error);
  }
  close(ends[0]);
  return result;
}

}  // namespace hakmem::bench
