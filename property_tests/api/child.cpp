#include "property_tests/api/child.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace hakmem {
namespace {

constexpr unsigned kSecondsAllowed = 60;

// What execve takes; valid as long as the strings are.
std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Reads both pipes until the child has closed them.
void collect(std::array<int, 2> descriptors, std::array<std::string*, 2> texts) {
  std::array<pollfd, 2> waiting{pollfd{descriptors[0], POLLIN, 0}, pollfd{descriptors[1], POLLIN, 0}};
  for (int open = 2; open > 0;) {
    poll(waiting.data(), waiting.size(), -1);
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].fd < 0 || waiting[i].revents == 0) continue;
      char buffer[4096];
      ssize_t const bytes = read(waiting[i].fd, buffer, sizeof buffer);
      if (bytes > 0) {
        texts[i]->append(buffer, static_cast<std::size_t>(bytes));
      } else {
        close(waiting[i].fd);
        waiting[i].fd = -1;
        --open;
      }
    }
  }
}

}  // namespace

ChildResult run_child(std::string const& library, std::vector<std::string> arguments,
                      std::vector<std::string> environment) {
  for (char** entry = environ; *entry; ++entry) environment.emplace_back(*entry);
  if (!library.empty()) environment.push_back("LD_PRELOAD=" + library);
  std::vector<char*> const argument_pointers = pointers_to(arguments);
  std::vector<char*> const environment_pointers = pointers_to(environment);
  int out[2], err[2];
  if (pipe(out) != 0 || pipe(err) != 0) throw std::runtime_error("pipe failed");

  pid_t const child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    for (int const descriptor : {out[0], out[1], err[0], err[1]}) close(descriptor);
    alarm(kSecondsAllowed);
    execve(argument_pointers[0], argument_pointers.data(), environment_pointers.data());
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  ChildResult result;
  collect({out[0], err[0]}, {&result.out, &result.err});
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

int count_of(std::string const& text, std::string const& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace hakmem
