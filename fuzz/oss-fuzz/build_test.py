#!/usr/bin/env python3
"""build.sh works with the environment of OSS-Fuzz: an engine that does not exist is an error; with one that does, the
target asked for is built, has its seeds, and runs.

What was built stays below --into; the test of tools/fuzz goes on with it.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

FLAGS = "-O1 -g1 -fsanitize=address,fuzzer-no-link"


def lay_out(root: Path, work: Path) -> None:
    """A tree that has one target, where build.sh looks for it."""
    source = work / "src" / "hakmem"
    shutil.copytree(root, source, ignore=shutil.ignore_patterns("build", ".git"))
    for target in (source / "fuzz").glob("fuzz_*.cpp"):
        if target.stem != "fuzz_options":
            target.unlink()
    lists = source / "fuzz" / "CMakeLists.txt"
    text = lists.read_text()
    start = text.index("set(surfaces ")
    text = text[:start] + "set(surfaces options)" + text[text.index(")", start) + 1:]
    lists.write_text("".join(line for line in text.splitlines(True) if "surface_schedule" not in line and "fuzz.regressions" not in line))
    (work / "out").mkdir()


def build(work: Path, engine: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "CC": "clang-19", "CXX": "clang++-19", "CFLAGS": FLAGS, "CXXFLAGS": FLAGS,
                   "LIB_FUZZING_ENGINE": engine, "SRC": str(work / "src"), "WORK": str(work / "build"), "OUT": str(work / "out")}
    return subprocess.run([work / "src" / "hakmem" / "fuzz" / "oss-fuzz" / "build.sh"], env=environment, capture_output=True, text=True)


def check(root: Path, work: Path) -> str | None:
    lay_out(root, work)
    if build(work, "-lno_such_engine").returncode == 0:
        return "an engine that does not exist was accepted"
    built = build(work, "-fsanitize=fuzzer,address")
    if built.returncode != 0:
        return f"build.sh failed: {built.stdout[-800:]}{built.stderr[-800:]}"
    missing = {"fuzz_options", "fuzz_options_seed_corpus.zip", "fuzz_options.dict"} - {path.name for path in (work / "out").iterdir()}
    if missing:
        return f"build.sh did not make {', '.join(sorted(missing))}"
    ran = subprocess.run([work / "out" / "fuzz_options", "-runs=1000"], cwd=work, capture_output=True, text=True)
    return None if ran.returncode == 0 and "Done 1000 runs" in ran.stderr else f"the target does not run: {ran.stderr[-800:]}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--into", type=Path, required=True, help="a directory that is made anew")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.into, ignore_errors=True)
    arguments.into.mkdir(parents=True)
    wrong = check(arguments.root, arguments.into)
    print(wrong or "sound")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
