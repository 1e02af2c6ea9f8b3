// What it owns: inputs that are programs of the operation language: the subject first, then the operations.
// Thread-safety: none.
#pragma once

#include <string>
#include <vector>

#include "fuzz/surface.h"
#include "property_tests/model/operation.h"

namespace hakmem::fuzz {

struct Program {
  testing::SubjectKind kind;
  std::vector<testing::Operation> operations;
};

// Operations beyond this many are left out: an input stays below a second.
inline constexpr std::size_t kMostOperations = 2000;

inline Program program_of(Input input) {
  Program program;
  std::vector<testing::Record> const records = testing::records_of(input);
  if (records.empty()) return program;
  program.kind = testing::decode_subject(records[0]);
  for (std::size_t i = 1; i < records.size() && i <= kMostOperations; ++i)
    program.operations.push_back(testing::decode(records[i]));
  return program;
}

inline std::string print_program(Input input) {
  Program const program = program_of(input);
  return testing::program_to_code(program.kind, program.operations);
}

}  // namespace hakmem::fuzz
