#!/usr/bin/env python3
"""The catalogue of planted bugs: each applies to the sources exactly once, and docs/planted_bugs.md lists it.

With --write the document is made anew; with --plant NAME --into DIRECTORY that directory becomes a
copy of the sources with that bug, to be configured and built like the sources.
"""
import argparse
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CATALOGUE = HERE / "planted_bugs.toml"
DOCUMENT = ROOT / "docs/planted_bugs.md"
LEAST = {"arithmetic": 8, "os": 12, "slab": 10, "concurrency": 10, "checked": 8}
FIELDS = {"name", "group", "says", "file", "old", "new"}
BEGIN, END = "<!-- table: made by property_tests/planted/planted_bugs.py --write -->", "<!-- end of table -->"


def bugs():
    """All bugs, each with its number."""
    found = tomllib.loads(CATALOGUE.read_text())["bug"]
    return [{"number": number, **bug} for number, bug in enumerate(found, 1)]


def planted(bug, text):
    """The text of the bug's file with the bug in it."""
    if (count := text.count(bug["old"])) != 1:
        raise ValueError(f"{bug['name']}: {bug['file']} has what it replaces {count} times, not once")
    return text.replace(bug["old"], bug["new"])


def copy_sources(target):
    """Makes `target` a copy of the sources; what is like them already keeps its time."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split("\0")
    names = {name for name in listed if (ROOT / name).is_file()}
    for path in list(target.rglob("*")) if target.exists() else []:
        if path.is_file() and str(path.relative_to(target)) not in names:
            path.unlink()
    for name in names:
        source, copy = ROOT / name, target / name
        if copy.is_file() and copy.read_bytes() == source.read_bytes():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)


def table(catalogue):
    rows = ["| | name | group | file | what is wrong |", "|---|---|---|---|---|"]
    rows += [f"| {bug['number']} | {bug['name']} | {bug['group']} | `{bug['file']}` | {bug['says']} |" for bug in catalogue]
    return "\n".join(rows)


def document_with(text, catalogue):
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + table(catalogue) + "\n" + END + rest.split(END)[1]


def problems(catalogue, root):
    found = []
    for bug in catalogue:
        if missing := FIELDS - bug.keys():
            found.append(f"bug {bug['number']} has no {', '.join(sorted(missing))}")
            continue
        path = root / bug["file"]
        try:
            if planted(bug, path.read_text()) == path.read_text():
                found.append(f"{bug['name']}: changes nothing")
        except (OSError, ValueError) as error:
            found.append(str(error))
    names = [bug.get("name") for bug in catalogue]
    found += [f"{name}: there are two of this name" for name in sorted({n for n in names if names.count(n) > 1})]
    groups = [bug.get("group") for bug in catalogue]
    found += [f"group {group}: {groups.count(group)} bugs, not {least} or more"
              for group, least in LEAST.items() if groups.count(group) < least]
    return found


def control():
    """What the check must refuse."""
    good = bugs()
    samples = {
        "text that is not there": [{**good[0], "old": "no such text"}, *good[1:]],
        "text that is there twice": [{**good[0], "old": "return"}, *good[1:]],
        "a bug that changes nothing": [{**good[0], "new": good[0]["old"]}, *good[1:]],
        "two of one name": [{**good[0], "name": good[1]["name"]}, *good[1:]],
        "too few of a group": good[1:],
        "a file that is not there": [{**good[0], "file": "core/none.h"}, *good[1:]],
        "a bug without a sentence": [{key: value for key, value in good[0].items() if key != "says"}, *good[1:]],
    }
    return [f"control: accepted {name}" for name, sample in samples.items() if not problems(sample, ROOT)]


def main():
    parser = argparse.ArgumentParser(description="Check the catalogue of planted bugs.")
    parser.add_argument("--write", action="store_true", help="make the table of docs/planted_bugs.md anew")
    parser.add_argument("--control", action="store_true", help="show that the check refuses what is wrong")
    parser.add_argument("--plant", metavar="NAME")
    parser.add_argument("--into", metavar="DIRECTORY", type=Path)
    options = parser.parse_args()
    catalogue = bugs()
    if (options.plant is None) != (options.into is None):
        sys.exit("planted_bugs: --plant and --into go together")
    if options.plant:
        chosen = [bug for bug in catalogue if bug["name"] == options.plant]
        if not chosen:
            sys.exit(f"planted_bugs: no bug is called {options.plant}")
        copy_sources(options.into)
        file = options.into / chosen[0]["file"]
        file.write_text(planted(chosen[0], file.read_text()))
        return 0
    found = control() if options.control else problems(catalogue, ROOT)
    text = DOCUMENT.read_text()
    if options.write:
        DOCUMENT.write_text(document_with(text, catalogue))
    elif document_with(text, catalogue) != text:
        found.append("docs/planted_bugs.md differs from the catalogue; make it anew with --write")
    for problem in found:
        print(f"planted_bugs: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
