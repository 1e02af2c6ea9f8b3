#include "tools/hak/trace/record.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <new>
#include <optional>
#include <stdexcept>

#include "bench/harness/output.h"
#include "tools/hak/trace/read_recording.h"
#include "tools/hak/trace/recording.h"

namespace hakmem::tools {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string const& what, int error) {
  throw std::runtime_error(what + ": " + std::strerror(error));
}

std::string recorder_library() {
  fs::path const path = fs::path(bench::this_program()).parent_path() / "../lib/libhakmem-trace.so";
  if (!fs::is_regular_file(path)) throw std::runtime_error("no libhakmem-trace.so in ../lib beside this program");
  return fs::canonical(path);
}

// The file that the recorded programs write, beside the trace that is made of it; gone with this object.
class Recording {
 public:
  Recording(std::string const& output, std::uint64_t limit) : path_(fs::absolute(output).string() + ".recording") {
    int const file = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) fail(path_, errno);
    int const error = posix_fallocate(file, 0, kChunkBytes);
    void* const page = error != 0 ? MAP_FAILED : mmap(nullptr, kChunkBytes, PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page == MAP_FAILED) {
      fs::remove(path_);
      fail(path_, error != 0 ? error : errno);
    }
    auto* const head =
        new (page) RecordingHead{.magic = {}, .limit = limit, .tickets = 0, .chunks = 1, .images = 0, .failure = 0};
    std::memcpy(head->magic, kRecordingMagic, sizeof kRecordingMagic);
    munmap(page, kChunkBytes);
  }
  ~Recording() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  Recording(Recording const&) = delete;
  Recording& operator=(Recording const&) = delete;
  std::string const& path() const { return path_; }

 private:
  std::string const path_;
};

// The output, which is seen to be writable at once, and goes again if it was not there before and nothing comes of it.
class NewFile {
 public:
  explicit NewFile(std::string path) : path_(std::move(path)), keep_(fs::exists(path_)) {
    bench::require_writable(path_);
  }
  ~NewFile() {
    std::error_code ignored;
    if (!keep_) fs::remove(path_, ignored);
  }
  NewFile(NewFile const&) = delete;
  NewFile& operator=(NewFile const&) = delete;
  void keep() { keep_ = true; }

 private:
  std::string const path_;
  bool keep_;
};

// The preloads that the environment asks for come behind the recorder.
int run(std::vector<std::string> command, std::string const& recording) {
  char const* const preloads = std::getenv("LD_PRELOAD");
  std::string const library = recorder_library() + (preloads ? std::string(":") + preloads : "");
  setenv("LD_PRELOAD", library.c_str(), 1);
  setenv(kRecordingVariable, recording.c_str(), 1);
  std::vector<char*> words;
  for (std::string& word : command) words.push_back(word.data());
  words.push_back(nullptr);
  pid_t child = 0;
  int const error = posix_spawnp(&child, words[0], nullptr, nullptr, words.data(), environ);
  if (error != 0) fail("cannot run " + command[0], error);
  std::signal(SIGINT, SIG_IGN);  // the command's to obey; its calls until then are still kept
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void tell(ReadRecording const& result, RecordOptions const& options) {
  std::cerr << "hak: " << result.trace.calls.size() << " calls of " << result.trace.program << " in " << options.output;
  if (result.images.size() > 1) std::cerr << "; " << result.images.size() << " programs ran (--program chooses one):";
  for (std::size_t i = 0; result.images.size() > 1 && i < std::min<std::size_t>(result.images.size(), 8); ++i)
    std::cerr << ' ' << result.images[i].program << ' ' << result.images[i].calls;
  std::cerr << '\n';
  if (result.failure != 0)
    std::cerr << "hak: recording ended early: " << std::strerror(result.failure) << '\n';
  else if (!result.trace.whole)
    std::cerr << "hak: the calls after the first " << options.limit << " were not recorded (--limit)\n";
}

}  // namespace

int record(RecordOptions const& options) {
  NewFile output(options.output);
  std::optional<Recording> recording(std::in_place, options.output, options.limit);
  int const status = run(options.command, recording->path());
  ReadRecording const result = read_recording(recording->path(), options.program);
  recording.reset();  // the disc may be full
  write_trace(options.output, result.trace);
  output.keep();
  tell(result, options);
  return status;
}

}  // namespace hakmem::tools
