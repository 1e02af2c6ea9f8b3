#include "hardened/report.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "core/os/line.h"
#include "core/os/linux.h"
#include "core/os/thread.h"
#include "hardened/failure.h"
#include "hardened/fixed.h"
#include "hardened/modules.h"
#include "hardened/seal.h"
#include "hardened/stacks.h"
#include "hardened/text.h"

namespace hakmem::hardened {
namespace {

// Written by set_report_callback(), read by reports.
constinit std::atomic<ReportCallback> callback{nullptr};
constinit std::atomic<void*> callback_context{nullptr};

// The thread that reports, 0: none. One report at a time, for they share the buffers.
constinit std::atomic<std::uint32_t> reporter{0};
constexpr std::size_t kTextBytes = 16 * 1024;
constinit char text_buffer[kTextBytes];
constinit char json_buffer[kTextBytes];

// Holds the buffers; not, when the report itself failed or the one who holds them does not come
// to an end (a forked child may have been copied in the middle of a report).
class Turn {
 public:
  Turn() noexcept : self_(current_thread_id()) {
    for (unsigned wait = 0; wait < kPatience; ++wait) {
      std::uint32_t nobody = 0;
      if (reporter.compare_exchange_strong(nobody, self_, std::memory_order_acquire)) break;
      if (nobody == self_) {
        again_ = true;
        break;
      }
      Linux::sleep_ms(1);
    }
  }
  // Given up before the callback, which may not return.
  void end() noexcept {
    if (!again_) reporter.store(0, std::memory_order_release);
  }
  bool again() const noexcept { return again_; }

