#!/usr/bin/env python3
"""The preprocessor in core/ and hardened/: includes and `#pragma once` everywhere, the rest only where this file says so."""

import re

import source_check
from source_check import Sample, Tree

CONDITIONALS = {"if", "ifdef", "ifndef", "elif", "else", "endif"}
MACROS = {"define", "undef"}
EVERYWHERE = {"include", "pragma"}

# What else a file may use, by the beginning of its path.
ALLOWED = {
    "core/os/": CONDITIONALS | MACROS,  # kernels and C libraries differ
    "core/base/check.h": CONDITIONALS | MACROS,  # the spellings of "our own bug"
    "core/include/hakmem/hakmem.h": CONDITIONALS | MACROS,  # one header for C and C++
    "core/api/": MACROS,  # tables that are read more than once: options, exported names
}

DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w+)", re.MULTILINE)
ENVIRONMENT = re.compile(r"\b(?:secure_)?getenv\b|\benviron\b")
ENVIRONMENT_READERS = ("core/api/options", "core/api/linux_process.h")  # the table, and what hands the environment to it


def check(tree: Tree) -> list[str]:
    found = []
    for name in tree.cpp("core", "hardened"):
        text = source_check.code_only(tree.text(name) or "")
        allowed = EVERYWHERE.union(*(more for prefix, more in ALLOWED.items() if name.startswith(prefix)))
        for match in DIRECTIVE.finditer(text):
            if match.group(1) not in allowed:
                found.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}: #{match.group(1)} does not belong here")
        if not name.startswith(ENVIRONMENT_READERS):
            for match in ENVIRONMENT.finditer(text):
                found.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}: only {' and '.join(ENVIRONMENT_READERS)} read the environment")
    return found


SAMPLES = {
    "plain": Sample({"core/slab/a.h": "#pragma once\n#include <x>\n// #if 0\n/*\n#if 1\n*/\nchar const* s = \"\\n#if\";\n"}, None),
    "conditional": Sample({"core/slab/a.h": "int x;\n  # if X\n"}, "core/slab/a.h:2: #if does not belong here"),
    "ifdef": Sample({"hardened/a.cpp": "#ifdef X\n"}, "#ifdef does not belong here"),
    "else": Sample({"core/heap/a.cpp": "#else\n"}, "#else does not belong here"),
    "macro": Sample({"core/global/a.h": "#define X 1\n"}, "#define does not belong here"),
    "conditional_in_api": Sample({"core/api/a.cpp": "#define X\n#undef X\n#if X\n"}, "core/api/a.cpp:3: #if does not belong here"),
    "homes": Sample({"core/os/a.cpp": "#if X\n#define Y\n#endif\n", "core/base/check.h": "#ifndef X\n#endif\n"}, None),
    "other_base_header": Sample({"core/base/lock.h": "#if X\n"}, "core/base/lock.h:1: #if does not belong here"),
    "getenv": Sample({"core/heap/a.cpp": "// getenv\nauto x = getenv(\"HAKMEM_X\");\n"}, "core/heap/a.cpp:2: only core/api/options"),
    "environ": Sample({"core/os/a.cpp": "auto x = environ;\n"}, "only core/api/options"),
    "options": Sample({"core/api/options.cpp": "auto x = getenv(\"HAKMEM_X\");\n"}, None),
}

if __name__ == "__main__":
    source_check.main(check, SAMPLES)
