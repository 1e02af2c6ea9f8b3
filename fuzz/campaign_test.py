#!/usr/bin/env python3
"""tools/fuzz from the engine to the report: a seeded bug is found, printed and reproduced; a sound target is merged."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = "options"
SMALL_BYTES = 64


def fuzz(root: Path, *options: object) -> subprocess.CompletedProcess:
    words = [root / "tools/fuzz", "--target", TARGET, *options]
    return subprocess.run([str(word) for word in words], capture_output=True, text=True)


def reproduced(root: Path, line: str) -> subprocess.CompletedProcess:
    """Runs what the report says, which is a command of a shell at the top of the project."""
    return subprocess.run(line.removeprefix("reproduce: "), shell=True, cwd=root, capture_output=True, text=True)


def finds(root: Path, programs: Path, corpus: Path) -> str | None:
    ran = fuzz(root, "--programs", programs, "--corpus", corpus, "--minutes", 1, "--seeded", 1)
    lines = ran.stdout.splitlines()
    commands = [line for line in lines if line.startswith("reproduce: ")]
    if ran.returncode != 1 or f"{TARGET}: " not in ran.stdout or not commands:
        return f"a seeded bug was not found and reported (exit code {ran.returncode}): {ran.stdout[-800:]}{ran.stderr[-400:]}"
    if not lines[lines.index(commands[0]) + 1].startswith("// "):
        return f"what the input does was not printed: {ran.stdout[-800:]}"
    found = root / commands[0].split()[-1]
    if found.stat().st_size > (found.parent.parent / found.name).stat().st_size or found.stat().st_size > SMALL_BYTES:
        return f"what was found was not shrunk: {found.stat().st_size} bytes are left"
    if any(corpus.rglob("*.*")) or len(list((corpus / TARGET).iterdir())) != 1:
        return "a control changed the corpus"
    again = reproduced(root, commands[0])
    if again.returncode == 0 or "violation: " not in again.stderr:
        return f"{commands[0]} does not reproduce it: {again.stderr[-400:]}"
    sound = reproduced(root, commands[0].replace("HAKMEM_FUZZ_SEEDED=1 ", ""))
    return None if sound.returncode == 0 else f"the input fails without the bug too: {sound.stderr[-400:]}"


def merges(root: Path, programs: Path, corpus: Path) -> str | None:
    ran = fuzz(root, "--programs", programs, "--corpus", corpus, "--minutes", 0.05)
    if ran.returncode != 0 or "executions, 0 findings" not in ran.stdout:
        return f"a sound target did not pass (exit code {ran.returncode}): {ran.stdout[-800:]}{ran.stderr[-400:]}"
    count = len(list((corpus / TARGET).iterdir()))
    return None if count > 1 and f"corpus of {count} inputs" in ran.stdout else f"nothing was merged: {ran.stdout[-400:]}"


def refuses(root: Path, programs: Path, corpus: Path) -> str | None:
    """Wrong use is one line and a code that is not zero; a bug that does not exist is named by the engine."""
    for options, expected in ((("--minutes", 0), "--minutes must be more than 0"), (("--programs", corpus), "no program fuzz_options in"),
                              (("--target", "nothing"), "no target nothing")):
        ran = fuzz(root, *options)
        if ran.returncode == 0 or expected not in ran.stderr or len(ran.stderr.splitlines()) != 1:
            return f"{options} was answered with code {ran.returncode} and {ran.stderr[-400:]!r}"
    ran = subprocess.run([programs / f"fuzz_{TARGET}", "-runs=1"], env={**os.environ, "HAKMEM_FUZZ_SEEDED": "99"}, cwd=corpus, capture_output=True, text=True)
    return None if 'HAKMEM_FUZZ_SEEDED is "99", must be 1 to' in ran.stderr else f"seeded bug 99 was taken: {ran.stderr[-400:]}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True, help="has a target, built with an engine")
    arguments = parser.parse_args()
    subprocess.run(["ninja", "-C", arguments.build, f"replay_{TARGET}"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="hakmem-campaign-") as directory:
        corpus = Path(directory)
        (corpus / TARGET).mkdir()
        (corpus / TARGET / "seed").write_text("HAKMEM_STATS=1")
        wrong = next((said for step in (refuses, finds, merges) if (said := step(arguments.root, arguments.build / "fuzz", corpus))), None)
    print(wrong or "sound")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
