#include "bench/harness/output.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "bench/compare/child.h"

namespace hakmem::bench {

namespace fs = std::filesystem;

std::string this_program() { return fs::canonical("/proc/self/exe").string(); }

void require_writable(std::string const& path) {
  if (!path.empty() && !std::ofstream(path, std::ios::app)) throw std::runtime_error("cannot write " + path);
}

void write_json(std::string const& path, nlohmann::json const& document) {
  std::ofstream file(path);
  file << document.dump(1) << "\n";
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

void write_png(std::string const& path, nlohmann::json const& document, std::string const& script) {
  fs::path const json = path + ".json.tmp";
  write_json(json, document);
  ChildResult const plot = run_child({fs::path(this_program()).parent_path() / script, json.string(), path}, "");
  fs::remove(json);
  if (!plot.failure.empty()) throw std::runtime_error("cannot draw " + path + ": " + plot.failure);
}

}  // namespace hakmem::bench
