// What it owns: the files that a command writes for others to read: JSON documents and the pictures
// that a plot script beside the program draws of them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace hakmem::bench {

// The path of the running program.
std::string this_program();

// Throws std::runtime_error if a path (empty: none is wanted) cannot be written: at the start, not after minutes.
void require_writable(std::string const& path);

void write_json(std::string const& path, nlohmann::json const& document);

// Runs `script`, which lies beside the program, as SCRIPT document.json PATH.
void write_png(std::string const& path, nlohmann::json const& document, std::string const& script);

}  // namespace hakmem::bench
