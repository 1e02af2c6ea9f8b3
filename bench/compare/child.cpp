#include "bench/compare/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string_view>

namespace hakmem::bench {
namespace {

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment_with(std::string const& preload) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("LD_PRELOAD=")) result.emplace_back(*entry);
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

ChildResult run_child(std::vector<std::string> const& arguments, std::string const& preload) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return {"", std::string("pipe: ") + std::strerror(errno)};
  std::vector<std::string> words = arguments;
  std::vector<std::string> environment = environment_with(preload);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t child = 0;
  int const error =
      posix_spawn(&child, words[0].c_str(), &actions, nullptr, pointers(words).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  ChildResult result;
  if (error == 0) {
    result.output = read_all(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    result.failure = describe_failure(status);
  } else {
    result.failure = std::strerror(error);
  }
  close(ends[0]);
  return result;
}

}  // namespace hakmem::bench
