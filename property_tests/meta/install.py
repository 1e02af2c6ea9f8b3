#!/usr/bin/env python3
"""The installed package serves programs outside the project, by CMake and by pkg-config, shared and static, from any place.

  install.py --build DIR --consumer DIR   install from a build tree, move the prefix, build the consumer in each way and run it
  install.py ... --control                do so without one of the installed files at a time: each must be missed
"""

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXPECTED_END = "saw 5 of 5 blocks"
CONTROLS = ["hakmemConfig.cmake", "hakmemConfigVersion.cmake", "hakmemTargets.cmake", "hakmem.pc", "hakmem.h", "libhakmem.a", "libhakmem.so.0"]


class Failure(Exception):
    """One sentence that says what the package does not do."""


def run(*command: str | Path, **extra: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"} | extra
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: status {result.returncode}\n{result.stdout[-3000:]}{result.stderr[-3000:]}")
    return result.stdout


def install(build: Path, scratch: Path) -> Path:
    """The package in a prefix that is not the one it was installed to."""
    run("cmake", "--install", build, "--prefix", scratch / "first")
    return (scratch / "first").rename(scratch / "moved")


def library_directory(prefix: Path) -> Path:
    found = sorted(prefix.glob("lib*/**/libhakmem.so.0"))
    if not found:
        raise Failure("libhakmem.so.0 is not installed")
    return found[0].parent


def with_cmake(prefix: Path, consumer: Path, scratch: Path) -> list[Path]:
    tree = scratch / "cmake"
    run("cmake", "-S", consumer, "-B", tree, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", tree)
    programs = sorted(path for path in tree.glob("consumer_*") if path.is_file())
    if len(programs) != 4:
        raise Failure(f"CMake built {[path.name for path in programs]} instead of four programs")
    return programs


def with_pkg_config(prefix: Path, consumer: Path, scratch: Path) -> list[Path]:
    def flags(*wanted: str) -> list[str]:
        found = run("pkg-config", "--define-prefix", *wanted, "hakmem", PKG_CONFIG_PATH=str(library_directory(prefix) / "pkgconfig"))
        return found.split()

    run("gcc", consumer / "consumer.c", *flags("--cflags", "--libs"), "-o", scratch / "shared_by_pkg_config")
    static = ["-l:libhakmem.a" if flag == "-lhakmem" else flag for flag in flags("--cflags", "--libs", "--static")]
    run("gcc", consumer / "consumer.c", *static, "-o", scratch / "static_by_pkg_config")
    return [scratch / "shared_by_pkg_config", scratch / "static_by_pkg_config"]


def check(build: Path, consumer: Path, without: str | None = None) -> None:
    """Raises Failure when a consumer does not build or does not run on the library."""
    scratch = Path(tempfile.mkdtemp(prefix="hakmem-install-"))
    try:
        prefix = install(build, scratch)
        libraries = library_directory(prefix)
        if without:
            next(prefix.rglob(without)).unlink()
        for program in with_cmake(prefix, consumer, scratch) + with_pkg_config(prefix, consumer, scratch):
            said = run(program, LD_LIBRARY_PATH=str(libraries)).strip()
            if not said.endswith(EXPECTED_END):
                raise Failure(f"{program.name} says: {said}")
            print(f"ok  {program.name}: {said}")
    finally:
        shutil.rmtree(scratch)


def control(build: Path, consumer: Path) -> None:
    check(build, consumer)
    for name in CONTROLS:
        try:
            with contextlib.redirect_stdout(None):
                check(build, consumer, without=name)
        except Failure:
            print(f"ok  {name} is missed")
        else:
            raise Failure(f"nobody misses {name}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--consumer", type=Path, required=True)
    parser.add_argument("--control", action="store_true")
    arguments = parser.parse_args()
    try:
        (control if arguments.control else check)(arguments.build, arguments.consumer.resolve())
    except Failure as failure:
        print(failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
