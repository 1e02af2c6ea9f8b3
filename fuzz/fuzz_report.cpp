// The report writer on hostile input: any evidence, and a module whose path, ELF image and symbols are the input's.
// Oracles: the first line names the kind and holds no address; the JSON is JSON; reading the image stays inside it.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "fuzz/surface.h"
#include "hardened/report.h"
#include "hardened/seal.h"
#include "hardened/stacks.h"
#include "hardened/symbols.h"

namespace hakmem::fuzz {
namespace {

using testing::require;

constexpr unsigned kKinds = 9;
constexpr std::size_t kImageBytes = 4096;

// A file that only this process has.
class MemoryFile {
 public:
  explicit MemoryFile(char const* name) : descriptor_(memfd_create(name, 0)) {
    require(descriptor_ >= 0, "the system has a file for the test");
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(MemoryFile const&) = delete;
  MemoryFile& operator=(MemoryFile const&) = delete;
  int descriptor() const { return descriptor_; }

 private:
  int const descriptor_;
};

// Takes numbers and texts off the front of an input; zero where there is none.
class Reader {
 public:
  explicit Reader(Input input) : rest_(input) {}
  std::uint64_t number() {
    std::uint64_t value = 0;
    Input const bytes = take(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  Input take(std::size_t bytes) {
    Input const front = rest_.first(std::min(bytes, rest_.size()));
    rest_ = rest_.subspan(front.size());
    return front;
  }
  Input rest() const { return rest_; }

 private:
  Input rest_;
};

// The input's bytes as a mapped module, whose path holds any characters of ASCII.
class Module {
 public:
  explicit Module(Reader& reader) : file_(name_from(reader.take(1 + reader.number() % 64)).c_str()) {
    require(ftruncate(file_.descriptor(), kImageBytes) == 0, "the image has a file");
    start_ = mmap(nullptr, kImageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.descriptor(), 0);
    require(start_ != MAP_FAILED, "the image is mapped");
    Input const image = reader.rest();
    std::memcpy(start_, image.data(), std::min(image.size(), kImageBytes));
  }
  ~Module() { munmap(start_, kImageBytes); }
  Module(Module const&) = delete;
  Module& operator=(Module const&) = delete;
  int file() const { return file_.descriptor(); }
  std::byte* start() const { return static_cast<std::byte*>(start_); }

 private:
  static std::string name_from(Input bytes) {
    std::string name;
    for (std::uint8_t const byte : bytes)
      if (byte % 128 != 0 && byte % 128 != '/') name += static_cast<char>(byte % 128);
    return name;
  }
  MemoryFile file_;
  void* start_;
};

// The image as the file of a module: any function may be named, in bytes that print, and the answer is the same twice.
void check_symbols(Module const& module, std::uint64_t offset) {
  std::string told[2];
  for (std::string& each : told) {
    char buffer[512];
    hardened::Text text(buffer, sizeof buffer);
    hardened::write_symbol(text, module.file(), offset, hardened::CodeAddress::kReturn);
    each.assign(text.data(), text.size());
  }
  require(told[0] == told[1], "a file that stays names two functions");
  require(told[0].empty() || told[0].starts_with(" in "), "a symbol is told in another form");
  for (char const character : told[0]) require(character >= ' ' && character <= '~', "a symbol does not print");
}

struct Outcome {
  std::string kind, text, file;
};

Outcome reported(hardened::Evidence const& evidence) {
  static MemoryFile const file("report");
  static std::string const path = "/proc/self/fd/" + std::to_string(file.descriptor());
  Settings settings;
  settings.report_format = ReportFormat::kBoth;
  settings.report_file = path.c_str();
  hardened::start_reports(settings);
  Outcome outcome;
  hardened::set_report_callback(
      [](void* context, char const* kind, char const* text, std::size_t bytes) {
        *static_cast<Outcome*>(context) = {kind, std::string(text, bytes), {}};
      },
      &outcome);
  require(ftruncate(file.descriptor(), 0) == 0, "the report's file is empty");
  hardened::report_only(evidence);
  hardened::set_report_callback(nullptr, nullptr);
  char buffer[40000];
  ssize_t const bytes = pread(file.descriptor(), buffer, sizeof buffer, 0);
  outcome.file.assign(buffer, static_cast<std::size_t>(std::max<ssize_t>(bytes, 0)));
  return outcome;
}

hardened::Evidence evidence_from(Reader& reader, BlockRecord& record, std::byte* somewhere) {
  hardened::Evidence evidence{static_cast<hardened::ErrorKind>(reader.number() % kKinds), "free()"};
  std::uint64_t const choice = reader.number();
  evidence.address = (choice & 1) != 0 ? reinterpret_cast<void*>(reader.number()) : somewhere + reader.number() % 64;
  evidence.place.where = static_cast<BlockPlace::Where>(choice / 2 % 4);
  evidence.place.start = somewhere;
  std::size_t const slack = reader.number() >> 20;
  if ((choice & 8) != 0) evidence.place.record = &record;
  evidence.record = reader.number();
  evidence.place.bytes = hardened::Facts::from(evidence.record).bytes + slack;  // as the heap keeps it
  evidence.trace = reader.number();
  evidence.damaged = reader.number();
  evidence.claim = {static_cast<AllocationKind>(choice / 16 % 5), reader.number(), reader.number()};
  if ((choice & 256) != 0) evidence.access = "write";
  return evidence;
}

// Seeded: 1 the JSON is cut; 2 another kind is told.
void check(Input input, unsigned seeded) {
  static bool const started = (hardened::start_stacks(4), true);
  static_cast<void>(started);
  Reader reader(input);
  alignas(16) std::byte memory[256] = {};
  BlockRecord record;
  hardened::Evidence evidence = evidence_from(reader, record, memory + 64);
  Module const module(reader);
  evidence.pc = module.start() + 16;
  evidence.frame = memory;  // no frame: the walk ends at the pc

  check_symbols(module, evidence.damaged % kImageBytes);

  Outcome outcome = reported(evidence);
  if (seeded == 1) outcome.file.resize(outcome.file.size() - 3);
  if (seeded == 2) outcome.kind = "another";
  require(outcome.text.starts_with("hakmem: " + outcome.kind + ": "), "the first line does not name the kind");
  require(outcome.kind == hardened::name_of(evidence.kind), "another kind was told");
  std::size_t const first_line = outcome.text.find('\n');
  require(first_line != std::string::npos, "the first line does not end");
  require(outcome.text.substr(0, first_line).find("0x") == std::string::npos, "the first line holds an address");
  std::size_t const json = outcome.file.find("\n{\"tool\"");
  require(json != std::string::npos && nlohmann::json::accept(outcome.file.substr(json)), "the JSON is not JSON");
  for (char const character : outcome.text)
    require(character == '\n' || (character >= ' ' && character <= '~'), "the report has bytes that do not print");
}

std::string print(Input input) {
  Reader reader(input);
  BlockRecord record;
  hardened::Evidence const evidence = evidence_from(reader, record, nullptr);
  return std::string("// ") + hardened::name_of(evidence.kind) + ", state word " + std::to_string(evidence.record) +
         ", block of " + std::to_string(evidence.place.bytes) + " bytes, module image of " +
         std::to_string(reader.rest().size()) + " bytes\n";
}

}  // namespace

Surface const surface{"report", false, &check, 2, &print};

}  // namespace hakmem::fuzz
