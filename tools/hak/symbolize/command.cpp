#include "tools/hak/symbolize/command.h"

#include <CLI/CLI.hpp>
#include <cstring>
#include <fstream>
#include <iostream>

#include "tools/hak/symbolize/symbolize.h"

namespace hakmem::tools {
namespace {

void symbolize(std::istream& report) {
  Symbolizer symbolizer;
  for (std::string line; std::getline(report, line);) {
    std::cout << symbolizer.line(line);
    if (!report.eof()) std::cout << '\n';  // what did not end its last line does not here
  }
}

void symbolize_file(std::string const& path) {
  if (path.empty() || path == "-") return symbolize(std::cin);
  std::ifstream report(path);
  if (!report || report.peek() == std::ifstream::traits_type::eof())
    throw std::runtime_error(path + ": " + (errno != 0 ? std::strerror(errno) : "empty"));
  symbolize(report);
}

}  // namespace

void add_symbolize_command(CLI::App& app) {
  CLI::App* const command =
      app.add_subcommand("symbolize", "Adds functions and source lines to a report of the checked build");
  auto const path = std::make_shared<std::string>();
  command->add_option("FILE", *path, "the report, as text or its JSON line; standard input if left out");
  command->callback([path] { symbolize_file(*path); });
}

}  // namespace hakmem::tools