 private:
  static constexpr unsigned kPatience = 2000;
  std::uint32_t const self_;
  bool again_ = false;
};

char const* name_of(AllocationKind kind) noexcept {
  switch (kind) {
    case AllocationKind::kMalloc:
      return "malloc";
    case AllocationKind::kNew:
      return "new";
    case AllocationKind::kNewArray:
      return "new[]";
    case AllocationKind::kAligned:
      return "aligned new";
    case AllocationKind::kAlignedArray:
      return "aligned new[]";
  }
  return "?";
}

void write_block(Text& out, Facts const& facts) noexcept {
  out << (facts.state == BlockState::kLive ? "a " : "a freed ") << facts.bytes << "-byte block from "
      << name_of(facts.kind);
}

// "3 bytes past the end of", "8 bytes inside", "1 byte before" a block.
void write_distance(Text& out, Evidence const& evidence, Facts const& facts) noexcept {
  std::byte const* const start = client_of(evidence.place, facts);
  auto const* const address = static_cast<std::byte const*>(evidence.address);
  if (address < start)
    out.count_of(static_cast<std::uint64_t>(start - address), "byte") << " before ";
  else if (address >= start + facts.bytes)
    out.count_of(static_cast<std::uint64_t>(address - start) - facts.bytes, "byte") << " past the end of ";
  else
    out.count_of(static_cast<std::uint64_t>(address - start), "byte") << " inside ";
  write_block(out, facts);
}

void write_foreign(Text& out, Evidence const& evidence) noexcept {
  if (evidence.place.where == BlockPlace::Where::kBetween)
    out << "an address in the heap where no block is";
  else if (is_on_stack(evidence.address))
    out << "an address on the stack";
  else
    out << "an address that is not in the heap";
}

void write_damage(Text& out, Evidence const& evidence, Facts const& facts) noexcept {
  if (evidence.access) {
    out << evidence.access << ' ';
    if (!evidence.place.is_block()) return write_foreign(out << "at ", evidence);
    return write_distance(out, evidence, facts);
  }
  out << "written ";
  if (evidence.place.is_block())
    write_distance(out, evidence, facts);
  else
    out << "to the link of a free block";
  out << ", found by " << evidence.call;
}

void write_first_line(Text& out, Evidence const& evidence) noexcept {
  Facts const facts = Facts::from(evidence.record);
  out << "hakmem: " << hardened::name_of(evidence.kind) << ": ";
  switch (evidence.kind) {
    case ErrorKind::kDoubleFree:
      out << evidence.call << " of ";
      write_block(out, facts);
      break;
    case ErrorKind::kInvalidFree:
      out << evidence.call << " of ";
      if (!evidence.place.is_block() || facts.state == BlockState::kNever)
        write_foreign(out, evidence);
      else
        write_distance(out << "an address ", evidence, facts);
      break;
    case ErrorKind::kKindMismatch:
      out << evidence.call << " of ";
      write_block(out, facts);
      break;
    case ErrorKind::kSizeMismatch:
      out << evidence.call << " with size " << evidence.claim.bytes << " of ";
      write_block(out, facts);
      break;
    case ErrorKind::kAlignmentMismatch:
      out << evidence.call << " with alignment " << evidence.claim.alignment << " of ";
      write_block(out, facts);
      out << " aligned to " << facts.alignment;
      break;
    case ErrorKind::kUseAfterFree:
      if (!evidence.access && evidence.damaged == 0) {
        out << evidence.call << " of ";
        write_block(out, facts);
        break;
      }
      [[fallthrough]];
    case ErrorKind::kOverflow:
    case ErrorKind::kUnderflow:
      write_damage(out, evidence, facts);
      break;
    case ErrorKind::kBrokenHeap:
      out << "bad " << (evidence.access ? evidence.access : "access")
          << " by the allocator: its own data were overwritten, or it was given a bad pointer";
  }
  out << '\n';
}

// Of frame `i`: all but a faulting instruction are where a call returns to.
CodeAddress kind_of(unsigned i, bool from_fault) noexcept {
  return i == 0 && from_fault ? CodeAddress::kExact : CodeAddress::kReturn;
}

void write_stack(Text& out, char const* title, std::uint32_t thread, Stack const& stack,
                 bool from_fault = false) noexcept {
  out << "  " << title;
  if (thread != 0) out << " by thread " << std::uint64_t{thread};
  out << (stack.count == 0 ? ", no stack kept\n" : ":\n");
  for (unsigned i = 0; i < stack.count; ++i) {
    out << "    #" << std::uint64_t{i} << ' ' << stack.frames[i] << ' ';
    write_code_address(out, stack.frames[i], kind_of(i, from_fault));
    out << '\n';
  }
}

Stack current_stack(Evidence const& evidence) noexcept {
  Stack stack = walk_stack(evidence.frame, Stack::kMaxFrames - 1);
  if (!evidence.pc) return stack;
  for (unsigned i = stack.count++; i > 0; --i) stack.frames[i] = stack.frames[i - 1];
  stack.frames[0] = evidence.pc;
  return stack;
}

void write_details(Text& out, Evidence const& evidence) noexcept {
  Facts const facts = Facts::from(evidence.record);
  out << "  address " << evidence.address;
  if (evidence.damaged != 0) (out << ", ").count_of(evidence.damaged, "byte") << " changed";
  if (evidence.place.is_block() && facts.state != BlockState::kNever) {
    std::byte const* const start = client_of(evidence.place, facts);
    out << ", block " << start << " to " << start + facts.bytes << " of " << facts.bytes << " bytes";
  }
  out << '\n';
  if (FailureCounts const counts = failure_counts(); counts.refused != 0) {
    out << "  after ";
    out.count_of(counts.refused, "refused request") << " of " << counts.requests << "; repeat with ";
    out << failure_token() << '\n';
  }
  write_stack(out, evidence.access ? "accessed" : "found", thread_number(), current_stack(evidence),
              evidence.pc != nullptr);
  if (!evidence.place.is_block() || facts.state == BlockState::kNever) return;
  Trace const trace = Trace::from(evidence.trace);
  write_stack(out, "allocated", trace.allocating_thread, recall_stack(trace.allocated_by));
  if (facts.state != BlockState::kLive) write_stack(out, "freed", trace.freeing_thread, recall_stack(trace.freed_by));
}

// A path, an offset, a build-id and a function.
constexpr std::size_t kPlaceBytes = 1024;

void write_json_stack(Text& out, char const* name, Stack const& stack, bool from_fault = false) noexcept {
  out << ",\"" << name << "\":[";
  for (unsigned i = 0; i < stack.count; ++i) {
    char place[kPlaceBytes];
    Text text(place, sizeof place);
    write_code_address(text, stack.frames[i], kind_of(i, from_fault));
    out << (i == 0 ? "\"" : ",\"");
    out.quoted(text.data(), text.size()) << '"';
  }
  out << ']';
}

void write_json(Text& out, Evidence const& evidence, char const* message, std::size_t bytes) noexcept {
  Facts const facts = Facts::from(evidence.record);
  Trace const trace = Trace::from(evidence.trace);
  out << "{\"tool\":\"hakmem\",\"kind\":\"" << hardened::name_of(evidence.kind) << "\",\"message\":\"";
  out.quoted(message, bytes) << "\",\"address\":\"" << evidence.address << '"';
  if (evidence.place.is_block() && facts.state != BlockState::kNever) {
    out << ",\"block\":\"" << client_of(evidence.place, facts) << "\",\"size\":" << facts.bytes;
    out << ",\"allocating_thread\":" << std::uint64_t{trace.allocating_thread};
    out << ",\"freeing_thread\":" << std::uint64_t{trace.freeing_thread};
  }
  if (failure_counts().refused != 0) out << ",\"repeat_with\":\"" << failure_token() << '"';
  out << ",\"thread\":" << std::uint64_t{thread_number()};
  write_json_stack(out, "stack", current_stack(evidence), evidence.pc != nullptr);
  write_json_stack(out, "allocated", recall_stack(trace.allocated_by));
  if (facts.state != BlockState::kLive) write_json_stack(out, "freed", recall_stack(trace.freed_by));
  out << "}\n";
}

void deliver(Text const& text) noexcept {
  int descriptor = *fixed.report_file ? Linux::open_to_append(fixed.report_file) : -1;
  bool const own = descriptor >= 0;
  if (!own) descriptor = kStandardError;
  Linux::write(descriptor, text.data(), text.size());
  if (own) Linux::close(descriptor);
}

}  // namespace

char const* name_of(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kDoubleFree:
      return "double-free";
    case ErrorKind::kInvalidFree:
      return "invalid-free";
    case ErrorKind::kKindMismatch:
      return "kind-mismatch";
    case ErrorKind::kSizeMismatch:
      return "size-mismatch";
    case ErrorKind::kAlignmentMismatch:
      return "alignment-mismatch";
    case ErrorKind::kOverflow:
      return "overflow";
    case ErrorKind::kUnderflow:
      return "underflow";
    case ErrorKind::kUseAfterFree:
      return "use-after-free";
    case ErrorKind::kBrokenHeap:
      return "broken-heap";
  }
  return "?";
}

