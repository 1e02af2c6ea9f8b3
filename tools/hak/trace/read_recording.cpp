#include "tools/hak/trace/read_recording.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <unordered_map>

#include "tools/hak/trace/recording.h"
#include "tools/hak/trace/varint.h"

namespace hakmem::tools {
namespace {

// What happens to one address. A realloc is two events: its old block is given up when it begins.
struct Event {
  RecordTag tag = RecordTag::kEnd;
  std::uint32_t thread = 0;
  std::uint64_t ticket = 0, bytes = 0, address = 0, alignment = 0, begun = 0;
};

struct Image {
  RecordedImage summary;
  std::vector<Event> events;
};

// Appends the events of a chunk; one whose writer ended in the middle of a record is used up to there.
void read_chunk(std::string_view chunk, Image& image) {
  ChunkHead head;
  std::memcpy(&head, chunk.data(), sizeof head);
  ByteReader reader(chunk.substr(sizeof head));
  image.summary.program = std::string(head.program, strnlen(head.program, sizeof head.program));
  std::uint64_t ticket = 0, address = 0;
  while (!reader.at_end()) {
    Event event;
    event.tag = static_cast<RecordTag>(reader.byte());
    if (event.tag == RecordTag::kEnd || event.tag > RecordTag::kRealloc) return;
    event.thread = head.thread;
    event.ticket = ticket += reader.number();
    if (event.tag != RecordTag::kFree) event.bytes = reader.number();
    if (event.tag == RecordTag::kAligned) event.alignment = reader.number();
    event.address = address = reader.distance_from(address);
    if (event.tag == RecordTag::kRealloc) {
      event.begun = ticket;
      image.events.push_back(event);
      event.ticket = ticket + reader.number();
      event.address = address = reader.distance_from(address);
    }
    image.events.push_back(event);
    ++image.summary.calls;
  }
}

// Names threads and blocks by numbers.
class TraceBuilder {
 public:
  void add(Event const& event) {
    switch (event.tag) {
      case RecordTag::kFree:
        return free(event);
      case RecordTag::kRealloc:
        return event.ticket == event.begun ? begin_realloc(event) : end_realloc(event);
      default:
        return allocate(event);
    }
  }
  Trace finish() { return std::move(trace_); }

 private:
  // What the C library does with one that is no power of two, or small.
  static int alignment_log2(std::uint64_t alignment) {
    return static_cast<int>(std::bit_width(std::max<std::uint64_t>(alignment, 16) - 1));
  }
  std::uint32_t thread(Event const& event) {
    auto const [entry, added] = threads_.try_emplace(event.thread, trace_.threads);
    if (added) ++trace_.threads;
    return entry->second;
  }
  // The call that would have freed the last block there was not recorded.
  void make_room(Event const& event) {
    if (live_.contains(event.address)) free(event);
  }
  void allocate(Event const& event) {
    make_room(event);
    CallKind const kind = event.tag == RecordTag::kCalloc    ? CallKind::kCalloc
                          : event.tag == RecordTag::kAligned ? CallKind::kAligned
                                                             : CallKind::kMalloc;
    auto const log2 = static_cast<std::uint8_t>(kind == CallKind::kAligned ? alignment_log2(event.alignment) : 0);
    live_[event.address] = trace_.blocks;
    trace_.calls.push_back({kind, log2, thread(event), trace_.blocks++, event.bytes});
  }
  void free(Event const& event) {
    auto const found = live_.find(event.address);
    if (found == live_.end()) return;
    trace_.calls.push_back({CallKind::kFree, 0, thread(event), found->second, 0});
    live_.erase(found);
  }
  void begin_realloc(Event const& event) {
    if (auto const old = live_.extract(event.address)) moving_[event.begun] = old.mapped();
  }
  void end_realloc(Event const& event) {
    auto const moved = moving_.extract(event.begun);
    if (!moved) return allocate(event);
    make_room(event);
    live_[event.address] = moved.mapped();
    trace_.calls.push_back({CallKind::kRealloc, 0, thread(event), moved.mapped(), event.bytes});
  }

  Trace trace_;
  std::unordered_map<std::uint64_t, std::uint32_t> live_;    // address -> block
  std::unordered_map<std::uint64_t, std::uint32_t> moving_;  // ticket of a realloc -> block
  std::unordered_map<std::uint32_t, std::uint32_t> threads_;
};

Trace trace_of(Image& image) {
  std::stable_sort(image.events.begin(), image.events.end(),
                   [](Event const& left, Event const& right) { return left.ticket < right.ticket; });
  TraceBuilder builder;
  for (Event const& event : image.events) builder.add(event);
  Trace trace = builder.finish();
  trace.program = image.summary.program;
  return trace;
}

std::vector<Image> read_images(std::string const& bytes) {
  std::map<std::uint32_t, Image> by_number;
  for (std::size_t at = kChunkBytes; at + kChunkBytes <= bytes.size(); at += kChunkBytes) {
    std::uint32_t number = 0;
    std::memcpy(&number, bytes.data() + at, sizeof number);
    if (number != 0) read_chunk(std::string_view(bytes).substr(at, kChunkBytes), by_number[number]);
  }
  std::vector<Image> images;
  for (auto& [number, image] : by_number) images.push_back(std::move(image));
  std::stable_sort(images.begin(), images.end(),
                   [](Image const& left, Image const& right) { return left.summary.calls > right.summary.calls; });
  return images;
}

}  // namespace

ReadRecording read_recording(std::string const& path, std::string const& program) {
  std::ifstream file(path, std::ios::binary);
  std::string const bytes(std::istreambuf_iterator<char>(file), {});
  auto const* const head = reinterpret_cast<RecordingHead const*>(bytes.data());
  if (bytes.size() < kChunkBytes || std::memcmp(head->magic, kRecordingMagic, sizeof kRecordingMagic) != 0)
    throw std::runtime_error(path + ": not a recording");
  std::vector<Image> images = read_images(bytes);
  ReadRecording result;
  result.failure = head->failure.load();
  for (Image const& image : images) result.images.push_back(image.summary);
  auto const chosen = std::find_if(images.begin(), images.end(), [&](Image const& image) {
    return program.empty() || image.summary.program == program;
  });
  if (chosen == images.end()) {
    if (result.failure != 0)
      throw std::runtime_error(std::string("recording failed: ") + std::strerror(result.failure));
    throw std::runtime_error(program.empty()
                                 ? "no allocation call was recorded: the program does not use the C library's"
                                 : "no program called " + program + " was recorded");
  }
  result.trace = trace_of(*chosen);
  result.trace.whole = result.failure == 0 && head->tickets.load() <= head->limit;
  return result;
}

}  // namespace hakmem::tools
