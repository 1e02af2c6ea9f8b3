#!/usr/bin/env python3
"""Includes point down: each directory may include itself and what LAYERS allows it, and no header includes itself in a circle."""

import re

import source_check
from source_check import Sample, Tree

# Lowest first; a layer of the core may include every layer before it.
CORE = ["core/base", "core/os", "core/mode", "core/slab", "core/global", "core/heap", "core/api"]
PUBLIC = "core/include/hakmem"
LAYERS = {layer: set(CORE[:rank]) for rank, layer in enumerate(CORE)}
LAYERS["core/api"].add(PUBLIC)
LAYERS[PUBLIC] = set()
LAYERS["hardened"] = {"core/base", "core/os", "core/mode"}

# The files that put a library together: the checked one sees the composition root, the fast one what guards its samples.
COMPOSITION_ROOTS = {"hardened/lib_hardened.cpp": {"core/api"}, "core/api/lib_fast.cpp": {"hardened"}}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def layer_of(name: str) -> str | None:
    return next((layer for layer in LAYERS if name.startswith(layer + "/")), None)


def includes(tree: Tree, name: str) -> list[str]:
    """The project's files that a file includes, and whatever it includes in quotes."""
    found = []
    for quote, path in INCLUDE.findall(tree.text(name) or ""):
        if path.startswith("hakmem/"):
            path = "core/include/" + path
        if quote == '"' or path in tree.names:
            found.append(path)
    return found


def cycle(graph: dict[str, list[str]]) -> list[str] | None:
    """A way from some file back to itself."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return path[path.index(name):] + [name]
        if name in done:
            return None
        for target in graph.get(name, []):
            if found := visit(target, path + [name]):
                return found
        done.add(name)
        return None

    return next((found for name in graph if (found := visit(name, []))), None)


def check(tree: Tree) -> list[str]:
    found = []
    graph = {}
    for name in tree.cpp("core", "hardened"):
        layer = layer_of(name)
        if layer is None:
            found.append(f"{name}: lies in no layer; the layers are {', '.join(LAYERS)}")
            continue
        graph[name] = includes(tree, name)
        allowed = LAYERS[layer] | COMPOSITION_ROOTS.get(name, set()) | {layer}
        for target in graph[name]:
            if target not in tree.names:
                found.append(f"{name}: includes \"{target}\", which is no path from the root of the project")
            elif layer_of(target) not in allowed:
                found.append(f"{name}: {layer} may not include {target}")
    if circle := cycle(graph):
        found.append(f"circular include: {' -> '.join(circle)}")
    return found


def tree_with(**sources: str) -> dict[str, str]:
    names = {"base": "core/base/a.h", "os": "core/os/b.h", "slab": "core/slab/s.h", "api": "core/api/e.h", "hardened": "hardened/h.h",
             "root": "hardened/lib_hardened.cpp", "public": "core/include/hakmem/hakmem.h", "stray": "core/more/x.h"}
    return {names[key]: text for key, text in sources.items()}


SAMPLES = {
    "down": Sample(tree_with(base="#include <vector>\n", os='#include "core/base/a.h"\n'), None),
    "up": Sample(tree_with(base='#include "core/os/b.h"\n', os=""), "core/base may not include core/os/b.h"),
    "indented": Sample(tree_with(base='  #  include "core/os/b.h"\n', os=""), "core/base may not include core/os/b.h"),
    "angle_brackets": Sample(tree_with(base="#include <core/os/b.h>\n", os=""), "core/base may not include core/os/b.h"),
    "hardened_sees_slab": Sample(tree_with(hardened='#include "core/slab/s.h"\n', slab=""), "hardened may not include core/slab/s.h"),
    "core_sees_hardened": Sample(tree_with(api='#include "hardened/h.h"\n', hardened=""), "core/api may not include hardened/h.h"),
    "composition_root": Sample(tree_with(root='#include "core/api/e.h"\n', api=""), None),
    "public_header_from_api": Sample(tree_with(api="#include <hakmem/hakmem.h>\n", public=""), None),
    "public_header_from_below": Sample(tree_with(os='#include "hakmem/hakmem.h"\n', public=""), "core/os may not include core/include/hakmem/hakmem.h"),
    "relative_path": Sample(tree_with(base='#include "b.h"\n'), "no path from the root"),
    "stray_directory": Sample(tree_with(stray=""), "lies in no layer"),
    "circle": Sample({"core/base/a.h": '#include "core/base/b.h"\n', "core/base/b.h": '#include "core/base/a.h"\n'}, "circular include"),
}

if __name__ == "__main__":
    source_check.main(check, SAMPLES)
