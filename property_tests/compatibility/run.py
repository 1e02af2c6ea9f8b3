#!/usr/bin/env python3
"""Runs real programs on an allocator library and compares what they do with what they do without it.

Each script in programs/ is one program with a deterministic workload. It starts what is to run on the library by
`under_test COMMAND...` (see under_test.sh). Per program there are three runs, each in an empty directory of its own:
without the library, with it preloaded (status, standard output and standard error must be equal), and preloaded with
HAKMEM_STATS=1, where every command started by under_test must leave at least one statistics report that shows
allocations: the proof that the library was the allocator.
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
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORT = re.compile(r"^hakmem: allocator statistics\b", re.MULTILINE)
ALLOCATIONS = re.compile(r"^\s*(?:hakmem:\s*)?(?:small blocks allocated|blocks between guard pages):?\s+([1-9][0-9]*)\b",
                         re.MULTILINE)
MISSING_PROGRAM = 127


class Failure(Exception):
    """One sentence that says why the program does not count as running on the library."""


def tail(text: str, lines: int = 12) -> str:
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


def run(script: Path, scratch: Path, name: str, extra: dict[str, str], timeout: float) -> subprocess.CompletedProcess:
    """One run of a script in an empty directory; the whole process group is gone when this returns."""
    directory = scratch / name / "work"
    reports = scratch / name / "reports"
    directory.mkdir(parents=True)
    reports.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HAKMEM_", "LD_", "MAKE", "GIT_"))}
    environment = kept | {"LC_ALL": "C", "TZ": "UTC", "HOME": str(directory), "COMPAT_REPORTS": str(reports)} | extra
    process = subprocess.Popen(
        ["/bin/bash", "-euo", "pipefail", "-c", 'source "$1"; source "$2"', "bash", str(HERE / "under_test.sh"), str(script)],
        cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, errors="replace", start_new_session=True)
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"took longer than {timeout:.0f} s {name}") from None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def compare(without: subprocess.CompletedProcess, preloaded: subprocess.CompletedProcess) -> None:
    if without.returncode == MISSING_PROGRAM:
        raise Failure(f"the program is missing; tools/install-packages installs it\n{tail(without.stderr)}")
    if without.returncode != 0:
        raise Failure(f"fails without the library too (status {without.returncode})\n{tail(without.stdout + without.stderr)}")
    if not without.stdout.strip():
        raise Failure("prints nothing, so there is nothing to compare")
    if preloaded.returncode != 0:
        raise Failure(f"fails on the library (status {preloaded.returncode})\n{tail(preloaded.stdout + preloaded.stderr)}")
    for stream in ("stdout", "stderr"):
        expected, actual = getattr(without, stream).splitlines(), getattr(preloaded, stream).splitlines()
        if expected != actual:
            line = next((i for i, pair in enumerate(zip(expected, actual)) if pair[0] != pair[1]), min(len(expected), len(actual)))
            shown = [lines[line] if line < len(lines) else "(nothing)" for lines in (expected, actual)]
            raise Failure(f"{stream} differs in line {line + 1}\n    without: {shown[0]}\n    with:    {shown[1]}")


def prove(scratch: Path, name: str) -> int:
    """The blocks that the reports of a run add up to; every command that ran under test must have some."""
    files = sorted((scratch / name / "reports").iterdir())
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


def check(script: Path, library: Path, settings: dict[str, str], timeout: float) -> str:
    """Runs one program three times; returns what to print about it, or raises Failure."""
    scratch = Path(tempfile.mkdtemp(prefix="hakmem-compatibility-"))
    try:
        preload = settings | {"COMPAT_PRELOAD": str(library)}
        started = time.monotonic()
        without = run(script, scratch, "without", {}, timeout)
        between = time.monotonic()
        preloaded = run(script, scratch, "preloaded", preload, timeout)
        ended = time.monotonic()
        compare(without, preloaded)
        counted = run(script, scratch, "counted", preload | {"COMPAT_STATS": "1"}, timeout)
        if counted.returncode != 0:
            raise Failure(f"fails with HAKMEM_STATS=1 (status {counted.returncode})\n{tail(counted.stdout + counted.stderr)}")
        blocks = prove(scratch, "counted")
        return f"same output, {blocks} blocks allocated, {between - started:.1f} s without and {ended - between:.1f} s with"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def main() -> int:
    parser = argparse.ArgumentParser(description="Run real programs on an allocator library, compare, and prove that it was used.")
    parser.add_argument("--library", type=Path, required=True, help="the shared library to preload")
    parser.add_argument("--programs", type=Path, default=HERE / "programs", help="directory of program scripts")
    parser.add_argument("--env", type=setting, action="append", default=[], metavar="NAME=VALUE", help="set for the preloaded runs")
    parser.add_argument("--timeout", type=float, default=120, help="seconds per run")
    parser.add_argument("names", nargs="*", metavar="PROGRAM", help="which programs (default: all)")
    arguments = parser.parse_args()
    scripts = {script.stem: script for script in sorted(arguments.programs.glob("*.sh"))}
    unknown = sorted(set(arguments.names) - set(scripts))
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}; known are {', '.join(scripts)}")
    if not arguments.library.is_file():
        parser.error(f"no such library: {arguments.library}")
    failed = 0
    for name in arguments.names or scripts:
        try:
            verdict = check(scripts[name], arguments.library.resolve(), dict(arguments.env), arguments.timeout)
            print(f"ok      {name:<8} {verdict}", flush=True)
        except Failure as failure:
            failed += 1
            print(f"FAILED  {name:<8} {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
