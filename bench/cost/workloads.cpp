#include "bench/cost/workloads.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/compare/child.h"
#include "bench/compare/run_once.h"
#include "bench/harness/output.h"

namespace hakmem::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char const* kSqlite =
    "/usr/bin/sqlite3 :memory: \"create table t(a integer primary key, b text); "
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 150000) "
    "insert into t select i, hex(i * 7919) || printf('%0*d', i % 200, i) from n; "
    "create index x on t(b); select count(distinct substr(b, 1, 5)), sum(length(b)) from t; "
    "select b, count(*) from t group by substr(b, 1, 3) order by 2 desc limit 3;\" > /dev/null";

constexpr char const* kPython =
    "PYTHONMALLOC=malloc /usr/bin/python3 -S -c \""
    "words = {}\n"
    "for i in range(400000): words.setdefault(str(i * 7919 % 5003), []).append((i, str(i)))\n"
    "assert sum(len(v) for v in words.values()) == 400000\"";

// The server alone runs on the allocator; prints its highest resident size, then requests and their rate.
constexpr char const* kRedis =
    "preload=$LD_PRELOAD; unset LD_PRELOAD; d=$(mktemp -d) || exit 1\n"
    "env ${preload:+LD_PRELOAD=$preload} /usr/bin/redis-server --port 0 --unixsocket $d/s --save '' --dir $d "
    "--logfile $d/log & server=$!\n"
    "for i in 1 2 3 4 5 6 7 8 9 10; do /usr/bin/redis-cli -s $d/s ping > /dev/null 2>&1 && break; sleep 0.2; done\n"
    "/usr/bin/redis-benchmark -s $d/s --csv -n 60000 -c 20 -P 16 -r 20000 -d 200 -t set,get,lpush,sadd,hset,zadd "
    "> $d/out; status=$?\n"
    "sed -n 's/^VmHWM: *\\([0-9]*\\) kB/rss \\1/p' /proc/$server/status\n"
    "tr -d '\"' < $d/out | awk -F, '$2 + 0 > 0 { print \"rate\", $2 }'\n"
    "kill $server; wait $server; rm -r $d; exit $status";

constexpr Workload kWorkloads[] = {
    {"random-mixed, 8192 slots", "random-mixed 10000000 8192 42", nullptr, "", "random-mixed 500000 8192 42"},
    {"random-mixed, 200,000 slots", "random-mixed 6000000 200000 42", nullptr, "", "random-mixed 500000 200000 42"},
    {"two threads, 20 % remote", "random-mixed 8000000 256 42 --threads 2 --remote 20", nullptr, "",
     "random-mixed 500000 256 42 --threads 2 --remote 20"},
    {"sqlite3", nullptr, kSqlite, "/usr/bin/sqlite3"},
    {"python3", nullptr, kPython, "/usr/bin/python3"},
    {"redis", nullptr, kRedis, "/usr/bin/redis-server /usr/bin/redis-benchmark /usr/bin/redis-cli"},
};

std::vector<std::string> words_of(char const* text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

Json scenario_figures(Json const& report) {
  if (report.is_null()) return nullptr;
  return {{"seconds", report.at("warm").at("seconds")}, {"peak_rss_bytes", report.at("peak_rss_bytes")}};
}

// Where the program printed rates, its time is that of one request of each kind.
Json program_figures(ChildResult const& child) {
  constexpr double kKibibyte = 1024;
  Json figures = {{"seconds", child.seconds}, {"peak_rss_bytes", child.peak_rss_bytes}};
  std::istringstream lines(child.output);
  double seconds = 0, kinds = 0, value = 0;
  for (std::string word; lines >> word >> value;) {
    if (word == "rss") figures["peak_rss_bytes"] = value * kKibibyte;
    if (word != "rate") continue;
    seconds += 1 / value;
    ++kinds;
  }
  if (kinds == 0) return figures;
  figures["seconds"] = seconds;
  figures["requests_per_second"] = kinds / seconds;
  return figures;
}

}  // namespace

std::span<Workload const> all_workloads() { return kWorkloads; }

std::string missing_for(Workload const& workload) {
  for (std::string const& file : words_of(workload.needs))
    if (!fs::is_regular_file(file)) return file;
  return "";
}

Json run_workload(Workload const& workload, Candidate const& candidate, std::vector<std::string> const& variables,
                  bool quick, std::string& failure) {
  if (!workload.program) {
    char const* const arguments = quick ? workload.quick : workload.scenario;
    return scenario_figures(run_once(candidate, words_of(arguments), failure, variables));
  }
  ChildResult const child = run_child({"/bin/sh", "-c", workload.program}, candidate.library, variables);
  failure = child.failure;
  return failure.empty() ? program_figures(child) : Json(nullptr);
}

Json instructions_per_pair(Candidate const& candidate, std::vector<std::string> const& variables) {
  constexpr double kPairs = 500'000;  // an operation is one malloc or one free; cold and warm
  constexpr char const* kValgrind = "/usr/bin/valgrind";
  if (!fs::is_regular_file(kValgrind)) return nullptr;
  std::string const profile = fs::temp_directory_path() / ("hak-bench-cost-" + std::to_string(getpid()));
  ChildResult const child = run_child({kValgrind, "--quiet", "--tool=callgrind", "--callgrind-out-file=" + profile,
                                       this_program(), "random-mixed", "500000", "8192", "42"},
                                      candidate.library, variables);
  Json result = nullptr;
  std::ifstream file(profile);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("totals: ")) result = std::stod(line.substr(8)) / kPairs;
  fs::remove(profile);
  return child.failure.empty() ? result : Json(nullptr);
}

}  // namespace hakmem::bench
