#!/usr/bin/env python3
"""What the shared library is to the dynamic linker: its name, what it needs, exports, keeps per thread and runs at load.

  library.py LIBRARY --soname NAME --symbols GOLDEN [--regenerate]
  library.py --control     check libraries built to be wrong, which shows that each rule can fail
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

NEEDED = {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
MAX_TLS_BYTES = 88  # of the 1664 that glibc keeps for libraries that are loaded later
# frame_dummy is the C start files' own.
CONSTRUCTORS = {"frame_dummy"}


def tool(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout


def exported(library: Path) -> list[str]:
    """Defined dynamic symbols without the version node that names the library's interface."""
    lines = (line.split() for line in tool("nm", "--dynamic", "--defined-only", library).splitlines())
    return sorted({fields[-1].split("@")[0] for fields in lines if fields[-2] != "A"})


def symbol_violations(library: Path, golden: Path) -> list[str]:
    expected, actual = set(golden.read_text().split()), set(exported(library))
    return ([f"exports {name}, which {golden.name} does not list" for name in sorted(actual - expected)] +
            [f"does not export {name}" for name in sorted(expected - actual)])


def dynamic_violations(library: Path, soname: str) -> list[str]:
    dynamic = tool("readelf", "--dynamic", "--wide", library)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    names = re.findall(r"\(SONAME\).*\[(.*)\]", dynamic)
    found = [f"needs {name}" for name in sorted(needed - NEEDED)]
    if names != [soname]:
        found.append(f"is called {' '.join(names) or 'nothing'} instead of {soname}")
    if "(TEXTREL)" in dynamic:
        found.append("has relocations in its code")
    return found


def section_sizes(library: Path) -> dict[str, int]:
    rows = re.findall(r"^\s*\[\s*\d+\]\s+(\S+)\s+\S+\s+[0-9a-f]+\s+[0-9a-f]+\s+([0-9a-f]+)", tool("readelf", "--sections", "--wide", library), re.MULTILINE)
    return {name: int(size, 16) for name, size in rows}


def tls_violations(library: Path) -> list[str]:
    sizes = section_sizes(library)
    bytes_per_thread = sizes.get(".tdata", 0) + sizes.get(".tbss", 0)
    found = [f"keeps {bytes_per_thread} bytes per thread; at most {MAX_TLS_BYTES}"] if bytes_per_thread > MAX_TLS_BYTES else []
    if re.search(r"DTPMOD|TLSDESC", tool("readelf", "--relocs", "--wide", library)):
        found.append("has thread-local storage of another model than initial-exec")
    if bytes_per_thread and not re.search(r"\(FLAGS\).*\bSTATIC_TLS\b", tool("readelf", "--dynamic", "--wide", library)):
        found.append("is not marked STATIC_TLS")
    return found


def constructor_violations(library: Path) -> list[str]:
    """Every function of .init_array must be a known one: a new static constructor is looked at before it is listed."""
    if not section_sizes(library).get(".symtab"):
        return ["has no symbol table, so its constructors cannot be named"]
    symbols: dict[int, set[str]] = {}
    for line in tool("nm", library).splitlines():
        if match := re.match(r"([0-9a-f]+) [tTwW] (\S+)", line):
            symbols.setdefault(int(match.group(1), 16), set()).add(match.group(2))
    start, size = next((int(address, 16), int(length, 16)) for address, length in re.findall(
        r"\.init_array\s+INIT_ARRAY\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)", tool("readelf", "--sections", "--wide", library)))
    relocations = re.findall(r"^([0-9a-f]+)\s+[0-9a-f]+\s+R_\w+_RELATIVE\s+([0-9a-f]+)", tool("readelf", "--relocs", "--wide", library), re.MULTILINE)
    targets = [int(target, 16) for address, target in relocations if start <= int(address, 16) < start + size]
    found = [] if len(targets) * 8 == size else [f"runs {size // 8} functions when loaded, of which {len(targets)} can be named"]
    unknown = (symbols.get(target, {hex(target)}) for target in targets if not symbols.get(target, set()) & CONSTRUCTORS)
    return found + [f"runs {min(names)} when loaded" for names in unknown]


def violations(library: Path, soname: str, golden: Path) -> list[str]:
    return (symbol_violations(library, golden) + dynamic_violations(library, soname) + tls_violations(library) +
            constructor_violations(library))


GOOD = '__attribute__((tls_model("initial-exec"))) static __thread void* volatile heap; void* f(void* p) { return heap = p; }'
# name: (source, extra flags of the C compiler, what must be said about it; None: nothing)
SAMPLES = {
    "good": (GOOD, [], None),
    "needs_libm": (GOOD + "double cos(double); static double (*volatile p)(double) = cos;", ["-Wl,--no-as-needed", "-lm"], "needs libm.so.6"),
    "other_name": (GOOD, ["-Wl,-soname,other"], "is called other instead of libgood.so.0"),
    "extra_export": (GOOD + "void extra(void) {}", [], "exports extra, which"),
    "missing_export": (GOOD.replace("void* f", "static void* f"), ["-Wno-unused-function"], "does not export f"),
    "large_tls": (GOOD + '__attribute__((tls_model("initial-exec"), used)) static __thread char more[100];', [], "bytes per thread; at most 88"),
    "dynamic_tls": ("static __thread void* volatile heap; void* f(void* p) { return heap = p; }", [], "another model than initial-exec"),
    "constructor": (GOOD + "__attribute__((constructor)) static void start(void) { f(0); }", [], "runs start when loaded"),
    "stripped": (GOOD, ["-s"], "has no symbol table"),
}


def control() -> list[str]:
    wrong = []
    for name, (source, flags, expected) in SAMPLES.items():
        with tempfile.TemporaryDirectory(prefix="hakmem-sample-") as directory:
            library, golden = Path(directory) / "lib.so", Path(directory) / "golden.txt"
            golden.write_text("f\n")
            subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wl,-soname,libgood.so.0", "-x", "c", "-", *flags, "-o", library],
                           input=source, text=True, check=True)
            found = violations(library, "libgood.so.0", golden)
        if bool(found) != bool(expected) or expected and expected not in " ".join(found):
            wrong.append(f"sample {name}: expected '{expected}', found {found}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library", type=Path, nargs="?")
    parser.add_argument("--soname")
    parser.add_argument("--symbols", type=Path)
    parser.add_argument("--regenerate", action="store_true", help="write the golden list of symbols instead of comparing with it")
    parser.add_argument("--control", action="store_true")
    arguments = parser.parse_args()
    if arguments.control:
        found = control()
    elif not (arguments.library and arguments.soname and arguments.symbols):
        parser.error("needs a library, --soname and --symbols, or --control")
    elif not arguments.library.is_file():
        parser.error(f"no such library: {arguments.library}")
    elif not (arguments.regenerate or arguments.symbols.is_file()):
        parser.error(f"no such list of symbols: {arguments.symbols}; --regenerate makes it")
    elif arguments.regenerate:
        arguments.symbols.write_text("\n".join(exported(arguments.library)) + "\n")
        found = []
    else:
        found = violations(arguments.library, arguments.soname, arguments.symbols)
    print("\n".join(found) if found else "nothing found")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
