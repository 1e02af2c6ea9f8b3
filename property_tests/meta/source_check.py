"""What the checks of the source tree share: the files of the tree, C++ without comments and strings, and the command line.

A check is a function from a tree to sentences, one per violation. Each comes with samples: small trees, each with the
violation that must be found in it (None: the tree is clean). `CHECK.py --root DIR` checks a tree; `CHECK.py --control`
checks the samples, which shows that the check can fail.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

CPP_SUFFIXES = {".h", ".cpp", ".c", ".def", ".inc"}
NOT_CODE = re.compile(r"""//[^\n]*|/\*.*?\*/|R"(?P<tag>[^()\\\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'""", re.DOTALL)


class Sample(NamedTuple):
    files: dict[str, str]
    expected: str | None


class Tree:
    """The files of a tree that belong to the project: those git knows or would add, or all where there is no git."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if (root / ".git").exists():
            listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                    capture_output=True, text=True, check=True)
            names = [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]
        else:
            names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
        self.names = sorted(name for name in names if not name.startswith("build/"))

    def cpp(self, *directories: str) -> list[str]:
        return [name for name in self.names
                if Path(name).suffix in CPP_SUFFIXES and any(name.startswith(directory + "/") for directory in directories)]

    def text(self, name: str) -> str | None:
        """The text of a file; None when it is binary."""
        try:
            return (self.root / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return None


def code_only(text: str) -> str:
    """C++ with comments removed and the contents of literals blanked; line numbers stay."""
    def blank(match: re.Match) -> str:
        literal = match.group(0)
        newlines = "\n" * literal.count("\n")
        return newlines if literal.startswith(("//", "/*")) else f'""{newlines}'
    return NOT_CODE.sub(blank, text)


def control(check: Callable[[Tree], Iterable[str]], samples: dict[str, Sample]) -> list[str]:
    """What the check says wrongly about the samples."""
    wrong = []
    for name, sample in samples.items():
        with tempfile.TemporaryDirectory(prefix="hakmem-sample-") as directory:
            for path, text in sample.files.items():
                file = Path(directory) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            found = list(check(Tree(Path(directory))))
        if sample.expected is None and found:
            wrong.append(f"sample {name} is clean, but: {found}")
        elif sample.expected is not None and not any(sample.expected in sentence for sentence in found):
            wrong.append(f"sample {name}: expected '{sample.expected}', found {found}")
    return wrong


def main(check: Callable[[Tree], Iterable[str]], samples: dict[str, Sample]) -> None:
    parser = argparse.ArgumentParser()
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--root", type=Path, help="check this source tree")
    mode.add_argument("--control", action="store_true", help="check that the check finds what is planted in its samples")
    arguments = parser.parse_args()
    found = control(check, samples) if arguments.control else list(check(Tree(arguments.root)))
    print("\n".join(found) if found else f"nothing found{f' wrong in {len(samples)} samples' if arguments.control else ''}")
    sys.exit(1 if found else 0)
