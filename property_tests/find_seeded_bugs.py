#!/usr/bin/env python3
"""Plants each bug that the models or the schedules name into a copy of its header; that one must fail.

A model, or a program of the schedules, is a struct with a comment above it:

  // covers: the invariants it serves
  // states: what it checks, as a sentence
  // seeded: FILE: OLD => NEW        one or more
  struct NameModel ...

and a row in its file's table: model_of<NameModel>("name", ...), program_of<NameProgram>("name", ...).
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ABOVE = re.compile(r"// covers: (.*)\n// states: (.*)\n((?:// seeded: .*\n)+)(?:template .*\n)?struct (\w+) : ")
ROW = re.compile(r'(?:model|program)_of<(\w+)>\("(\w+)"')
FLAGS = ["-std=c++20", "-O0", "-w", "-DHAKMEM_CHECKS=0"]


class Suite:
    """Where annotations are, what is compiled anew with a bug in it, and what is linked to it."""

    def __init__(self, annotated, compiled_anew, runner):
        self.annotated, self.compiled_anew, self.runner = annotated, compiled_anew, runner

    def sources(self):
        return sorted(HERE.glob(self.annotated))

    def anew(self, source):
        return HERE / self.compiled_anew if self.compiled_anew else source


SUITES = {
    "models": Suite("concurrency/*_models.cpp", None, ["property_tests/concurrency/run_models.cpp", "core/api/options.cpp"]),
    "schedules": Suite("schedules/programs.h", "schedules/fast_programs.cpp",
                       ["property_tests/schedules/run_schedules.cpp", "property_tests/schedules/enumeration.cpp",
                        "property_tests/schedules/fibers.cpp", "core/os/linux.cpp", "core/os/thread.cpp",
                        "core/os/standard_error.cpp"]),
}


class Failure(Exception):
    pass


class Model:
    def __init__(self, source, match, names):
        self.source, self.covers, self.sentence = source, match[1].split(), match[2]
        self.seeds = re.findall(r"// seeded: (core/\S+): (.*?) => (.*)", match[3])
        if match[4] not in names:
            raise Failure(f"{source.name}: {match[4]} is in no table")
        if len(self.seeds) != match[3].count("// seeded: "):
            raise Failure(f"{source.name}: {match[4]}: a bug is not written as FILE: OLD => NEW")
        self.name = names[match[4]]


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
    source = (ROOT / file).read_text()
    if source.count(old) != 1:
        raise Failure(f"{model.name}: {file} has '{old}' {source.count(old)} times, not once")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(source.replace(old, new))
        program = folder / "models"
        parts = [*runner, compiled(compiler, suite.anew(model.source), folder / "models.o", folder)]
        subprocess.run([compiler, *map(str, parts), "-o", str(program)], check=True)
        try:
            done = subprocess.run([str(program), model.name], capture_output=True, text=True, timeout=120, check=False)
            if token := re.search(r"run_schedules (.*)", done.stdout):
                again = subprocess.run([str(program), *token[1].split()], capture_output=True, text=True, timeout=120,
                                       check=False)
                if again.returncode != 1:
                    raise Failure(f"{model.name}: what failed does not fail again: {token[0]}")
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{model.name}: no verdict in 120 s with: {new}") from error
    executions = re.search(rf"^{model.name} +\S+ +\d+ +(\d+) .*FAILED", done.stdout, re.M)
    if not executions:
        raise Failure(f"{model.name}: not found (exit {done.returncode}): {file}: {old} => {new}")
    return int(executions[1])


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
        runner = list(pool.map(lambda name: compiled(options.compiler, ROOT / name, Path(scratch) / f"{Path(name).stem}.o"),
                               suite.runner))
        tasks = [(model, seed, pool.submit(check, options.compiler, suite, runner, model, seed))
                 for model in models(suite) for seed in model.seeds]
        for model, seed, task in tasks:
            try:
                print(f"{model.name:16} found in execution {task.result():6}: {seed[1]} => {seed[2]}", flush=True)
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
