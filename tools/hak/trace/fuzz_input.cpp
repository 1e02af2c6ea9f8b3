#include "tools/hak/trace/fuzz_input.h"

#include <bit>
#include <unordered_map>
#include <vector>

#include "property_tests/model/record.h"

namespace hakmem::tools {
namespace {

using testing::Record;

constexpr unsigned kThreads = 4;  // those of the reference model

class Converter {
 public:
  void add(Call const& call) {
    unsigned const thread = call.thread % kThreads;
    auto const slot = call.allocates() ? take_slot(call.block) : slots_.find(call.block);
    if (slot == slots_.end()) return;
    records_.push_back(record_of(call, thread, slot->second));
    if (call.kind != CallKind::kFree) return;
    taken_ &= ~(std::uint64_t{1} << slot->second);
    slots_.erase(slot);
  }
  std::vector<Record> const& records() const { return records_; }

 private:
  using Slots = std::unordered_map<std::uint32_t, unsigned>;  // of live blocks

  Slots::iterator take_slot(std::uint32_t block) {
    if (~taken_ == 0) return slots_.end();
    auto const slot = static_cast<unsigned>(std::countr_one(taken_));
    taken_ |= std::uint64_t{1} << slot;
    return slots_.emplace(block, slot).first;
  }
  static Record record_of(Call const& call, unsigned thread, unsigned slot) {
    switch (call.kind) {
      case CallKind::kMalloc:
        return testing::encode_malloc(thread, slot, call.bytes);
      case CallKind::kCalloc:
        return testing::encode_calloc(thread, slot, call.bytes);
      case CallKind::kAligned:
        return testing::encode_aligned(thread, slot, call.bytes, std::size_t{1} << call.alignment_log2);
      case CallKind::kRealloc:
        return testing::encode_realloc(thread, slot, call.bytes);
      case CallKind::kFree:
        break;
    }
    return testing::encode_free(thread, slot);
  }

  std::vector<Record> records_;
  Slots slots_;
  std::uint64_t taken_ = 0;  // a bit for each slot of the reference model
};

}  // namespace

std::string fuzz_input_of(Trace const& trace, FuzzPart const& part) {
  Converter converter;
  for (std::size_t i = part.skip; i < trace.calls.size() && converter.records().size() < part.most_records; ++i)
    converter.add(trace.calls[i]);
  // Full geometry, the real system, all options at their first choice.
  Record const subject{.kind = static_cast<std::uint8_t>(part.hardened ? 3 : 2)};
  std::string input(reinterpret_cast<char const*>(&subject), sizeof subject);
  for (Record const& record : converter.records()) input.append(reinterpret_cast<char const*>(&record), sizeof record);
  return input;
}

}  // namespace hakmem::tools
