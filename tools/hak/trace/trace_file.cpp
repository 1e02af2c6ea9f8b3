#include "tools/hak/trace/trace_file.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "tools/hak/trace/varint.h"

namespace hakmem::tools {
namespace {

constexpr std::string_view kMagic = "hak-trace";
constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kKindBits = 7, kOtherThread = 8;
constexpr std::uint8_t kMostAlignmentLog2 = 40;
constexpr std::uint64_t kMostThreads = 1u << 20;

// The numbers that live blocks have in a file: that of the block freed last first.
class Slots {
 public:
  std::uint32_t take(std::uint32_t block) {
    if (free_.empty()) {
      blocks_.push_back(block);
      return static_cast<std::uint32_t>(blocks_.size() - 1);
    }
    std::uint32_t const slot = free_.back();
    free_.pop_back();
    blocks_[slot] = block;
    return slot;
  }
  void give_back(std::uint32_t slot) {
    blocks_[slot] = kNone;
    free_.push_back(slot);
  }
  std::uint32_t block_in(std::uint64_t slot) const {
    if (slot >= blocks_.size() || blocks_[slot] == kNone) throw std::runtime_error("it uses a block that is not live");
    return blocks_[slot];
  }

 private:
  static constexpr std::uint32_t kNone = ~0u;
  std::vector<std::uint32_t> blocks_, free_;
};

void decode_call(ByteReader& reader, Slots& slots, Trace& trace, Call& call) {
  std::uint8_t const first = reader.byte();
  if ((first & kKindBits) >= kCallKinds || first > (kKindBits | kOtherThread))
    throw std::runtime_error("it has a call of no known kind");
  call.kind = static_cast<CallKind>(first & kKindBits);
  if ((first & kOtherThread) != 0) {
    std::uint64_t const thread = reader.number();
    if (thread >= kMostThreads) throw std::runtime_error("it has a thread of too high a number");
    call.thread = static_cast<std::uint32_t>(thread);
  }
  trace.threads = std::max(trace.threads, call.thread + 1);
  call.alignment_log2 = call.kind == CallKind::kAligned ? reader.byte() : std::uint8_t{0};
  if (call.alignment_log2 > kMostAlignmentLog2) throw std::runtime_error("it has an alignment out of range");
  std::uint64_t const slot = call.allocates() ? 0 : reader.number();
  call.bytes = call.kind == CallKind::kFree ? 0 : reader.number();
  call.block = call.allocates() ? trace.blocks++ : slots.block_in(slot);
  if (call.allocates()) slots.take(call.block);
  if (call.kind == CallKind::kFree) slots.give_back(static_cast<std::uint32_t>(slot));
}

}  // namespace

char const* name_of(CallKind kind) {
  constexpr char const* kNames[kCallKinds] = {"malloc", "calloc", "aligned_alloc", "realloc", "free"};
  return kNames[static_cast<unsigned>(kind)];
}

void Trace::validate() const {
  std::vector<char> live(blocks, 0);
  std::uint32_t next = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Call const& call = calls[i];
    bool const right =
        call.thread < threads && (call.allocates() ? call.block == next : call.block < next && live[call.block]);
    if (!right || next > blocks) throw std::runtime_error("call " + std::to_string(i) + " is of no live block");
    if (call.allocates()) ++next;
    live[call.block] = call.kind != CallKind::kFree;
  }
}

std::string encode(Trace const& trace) {
  std::string bytes(kMagic);
  bytes += static_cast<char>(kVersion);
  bytes += static_cast<char>(trace.whole);
  append_number(bytes, trace.program.size());
  bytes += trace.program;
  append_number(bytes, trace.calls.size());
  Slots slots;
  std::vector<std::uint32_t> slot_of(trace.blocks);
  std::uint32_t thread = 0;
  for (Call const& call : trace.calls) {
    bytes += static_cast<char>(static_cast<std::uint8_t>(call.kind) | (call.thread != thread ? kOtherThread : 0));
    if (call.thread != thread) append_number(bytes, thread = call.thread);
    if (call.kind == CallKind::kAligned) bytes += static_cast<char>(call.alignment_log2);
    if (!call.allocates()) append_number(bytes, slot_of[call.block]);
    if (call.kind != CallKind::kFree) append_number(bytes, call.bytes);
    if (call.allocates()) slot_of[call.block] = slots.take(call.block);
    if (call.kind == CallKind::kFree) slots.give_back(slot_of[call.block]);
  }
  return bytes;
}

Trace decode(std::string const& bytes) {
  ByteReader reader(bytes);
  if (!bytes.starts_with(kMagic)) throw std::runtime_error("it is not a trace");
  reader.take(kMagic.size());
  if (unsigned const version = reader.byte(); version != kVersion)
    throw std::runtime_error("it has format version " + std::to_string(version) + "; this program knows " +
                             std::to_string(kVersion));
  Trace trace;
  trace.whole = reader.byte() != 0;
  trace.program = reader.take(reader.number());
  std::uint64_t const count = reader.number();
  if (count > bytes.size()) throw std::runtime_error("it ends in the middle");
  trace.calls.reserve(count);
  Slots slots;
  Call call;
  for (std::uint64_t i = 0; i < count; ++i) {
    decode_call(reader, slots, trace, call);
    trace.calls.push_back(call);
  }
  if (!reader.at_end()) throw std::runtime_error("it goes on behind its last call");
  return trace;
}

Trace read_trace(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": " + std::strerror(errno));
  try {
    return decode({std::istreambuf_iterator<char>(file), {}});
  } catch (std::runtime_error const& error) {
    throw std::runtime_error(path + ": " + error.what());
  }
}

void write_trace(std::string const& path, Trace const& trace) {
  std::string const bytes = encode(trace);
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw std::runtime_error(path + ": " + std::strerror(errno));
}

}  // namespace hakmem::tools
