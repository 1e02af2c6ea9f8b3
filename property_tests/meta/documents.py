#!/usr/bin/env python3
"""Files that the documents name exist, and no file names a path of somebody's machine."""

import itertools
import re
from fnmatch import fnmatch
from pathlib import PurePosixPath

import source_check
from source_check import Sample, Tree

IN_BACKTICKS = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
TOP_LEVEL = re.compile(r"^(?:core|hardened|property_tests|bench|fuzz|corpus|docs|tools|\.ci)/")
PLACEHOLDER = re.compile(r"[<>$ ]|NNN|\.\.\.")
BRACES = re.compile(r"\{([^{}]*)\}")
MACHINE_PATH = re.compile(r"""(?<![\w.$}/)-])/(?:home|root|Users|mnt|media|work|workspace|tmp/[\w.]+)(?![\w.-])(?:/[\w.+-]+)*""")


def alternatives(path: str) -> list[str]:
    """`a.{h,cpp}` names a.h and a.cpp."""
    parts = BRACES.split(path)
    return ["".join(choice) for choice in itertools.product(*(part.split(",") if i % 2 else [part] for i, part in enumerate(parts)))]


def exists(tree: Tree, path: str) -> bool:
    path = path.rstrip("/")
    return any(name == path or name.startswith(path + "/") or fnmatch(name, path) for name in tree.names)


def named_files(tree: Tree, document: str, line: str) -> list[str]:
    """Paths from the root of the project that a line of a document names."""
    words = [word for text in IN_BACKTICKS.findall(line) for word in text.split()]
    named = [word.split(":")[0] for word in words if TOP_LEVEL.match(word) and not PLACEHOLDER.search(word)]
    for target in LINK.findall(line):
        if "://" not in target and not target.startswith("mailto:"):
            named.append(normal(PurePosixPath(document).parent / target))
    return [path for name in named for path in alternatives(name)]


def normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def check(tree: Tree) -> list[str]:
    found = []
    for name in tree.names:
        text = tree.text(name)
        if text is None or name.startswith("corpus/"):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for match in MACHINE_PATH.finditer(line):
                found.append(f"{name}:{number}: {match.group()} is a path of one machine")
            if name.endswith(".md"):
                found += [f"{name}:{number}: names {path}, which does not exist"
                          for path in named_files(tree, name, line) if not exists(tree, path)]
    return found


HERE = "/" + "home/someone"
SAMPLES = {
    "present": Sample({"README.md": "See `tools/a --x`, [b](docs/b.md#part), `core/c.{h,cpp}`, `core/*.h`, `docs/`, `core/<name>.h`.\n",
                       "tools/a": "", "docs/b.md": "[up](../README.md) [net](https://example.org/x) `build/x`\n", "core/c.h": "", "core/c.cpp": ""}, None),
    "absent_in_backticks": Sample({"docs/a.md": "\nRun `tools/nothing --now`.\n"}, "docs/a.md:2: names tools/nothing,"),
    "absent_link": Sample({"docs/a.md": "[x](b.md)\n"}, "docs/a.md:1: names docs/b.md,"),
    "absent_alternative": Sample({"README.md": "`core/c.{h,cpp}`\n", "core/c.h": ""}, "names core/c.cpp,"),
    "absent_glob": Sample({"README.md": "`bench/*.py`\n"}, "names bench/*.py,"),
    "machine_path": Sample({"tools/a": f"cd {HERE}/src\n"}, f"tools/a:1: {HERE}/src is a path of one machine"),
    "machine_path_quoted": Sample({"core/a.cmake": f'set(X "{HERE}")\n'}, "is a path of one machine"),
    "scratch_path": Sample({"core/a.py": "open('/" + "tmp/mine/x')\n"}, "is a path of one machine"),
    "system_paths": Sample({"tools/a": "cat /proc/self/maps /usr/bin/env build/home/x $HOME/root /tmp\n"}, None),
}

if __name__ == "__main__":
    source_check.main(check, SAMPLES)
