#!/usr/bin/env python3
"""Files of code have at most 400 lines, functions at most 50."""

import re
from collections.abc import Iterator
from pathlib import Path

import source_check
from source_check import Sample, Tree

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
SCRIPTS = {".py", ".sh", ".cmake", ".pml"}

# Parts of a head whose parentheses are not those of a function.
NOT_SIGNATURE = re.compile(r"\btemplate\s*<[^{;]*?>\s*(?=\w)|\balignas\s*\([^()]*\)|\[\[.*?\]\]", re.DOTALL)
SCOPE = re.compile(r"\b(?:namespace|class|struct|union|enum|extern)\b(?![^{]*\()")
CONCEPT = re.compile(r"\bconcept\b")
MEMBER_INITIALISER = re.compile(r"\)[^;]*:[^;]*[\w>]\s*$", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)


def without_directives(code: str) -> str:
    return DIRECTIVE.sub(lambda match: "\n" * match.group().count("\n"), code)


def functions(code: str) -> Iterator[tuple[int, int]]:
    """The first and last line of each outermost function body (with its head), found by its braces."""
    head_start = position = 0
    while match := re.compile(r"[{};]").search(code, position):
        position = match.end()
        if match.group() != "{":
            head_start = position
            continue
        head = NOT_SIGNATURE.sub("", code[head_start:match.start()])
        if SCOPE.search(head):
            head_start = position
            continue
        position = matching_brace(code, match.start()) + 1
        if "(" in head and not MEMBER_INITIALISER.search(head) and not CONCEPT.search(head):
            first = head_start + len(code[head_start:]) - len(code[head_start:].lstrip())
            yield code.count("\n", 0, first) + 1, code.count("\n", 0, position) + 1
            head_start = position


def matching_brace(code: str, opening: int) -> int:
    depth = 0
    for match in re.compile(r"[{}]").finditer(code, opening):
        depth += 1 if match.group() == "{" else -1
        if depth == 0:
            return match.start()
    return len(code) - 1


def check(tree: Tree) -> list[str]:
    found = []
    code = set(tree.cpp("core", "hardened", "bench", "property_tests", "fuzz", "tools"))
    for name in tree.names:
        text = tree.text(name) if name in code or Path(name).suffix in SCRIPTS or name.startswith("tools/") else None
        if text is None:
            continue
        lines = text.count("\n")
        if lines > MAX_FILE_LINES:
            found.append(f"{name}: {lines} lines; a file has at most {MAX_FILE_LINES}")
        if name in code:
            for first, last in functions(without_directives(source_check.code_only(text))):
                if last - first + 1 > MAX_FUNCTION_LINES:
                    found.append(f"{name}:{first}: a function of {last - first + 1} lines; at most {MAX_FUNCTION_LINES}")
    return found


def function(lines: int, head: str = "int f(int x)") -> str:
    return f"{head} {{\n" + "  x;\n" * (lines - 2) + "}\n"


SAMPLES = {
    "limits": Sample({"core/slab/a.h": function(50) * 8}, None),
    "long_file": Sample({"core/slab/a.h": "int x;\n" * 401}, "core/slab/a.h: 401 lines"),
    "long_script": Sample({"tools/a": "true\n" * 401}, "tools/a: 401 lines"),
    "long_function": Sample({"bench/a.cpp": "int x;\n\n" + function(51)}, "bench/a.cpp:3: a function of 51 lines"),
    "in_namespace": Sample({"core/os/a.h": "namespace a {\n" + function(51) + "}\n"}, "core/os/a.h:2: a function of 51"),
    "in_class_template": Sample({"core/os/a.h": "template <class T>\nclass A : B<T> {\n" + function(51) + "};\n"}, ":3: a function of 51"),
    "function_template": Sample({"core/os/a.h": function(51, "template <class T> requires C<T> struct S f(T x)")}, ":1: a function of 51"),
    "aligned_class": Sample({"core/os/a.h": "class alignas(128) A {\n" + function(20) * 4 + "};\n"}, None),
    "in_aligned_class": Sample({"core/os/a.h": "class alignas(128) A {\n" + function(51, "[[nodiscard]] int f()") + "};\n"}, ":2: a function of 51"),
    "concept": Sample({"core/os/a.h": "template <class T>\nconcept C = requires(T t) {\n" + "  { t.f() };\n" * 60 + "};\n"}, None),
    "constructor": Sample({"core/os/a.h": "struct A {\n" + function(51, "A() : a_{1}, b_(2)") + "};\n"}, ":2: a function of 51"),
    "braces_in_text": Sample({"core/os/a.h": function(25, "int f(char c = '{')") + "// {\nchar const* s = \"{\";\n" + function(40)}, None),
    "macro_before": Sample({"core/base/check.h": "#define A \\\n  { \\\n  b\n" + function(51)}, ":4: a function of 51"),
    "long_class": Sample({"core/os/a.h": "struct A {\n" + "  int x{3};\n" * 60 + "};\n"}, None),
    "test_body": Sample({"property_tests/a.cpp": function(60, "TEST(A, b)")}, "a function of 60 lines"),
}

if __name__ == "__main__":
    source_check.main(check, SAMPLES)
