#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "tools/hak/trace/workers.h"

namespace hakmem::tools {
namespace {

constexpr std::size_t kPageBytes = 4096;  // the smallest there is: no page is left out

void* perform_and_touch(Call const& call, void* address) {
  void* const block = perform_call(call, address);
  require_memory(call, block);
  for (std::size_t at = 0; at < call.bytes; at += kPageBytes) static_cast<char volatile*>(block)[at] = 1;
  return block;
}

std::uint64_t status_kib(std::string const& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ":")) return std::stoull(line.substr(field.size() + 1));
  return 0;
}

}  // namespace

ReplayTiming time_replay(Trace const& trace, unsigned repetitions) {
  Workers workers(trace);
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak is what is resident now
  std::uint64_t const before = status_kib("VmRSS");
  std::vector<double> rates;
  for (unsigned i = 0; i < repetitions; ++i) {
    auto const start = std::chrono::steady_clock::now();
    workers.run(perform_and_touch);
    std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - start;
    rates.push_back(static_cast<double>(trace.calls.size()) / seconds.count());
    workers.each_live([](std::uint32_t, void* block) { std::free(block); });
  }
  std::uint64_t const peak = status_kib("VmHWM");
  std::sort(rates.begin(), rates.end());
  return {rates[rates.size() / 2], peak > before ? peak - before : 0};
}

}  // namespace hakmem::tools
