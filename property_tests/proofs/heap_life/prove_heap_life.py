#!/usr/bin/env python3
"""Checks the model of the life of heaps (heap_life.pml) with SPIN.

All states of it are visited for safety, and for liveness under weak fairness; each seeded bug that
the head of the model names must be found; each step must be named after a function of core/.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
MODEL = HERE / "heap_life.pml"
SAFETY = (["-O2", "-DSAFETY", "-DNOCLAIM", "-DCOLLAPSE"], ["-m200000"])
LIVENESS = (["-O2", "-DCOLLAPSE", "-DNFAIR=4"], ["-a", "-f", "-m400000"])
SMALL = {"BLOCKS": 2, "FREERS": 2}  # where the seeded bugs of liveness show


class Failure(Exception):
    pass


def check_names():
    core = "\n".join(path.read_text() for path in (ROOT / "core").rglob("*.h"))
    steps = re.findall(r"^inline (\w+)\(", MODEL.read_text(), re.M)
    for step in steps:
        if not re.search(rf"^ .*\b(?:void|bool|auto|[\w:]+<C>|Heap|Block<C>)\s*\*? ?\b{step}\(", core, re.M):
            raise Failure(f"{MODEL.name}: core/ has no function {step}()")
    return steps


def run(kind, defines):
    """SPIN's verdict: errors, states, seconds."""
    compiler_flags, checker_flags = kind
    with tempfile.TemporaryDirectory() as folder:
        macros = [f"-D{name}={value}" if value is not None else f"-D{name}" for name, value in defines.items()]
        for command in (["spin", *macros, "-a", str(MODEL)],
                        ["gcc", "-w", "-DMEMLIM=3000", *compiler_flags, "-o", "pan", "pan.c"]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Failure(f"{' '.join(command[:2])}: {(done.stdout + done.stderr)[-300:]}")
        begin = time.monotonic()
        text = subprocess.run(["./pan", *checker_flags], cwd=folder, capture_output=True, text=True, check=False).stdout
    errors, states = re.search(r"errors: (\d+)", text), re.search(r"([\d.e+]+) states, stored", text)
    if not errors or not states or "max search depth too small" in text or "reached -DMEMLIM" in text:
        raise Failure(f"no complete search with {defines}: {text[-300:]}")
    return int(errors[1]), int(float(states[1])), round(time.monotonic() - begin, 2)


def main():
    parser = argparse.ArgumentParser(description="Check the model of the life of heaps.")
    parser.add_argument("--deep", action="store_true", help="more lives and larger liveness")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the rows there")
    options = parser.parse_args()
    steps = check_names()
    text = MODEL.read_text()
    seeds = {kind: re.search(rf"seeded {kind}: +(.*)", text)[1].split() for kind in ("safety", "liveness")}
    unused = [seed for seed in sum(seeds.values(), []) if not re.search(rf"#ifn?def {seed}\b", text)]
    if unused:
        raise Failure(f"{MODEL.name}: seeded bugs that change nothing: {' '.join(unused)}")
    deep = options.deep
    tasks = [("safety", SAFETY, {"BLOCKS": 6, "FREERS": 4, "LIVES": 2 if deep else 1}, False),
             ("liveness", LIVENESS, {"BLOCKS": 4, "FREERS": 4 if deep else 2, "LIVES": 1}, False)]
    tasks += [(seed, SAFETY, {seed: None}, True) for seed in seeds["safety"]]
    tasks += [(seed, LIVENESS, {**SMALL, seed: None}, True) for seed in seeds["liveness"]]
    rows, failed = [], 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for (name, _, defines, seeded), (errors, states, seconds) in zip(
                tasks, pool.map(lambda task: run(task[1], task[2]), tasks)):
            wrong = (errors > 0) != seeded
            failed += wrong
            verdict = "FAILED" if wrong else "seeded bug found" if seeded else "holds"
            bounds = " ".join(f"{key.lower()} {value}" for key, value in defines.items() if value is not None)
            rows.append({"name": name, "states": states, "seconds": seconds, "seeded": seeded, "bounds": bounds})
            print(f"{name:20} {states:10} states {seconds:7.2f} s  {bounds:28} {verdict}", flush=True)
    print(f"{len(steps)} steps named after functions of core/, {sum(row['seeded'] for row in rows)} seeded bugs")
    if options.json:
        options.json.write_text(json.dumps(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, OSError) as problem:
        sys.exit(f"prove_heap_life.py: {problem}")