void start_reports(Settings const& settings) noexcept {
  fixed.on_error = settings.on_error;
  fixed.report_format = settings.report_format;
  fixed.symbolize = settings.symbolize;
  // Copied, for the environment can be written to. What is longer cannot be opened either.
  std::string_view const file = settings.report_file ? settings.report_file : "";
  std::size_t const length = file.size() < sizeof fixed.report_file ? file.size() : 0;
  std::memcpy(fixed.report_file, file.data(), length);
  fixed.report_file[length] = '\0';
}

void set_report_callback(ReportCallback function, void* context) noexcept {
  callback_context.store(context, std::memory_order_relaxed);
  callback.store(function, std::memory_order_release);
}

void report_only(Evidence const& evidence) noexcept {
  Turn turn;
  if (turn.again()) {
    Line().text("hakmem: another error while reporting one").write_to<Linux>(kStandardError);
    return;
  }
  Text text(text_buffer, kTextBytes);
  write_first_line(text, evidence);
  std::size_t const first_line = text.size() - 1;
  if (fixed.report_format != ReportFormat::kJson) write_details(text, evidence);
  if (fixed.report_format != ReportFormat::kJson) deliver(text);
  if (fixed.report_format != ReportFormat::kText) {
    Text json(json_buffer, kTextBytes);
    write_json(json, evidence, text.data(), first_line);
    deliver(json);
  }
  turn.end();
  if (ReportCallback const function = callback.load(std::memory_order_acquire))
    function(callback_context.load(std::memory_order_relaxed), name_of(evidence.kind), text.data(), text.size());
}

void report(Evidence const& evidence) noexcept {
  report_only(evidence);
  switch (fixed.on_error.choice) {
    case ErrorAction::kAbort:
      std::abort();
    case ErrorAction::kContinue:
      return;
    case ErrorAction::kExit:
      Linux::exit_now(static_cast<int>(fixed.on_error.number));
  }
}

}  // namespace hakmem::hardened
