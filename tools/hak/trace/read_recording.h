// What it owns: making a trace of the calls that recorded programs wrote down (recording.h).
// Thread-safety: none.
#pragma once

#include <string>
#include <vector>

#include "tools/hak/trace/trace_file.h"

namespace hakmem::tools {

// A program that was recorded: what a process was between two calls of exec, or a forked child.
struct RecordedImage {
  std::string program;
  std::uint64_t calls = 0;
};

struct ReadRecording {
  Trace trace;
  std::vector<RecordedImage> images;  // all that were recorded, the most calls first
  int failure = 0;                    // the errno that ended the recording early
};

// The trace of the image called `program`, or of any, that made the most calls. Calls on blocks from before the
// recording are left out, and such a realloc is an allocation. Throws std::runtime_error if there is none.
ReadRecording read_recording(std::string const& path, std::string const& program);

}  // namespace hakmem::tools
