#!/usr/bin/env python3
"""Plants each bug that the models, schedules or tests name into a copy of its file; that one must fail.

A model, or a program of the schedules, is a struct with a comment above it; so has a test, whose name says what it checks:

  // covers: the invariants it serves
  // states: what it checks, as a sentence
  // seeded: FILE: OLD => NEW        one or more
  struct NameModel ...

and a row in its file's table: model_of<NameModel>("name", ...), program_of<NameProgram>("name", ...). Above a test
`states` is left out.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ABOVE = re.compile(r"// covers: (.*)\n(?:// states: (.*)\n)?((?:// seeded: .*\n)+)(?:template .*\n)?"
                   r"(?:struct (\w+) : |T\w*\(\w+,\s+(\w+)\))")
ROW = re.compile(r'(?:model|program)_of<(\w+)>\("(\w+)"')
FLAGS = ["-std=c++20", "-O0", "-w", "-DHAKMEM_CHECKS=0"]
ENVIRONMENT = {**os.environ, "RC_PARAMS": "noshrink=1"}  # that a property fails is enough


class Suite:
    """Where annotations are, what is compiled anew with a bug in it, what is linked to it, how one is run."""

    def __init__(self, annotated, compiled_anew, runner, libraries=(), arguments="{}"):
        self.annotated, self.compiled_anew, self.runner = annotated, compiled_anew, runner
        self.libraries, self.arguments = libraries, arguments

    def sources(self):
        return sorted(path for pattern in self.annotated.split() for path in HERE.glob(pattern))

    def anew(self, source):
        return HERE / self.compiled_anew if self.compiled_anew else source


SUITES = {
    "models": Suite("concurrency/*_models.cpp", None, ["property_tests/concurrency/run_models.cpp", "core/api/options.cpp"]),
    "schedules": Suite("schedules/programs.h", "schedules/fast_programs.cpp",
                       ["property_tests/schedules/run_schedules.cpp", "property_tests/schedules/enumeration.cpp",
                        "property_tests/schedules/fibers.cpp", "core/os/linux.cpp", "core/os/thread.cpp",
                        "core/os/standard_error.cpp"]),
    "tests": Suite("proofs/*_tests.cpp os/page_life_*.cpp global/life_properties.cpp", None,
                   ["property_tests/simulated_os.cpp", "property_tests/kernel_view.cpp", "core/os/linux.cpp",
                    "core/os/standard_error.cpp"],
                   ["-lrapidcheck", "-lgtest_main", "-lgtest"], "--gtest_filter=*.{}"),
}


class Failure(Exception):
    pass


class Model:
    def __init__(self, source, match, names):
        self.source, self.covers = source, match[1].split()
        self.seeds = re.findall(r"// seeded: (\S+): (.*?) => ?(.*)", match[3])
        self.name = match[5] or names.get(match[4])
        self.sentence = match[2] or self.name.replace("_", " ")
        if not self.name:
            raise Failure(f"{source.name}: {match[4]} is in no table")
        if len(self.seeds) != match[3].count("// seeded: "):
            raise Failure(f"{source.name}: {self.name}: a bug is not written as FILE: OLD => NEW")


def models(suite):
    found = []
    for source in suite.sources():
        text = re.sub(r"\\\n", "", source.read_text())
        names = dict(ROW.findall(text))
        here = [Model(source, match, names) for match in ABOVE.finditer(text)]
        if unseeded := set(names.values()) - {model.name for model in here}:
            raise Failure(f"{source.name}: no seeded bug for {' '.join(sorted(unseeded))}")
        found += here
    return found


def compiled(compiler, source, target, first=ROOT):
    command = [compiler, *FLAGS, f"-I{first}", f"-I{ROOT}", "-c", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{source.name} does not compile: {done.stderr[:400]}")
    return target


def check(compiler, suite, runner, model, seed):
    file, old, new = seed
    linked = {**runner, str(suite.anew(model.source).relative_to(ROOT)): None}  # None: to be compiled with the bug
    if file in linked:
        linked[file] = None
    source = (ROOT / file).read_text()
    if source.count(old) != 1:
        raise Failure(f"{model.name}: {file} has '{old}' {source.count(old)} times, not once")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(source.replace(old, new))
        program = folder / "models"
        parts = [built or compiled(compiler, (folder if name == file else ROOT) / name, folder / f"{Path(name).stem}.o",
                                   folder)
                 for name, built in linked.items()]
        subprocess.run([compiler, *map(str, parts), *suite.libraries, "-o", str(program)], check=True)
        try:
            done = subprocess.run([str(program), suite.arguments.format(model.name)], capture_output=True, text=True,
                                  timeout=120, env=ENVIRONMENT, check=False)
            if token := re.search(r"run_schedules (.*)", done.stdout):
                again = subprocess.run([str(program), *token[1].split()], capture_output=True, text=True, timeout=120,
                                       check=False)
                if again.returncode != 1:
                    raise Failure(f"{model.name}: what failed does not fail again: {token[0]}")
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{model.name}: no verdict in 120 s with: {new}") from error
    failed = re.search(rf"^{model.name} +\S+ +\d+ +(\d+) .*FAILED|^\[  FAILED  \] \S+{model.name}", done.stdout, re.M)
    if not failed and done.returncode < 0:  # a test that was ended by a check of ours
        failed = re.search(rf"^\[ RUN()      \] \S+{model.name}", done.stdout, re.M)
    if not failed:
        raise Failure(f"{model.name}: not found (exit {done.returncode}): {file}: {old} => {new}")
    return f"found in execution {failed[1]}" if failed[1] else "found"


def main():
    parser = argparse.ArgumentParser(description="Show that each model finds its seeded bugs.")
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--compiler", default="clang++-19")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the counts there")
    options = parser.parse_args()
    begin, failures, found = time.monotonic(), [], 0
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(options.jobs) as pool:
        suite = SUITES[options.suite]
        runner = dict(zip(suite.runner, pool.map(
            lambda name: compiled(options.compiler, ROOT / name, Path(scratch) / f"{Path(name).stem}.o"), suite.runner)))
        tasks = [(model, seed, pool.submit(check, options.compiler, suite, runner, model, seed))
                 for model in models(suite) for seed in model.seeds]
        for model, seed, task in tasks:
            try:
                print(f"{model.name:16} {task.result()}: {seed[1]} => {seed[2]}", flush=True)
                found += 1
            except (Failure, subprocess.CalledProcessError) as failure:
                failures.append(failure)
                print(f"find_seeded_bugs.py: {failure}", file=sys.stderr)
    print(f"{found} of {len(tasks)} seeded bugs found")
    if options.json:
        options.json.write_text(json.dumps({"found": found, "total": len(tasks),
                                            "seconds": round(time.monotonic() - begin, 1)}))
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, OSError) as problem:
        sys.exit(f"find_seeded_bugs.py: {problem}")
