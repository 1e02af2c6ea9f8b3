#!/usr/bin/env python3
"""Runs real programs on an allocator library and compares what they do with what they do without it.

Each script in programs/ is one program with a deterministic workload. It starts what is to run on the library by
`under_test COMMAND...` (see under_test.sh). Each run is in an empty directory of its own: one without a library; one for
each library and its options, whose status, standard output and standard error must be equal to those; and one for each
library with HAKMEM_STATS=1, where every command started by under_test must leave at least one statistics report that
shows allocations: the proof that the library was the allocator.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORT = re.compile(r"^hakmem: allocator statistics\b", re.MULTILINE)
ALLOCATIONS = re.compile(r"^\s*(?:hakmem:\s*)?(?:small blocks allocated|blocks between guard pages):?\s+([1-9][0-9]*)\b",
                         re.MULTILINE)
MISSING_PROGRAM = 127


class Failure(Exception):
    """One sentence that says why the program does not count as running on the library."""


@dataclass(frozen=True)
class Preload:
    """A library, and the options that it gets from the environment."""

    library: Path
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Preload":
        library, *options = text.split(",")
        for option in options:
            if not re.fullmatch(r"\w+=.*", option):
                raise argparse.ArgumentTypeError(f"'{option}' is not NAME=VALUE")
        if not Path(library).is_file():
            raise argparse.ArgumentTypeError(f"no such library: {library}")
        return cls(Path(library).resolve(), dict(option.split("=", 1) for option in options))

    def __str__(self) -> str:
        return " ".join([self.library.name, *(f"{name}={value}" for name, value in self.options.items())])

    def environment(self) -> dict[str, str]:
        return self.options | {"COMPAT_PRELOAD": str(self.library)}


def tail(text: str, lines: int = 12) -> str:
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


@dataclass(frozen=True)
class Run:
    status: int
    stdout: str
    stderr: str
    seconds: float
    reports: Path


class Program:
    """The runs of one program, whose directories are removed in the end."""

    def __init__(self, script: Path, timeout: float):
        self.script, self.timeout = script, timeout
        self.scratch = Path(tempfile.mkdtemp(prefix="hakmem-compatibility-"))
        self.runs = 0

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def run(self, name: str, extra: dict[str, str]) -> Run:
        """One run in an empty directory; the whole process group is gone when this returns."""
        self.runs += 1
        directory = self.scratch / str(self.runs) / "work"
        reports = directory.with_name("reports")
        directory.mkdir(parents=True)
        reports.mkdir()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HAKMEM_", "LD_", "MAKE", "GIT_"))}
        environment = kept | {"LC_ALL": "C", "TZ": "UTC", "HOME": str(directory), "COMPAT_REPORTS": str(reports)} | extra
        started = time.monotonic()
        process = subprocess.Popen(
            ["/bin/bash", "-euo", "pipefail", "-c", 'source "$1"; source "$2"', "bash", str(HERE / "under_test.sh"), str(self.script)],
            cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", start_new_session=True)
        try:
            output, errors = process.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"took longer than {self.timeout:.0f} s {name}") from None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return Run(process.returncode, output, errors, time.monotonic() - started, reports)

    def run_without(self) -> Run:
        without = self.run("without", {})
        if without.status == MISSING_PROGRAM:
            raise Failure(f"the program is missing; tools/install-packages installs it\n{tail(without.stderr)}")
        if without.status != 0:
            raise Failure(f"fails without the library too (status {without.status})\n{tail(without.stdout + without.stderr)}")
        if not without.stdout.strip():
            raise Failure("prints nothing, so there is nothing to compare")
        return without

    def run_preloaded(self, preload: Preload, without: Run) -> Run:
        preloaded = self.run("preloaded", preload.environment())
        if preloaded.status != 0:
            raise Failure(f"fails on the library (status {preloaded.status})\n{tail(preloaded.stdout + preloaded.stderr)}")
        for stream in ("stdout", "stderr"):
            expected, actual = getattr(without, stream).splitlines(), getattr(preloaded, stream).splitlines()
            if expected != actual:
                line = next((i for i, pair in enumerate(zip(expected, actual)) if pair[0] != pair[1]), min(len(expected), len(actual)))
                shown = [lines[line] if line < len(lines) else "(nothing)" for lines in (expected, actual)]
                raise Failure(f"{stream} differs in line {line + 1}\n    without: {shown[0]}\n    with:    {shown[1]}")
        return preloaded

    def count_blocks(self, preload: Preload) -> int:
        """The blocks that the reports of a run add up to; every command that ran under test must have some."""
        counted = self.run("counted", preload.environment() | {"COMPAT_STATS": "1"})
        if counted.status != 0:
            raise Failure(f"fails with HAKMEM_STATS=1 (status {counted.status})\n{tail(counted.stdout + counted.stderr)}")
        files = sorted(counted.reports.iterdir())
        if not files:
            raise Failure("starts no command by under_test")
        total = 0
        for file in files:
            text = file.read_text(errors="replace")
            blocks = [int(count) for count in ALLOCATIONS.findall(text)]
            if not REPORT.search(text) or not blocks:
                raise Failure(f"the library was not the allocator of command {file.name}: no statistics that show allocations\n{tail(text)}")
            total += sum(blocks)
        return total


def check(script: Path, preloads: list[Preload], timeout: float) -> bool:
    """Runs one program on all libraries and prints a line about each; whether it does on all of them what it does without."""
    held = True
    blocks: dict[Path, int] = {}
    with Program(script, timeout) as program:
        try:
            without = program.run_without()
        except Failure as failure:
            print(f"FAILED  {script.stem:<8} {failure}", flush=True)
            return False
        for preload in preloads:
            try:
                preloaded = program.run_preloaded(preload, without)
                if preload.library not in blocks:
                    blocks[preload.library] = program.count_blocks(preload)
                print(f"ok      {script.stem:<8} {preload}: same output, {blocks[preload.library]} blocks allocated, "
                      f"{without.seconds:.1f} s without and {preloaded.seconds:.1f} s with", flush=True)
            except Failure as failure:
                held = False
                print(f"FAILED  {script.stem:<8} {preload}: {failure}", flush=True)
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description="Run real programs on allocator libraries, compare, and prove that they were used.")
    parser.add_argument("--on", type=Preload.parse, action="append", required=True, metavar="LIBRARY[,NAME=VALUE]...",
                        help="a shared library to preload, and options for it; may be given more than once")
    parser.add_argument("--programs", type=Path, default=HERE / "programs", help="directory of program scripts")
    parser.add_argument("--timeout", type=float, default=120, help="seconds per run")
    parser.add_argument("names", nargs="*", metavar="PROGRAM", help="which programs (default: all)")
    arguments = parser.parse_args()
    scripts = {script.stem: script for script in sorted(arguments.programs.glob("*.sh"))}
    unknown = sorted(set(arguments.names) - set(scripts))
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}; known are {', '.join(scripts)}")
    held = [check(scripts[name], arguments.on, arguments.timeout) for name in arguments.names or scripts]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
