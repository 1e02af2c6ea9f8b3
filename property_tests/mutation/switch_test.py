#!/usr/bin/env python3
"""The mutants of a small program: those that its check can see are killed, those that change nothing survive.

This is the positive control of tools/mutate: each verdict below is demanded.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mutants

HERE = Path(__file__).resolve().parent
PROGRAM = """
constexpr int larger(int a, int b) { return a > b ? a : b; }
static_assert(larger(1, 2) == 2);
inline unsigned low_bits(unsigned value) { return value & 7; }
inline bool both(bool a, bool b) { if (a && b) return true; return false; }
inline void store(int& place, int value) { place = value; }
inline int never_called(int value) { return value + 1; }
int main() {
  int volatile two = 2, one = 1;
  int stored = 0;
  store(stored, two);
  bool const right = larger(two, one) == 2 && larger(one, two) == 2 && low_bits(8u + one) == 1u && both(two > 1, one == 1) &&
                     !both(two > 1, one > 1) && stored == 2;
  return right ? 0 : 1;
}
"""
KILLED = {
    "larger: `a > b` -> `(a) <= (b)`": "relational",
    "low_bits: `value & 7` -> `(value) | (7)`": "bits",
    "low_bits: `7` -> `7 + 1`": "constant",
    "both: `a && b` -> `(a) || (b)`": "logical",
    "both: `true` -> `false`": "constant",
    "store: `place = value` -> `void()`": "statement",
    "larger: `a > b ? a : b` -> `(a > b ? a : b) + 1`": "return",
}
SURVIVE = {
    "larger: `a > b` -> `(a) >= (b)`": "boundary",
    "never_called: `value + 1` -> `(value) - (1)`": "arithmetic",
}


def build(folder):
    """The program with its mutants behind switches, and these by their keys."""
    file = folder / "program.cpp"
    file.write_text(PROGRAM)
    found = mutants.numbered(mutants.Finder(file, "program.cpp", ["-xc++", "-std=c++20"]).found)
    found = [mutant for mutant in found if mutant.function != "main"]
    file.write_bytes(mutants.switched(file.read_bytes(), found))
    subprocess.run(["clang++-19", "-std=c++20", "-w", "-O1", "-include", HERE / "switch.h", file, "-o", folder / "program"],
                   check=True)
    return {mutant.key.removeprefix("program.cpp "): mutant for mutant in found}


def status(folder, **environment):
    return subprocess.run([folder / "program"], env={**os.environ, **environment}, check=False).returncode


def problems(folder, killed, survive):
    found = build(folder)
    board = folder / "board"
    board.write_bytes(bytes(len(found) + 100))
    if status(folder, REACHED_MUTANTS=str(board)) != 0:
        yield "the program fails without a mutant"
    reached = board.read_bytes()
    for key, operator in {**killed, **survive}.items():
        mutant = found.get(key)
        if not mutant or mutant.operator != operator:
            yield f"no mutant of kind {operator} is {key}"
            continue
        if (status(folder, ACTIVE_MUTANT=str(mutant.number)) != 0) != (key in killed):
            yield f"{key} is {'not killed' if key in killed else 'killed'}"
        if bool(reached[mutant.number]) == key.startswith("never_called"):
            yield f"{key}: wrongly recorded whether it was reached"


def main():
    parser = argparse.ArgumentParser(description="Check the switch between mutants on a small program.")
    parser.add_argument("--control", action="store_true", help="show that a wrong verdict is noticed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if not options.control:
            found = list(problems(Path(name), KILLED, SURVIVE))
        else:
            seen = list(problems(Path(name), SURVIVE, {**KILLED, "main: no such mutant": "constant"}))
            found = [] if len(seen) == len(KILLED) + len(SURVIVE) + 1 else ["control: a wrong verdict was accepted"]
    for problem in found:
        print(f"switch_test: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
