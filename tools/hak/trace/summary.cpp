#include "tools/hak/trace/summary.h"

#include <algorithm>
#include <bit>
#include <map>
#include <sstream>

namespace hakmem::tools {
namespace {

// The live blocks and bytes as the calls go by.
class Live {
 public:
  explicit Live(Trace const& trace) : bytes_of_(trace.blocks, 0) {}
  void add(Call const& call) {
    blocks_ += call.allocates() ? 1u : 0u;
    blocks_ -= call.kind == CallKind::kFree ? 1u : 0u;
    bytes_ += call.bytes - bytes_of_[call.block];
    bytes_of_[call.block] = call.bytes;
    peak_bytes_ = std::max(peak_bytes_, bytes_);
    peak_blocks_ = std::max(peak_blocks_, blocks_);
  }
  nlohmann::json peak() const { return {{"blocks", peak_blocks_}, {"bytes", peak_bytes_}}; }
  nlohmann::json at_end() const { return {{"blocks", blocks_}, {"bytes", bytes_}}; }

 private:
  std::vector<std::uint64_t> bytes_of_;
  std::uint64_t blocks_ = 0, bytes_ = 0, peak_blocks_ = 0, peak_bytes_ = 0;
};

// Requests by the power of two that they are rounded up to.
nlohmann::json sizes_of(Trace const& trace) {
  std::map<std::uint64_t, std::uint64_t> counts;
  for (Call const& call : trace.calls)
    if (call.kind != CallKind::kFree) ++counts[call.bytes > 1u << 31 ? call.bytes : std::bit_ceil(call.bytes)];
  nlohmann::json rows = nlohmann::json::array();
  for (auto const& [most, count] : counts) rows.push_back({{"up_to_bytes", most}, {"requests", count}});
  return rows;
}

}  // namespace

nlohmann::json summary_of(Trace const& trace) {
  std::uint64_t kinds[kCallKinds] = {}, by_another_thread = 0;
  std::vector<std::uint32_t> owner(trace.blocks, 0);
  Live live(trace);
  for (Call const& call : trace.calls) {
    ++kinds[static_cast<unsigned>(call.kind)];
    if (call.allocates()) owner[call.block] = call.thread;
    by_another_thread += call.kind == CallKind::kFree && owner[call.block] != call.thread ? 1u : 0u;
    live.add(call);
  }
  nlohmann::json calls = nlohmann::json::object();
  for (unsigned kind = 0; kind < kCallKinds; ++kind) calls[name_of(static_cast<CallKind>(kind))] = kinds[kind];
  return {{"program", trace.program},
          {"whole", trace.whole},
          {"calls", trace.calls.size()},
          {"threads", trace.threads},
          {"by_kind", calls},
          {"freed_by_another_thread", by_another_thread},
          {"peak", live.peak()},
          {"live_at_end", live.at_end()},
          {"sizes", sizes_of(trace)}};
}

std::string summary_text(nlohmann::json const& summary) {
  std::ostringstream out;
  out << summary["program"].get<std::string>() << ": " << summary["calls"] << " calls by " << summary["threads"]
      << (summary["threads"] == 1 ? " thread" : " threads") << (summary["whole"] ? "" : ", not all it made") << '\n';
  for (auto const& [kind, count] : summary["by_kind"].items()) out << "  " << kind << ' ' << count << '\n';
  out << "  freed by another thread " << summary["freed_by_another_thread"] << '\n';
  for (char const* const when : {"peak", "live_at_end"})
    out << "  " << (when == std::string("peak") ? "live at the peak " : "live at the end ") << summary[when]["blocks"]
        << " blocks, " << summary[when]["bytes"] << " bytes\n";
  for (nlohmann::json const& row : summary["sizes"])
    out << "  up to " << row["up_to_bytes"] << " bytes: " << row["requests"] << " requests\n";
  return out.str();
}

}  // namespace hakmem::tools
