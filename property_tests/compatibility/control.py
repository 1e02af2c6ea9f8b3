#!/usr/bin/env python3
"""Positive controls of run.py: what it must refuse is fed to it, and its verdict compared with the expected one."""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

# A library that leaves the allocator alone and, at exit, prints the report that is given at compile time.
PRETENDER = r"""
#include <stdlib.h>
#include <unistd.h>
__attribute__((destructor)) static void report(void) {
  static char const text[] = REPORT;
  if (getenv("HAKMEM_STATS") != NULL) (void)!write(2, text, sizeof text - 1);
}
"""
TRUE_REPORT = r"hakmem: allocator statistics\n  small blocks allocated 5\n"

# name: (report of the library, program script, what run.py must say, its exit status)
CASES = {
    "accepts_the_same_output": (TRUE_REPORT, "under_test /bin/bash -c 'echo same'", "ok      control  pretender.so HAKMEM_GUARD=all: same output, 5 blocks", 0),
    "refuses_other_output": (TRUE_REPORT, "echo one; echo ${COMPAT_PRELOAD:-none} | cksum; under_test true", "stdout differs in line 2", 1),
    "refuses_other_errors": (TRUE_REPORT, "echo x; [ -z ${COMPAT_PRELOAD:-} ] || echo oops >&2; under_test true", "stderr differs in line 1", 1),
    "refuses_other_output_with_an_option": (TRUE_REPORT, "echo x${HAKMEM_GUARD:-}; under_test true", "HAKMEM_GUARD=all: stdout differs in line 1", 1),
    "refuses_a_crash": (TRUE_REPORT, "echo x; under_test /bin/bash -c '[ -z \"${LD_PRELOAD:-}\" ] || kill -SEGV $$'", "fails on the library (status 139)", 1),
    "refuses_no_report": ("", "echo x; under_test true", "the library was not the allocator of command", 1),
    "refuses_no_allocations": (TRUE_REPORT.replace("5", "0"), "echo x; under_test true", "the library was not the allocator of command", 1),
    "refuses_one_command_without": (TRUE_REPORT, "echo x; under_test true; under_test env -u HAKMEM_STATS true", "the library was not the allocator of command", 1),
    "refuses_no_command": (TRUE_REPORT, "echo x", "starts no command by under_test", 1),
    "refuses_nothing_to_compare": (TRUE_REPORT, "under_test true", "prints nothing", 1),
    "refuses_a_missing_program": (TRUE_REPORT, "under_test no-such-program", "the program is missing", 1),
    "refuses_a_hang": (TRUE_REPORT, "echo x; [ -z ${COMPAT_PRELOAD:-} ] || sleep 60; under_test true", "took longer than 2 s preloaded", 1),
}


def verdict(directory: Path, report: str, program: str) -> subprocess.CompletedProcess:
    library = directory / "pretender.so"
    subprocess.run(["gcc", "-shared", "-fPIC", f'-DREPORT="{report}"', "-x", "c", "-", "-o", library], input=PRETENDER, text=True, check=True)
    (directory / "control.sh").write_text(program)
    return subprocess.run([sys.executable, HERE / "run.py", "--on", library, "--on", f"{library},HAKMEM_GUARD=all", "--programs", directory, "--timeout", "2"],
                          capture_output=True, text=True)


def main() -> int:
    failed = 0
    for name, (report, program, expected, status) in CASES.items():
        with tempfile.TemporaryDirectory(prefix="hakmem-control-") as directory:
            result = verdict(Path(directory), report, program)
        if expected not in result.stdout or result.returncode != status:
            failed += 1
            print(f"{name}: expected status {status} and '{expected}', got {result.returncode} and:\n{result.stdout}{result.stderr}")
    print(f"{len(CASES) - failed} of {len(CASES)} controls as expected")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
