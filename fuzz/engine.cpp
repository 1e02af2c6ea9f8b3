// What it owns: the entry points of libFuzzer and of engines that know them (AFL++, OSS-Fuzz), and the mutator of
// inputs that are records: it inserts, removes, repeats, swaps and changes whole records, so that what is cut from one
// input means the same in another. HAKMEM_FUZZ_SEEDED=N plants seeded bug N, which the engine must then find.
// Thread-safety: the engine's.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "fuzz/surface.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t bytes, std::size_t most);

namespace hakmem::fuzz {
namespace {

constexpr std::size_t kRecord = 8;

class Mutator {
 public:
  // More bytes than `most` may come: a crash is minimised so.
  Mutator(std::uint8_t* data, std::size_t bytes, std::size_t most, unsigned seed)
      : data_(data), records_(std::min(bytes, most) / kRecord), most_(most / kRecord), random_(seed) {}

  // Returns the new number of bytes. Domain: room for a record.
  std::size_t run() {
    switch (records_ == 0 ? 0 : below(7)) {
      case 0:
        insert();
        break;
      case 1:
        remove();
        break;
      case 2:
        fill(below(records_));
        break;
      case 3:
        repeat();
        break;
      case 4:
        swap();
        break;
      case 5:
        at(below(records_))[below(kRecord)] ^= static_cast<std::uint8_t>(1u << below(8));
        break;
      default:
        return std::max(kRecord, LLVMFuzzerMutate(data_, records_ * kRecord, most_ * kRecord) / kRecord * kRecord);
    }
    return records_ * kRecord;
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }
  std::uint8_t* at(std::size_t record) { return data_ + record * kRecord; }
  void fill(std::size_t record) {
    for (std::size_t i = 0; i < kRecord; ++i) at(record)[i] = static_cast<std::uint8_t>(random_());
  }
  void insert() {
    if (records_ == most_) return fill(below(records_));
    std::size_t const where = below(records_ + 1);
    std::memmove(at(where) + kRecord, at(where), (records_ - where) * kRecord);
    ++records_;
    fill(where);
  }
  void remove() {
    std::size_t const where = below(records_), count = 1 + below(std::min<std::size_t>(records_ - where, 4));
    std::memmove(at(where), at(where + count), (records_ - where - count) * kRecord);
    records_ -= count;
  }
  void repeat() {
    std::size_t const from = below(records_);
    std::size_t const count = std::min(1 + below(records_ - from), most_ - records_);
    std::memcpy(at(records_), at(from), count * kRecord);
    records_ += count;
  }
  void swap() {
    std::size_t const left = below(records_), right = below(records_);
    if (left != right) std::swap_ranges(at(left), at(left) + kRecord, at(right));
  }

  std::uint8_t* const data_;
  std::size_t records_;
  std::size_t const most_;
  std::minstd_rand random_;
};

unsigned seeded = 0;

// Ends the program with a line when the surface has no such bug.
unsigned chosen_bug() {
  char const* const text = std::getenv("HAKMEM_FUZZ_SEEDED");
  if (!text) return 0;
  unsigned number = 0;
  auto const [end, error] = std::from_chars(text, text + std::strlen(text), number);
  if (error == std::errc{} && *end == '\0' && number >= 1 && number <= surface.seeded_bugs) return number;
  std::fprintf(stderr, "fuzz_%s: HAKMEM_FUZZ_SEEDED is \"%s\", must be 1 to %u\n", surface.name, text,
               surface.seeded_bugs);
  std::exit(2);
}

}  // namespace
}  // namespace hakmem::fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t bytes, std::size_t most, unsigned seed) {
  if (!hakmem::fuzz::surface.records || most < hakmem::fuzz::kRecord) return LLVMFuzzerMutate(data, bytes, most);
  return hakmem::fuzz::Mutator(data, bytes, most, seed).run();
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  hakmem::fuzz::seeded = hakmem::fuzz::chosen_bug();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t bytes) {
  try {
    hakmem::fuzz::surface.check({data, bytes}, hakmem::fuzz::seeded);
  } catch (hakmem::testing::Violation const& violation) {
    std::fprintf(stderr, "violation: %s\n", violation.what());
    std::abort();
  }
  return 0;
}
