#!/usr/bin/env python3
"""Every header stands alone: it compiles as the first thing that a file includes, and being included twice does no harm."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import source_check
from source_check import Sample, Tree

COMPILE = ["g++", "-std=c++20", "-fsyntax-only", "-w", "-I.", "-Icore/include", "-x", "c++", "-"]
FIRST_ERROR = re.compile(r"^(.*error: .*)$", re.MULTILINE)


def check(tree: Tree) -> list[str]:
    headers = [name for name in tree.cpp("core", "hardened") if name.endswith(".h")]

    def violation(name: str) -> str | None:
        twice = f'#include "{name}"\n#include "{name}"\n'
        result = subprocess.run(COMPILE, input=twice, capture_output=True, text=True, cwd=tree.root, env=os.environ | {"LC_ALL": "C"})
        if result.returncode == 0:
            return None
        error = FIRST_ERROR.search(result.stderr)
        return f"{name}: does not compile on its own: {error.group(1) if error else result.stderr[-300:]}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [sentence for sentence in pool.map(violation, headers) if sentence]


SAMPLES = {
    "complete": Sample({"core/base/a.h": "#pragma once\n#include <cstddef>\nstruct A { std::size_t x; };\n"}, None),
    "missing_include": Sample({"core/base/a.h": "#pragma once\nstruct A { std::vector<int> x; };\n"}, "core/base/a.h: does not compile on its own"),
    "no_pragma_once": Sample({"core/base/a.h": "struct A {};\n"}, "redefinition of"),
}

if __name__ == "__main__":
    source_check.main(check, SAMPLES)
