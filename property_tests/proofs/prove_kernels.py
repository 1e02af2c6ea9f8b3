#!/usr/bin/env python3
"""Proves the kernels of the library for all inputs, from their compiled form.

kernels.cpp is compiled to LLVM IR and translated to SMT-LIB (ir_to_smt.py). Each NAME.goal is SMT-LIB
that defines two Booleans over free variables, `domain` and `claim`; its head says

  ; goal: the claim as a sentence
  ; covers: the invariants it serves
  ; each: index = 0..79          (optional) one proof for each value of that 32-bit constant
  ; deep: index = 0..79          (optional) the values under --deep; mutants have those of `each`
  ; mutant: [FILE: ]OLD => NEW   one change of the source (core/base/kernels.h) that must refute it

Three verdicts are demanded of every goal: the domain is not empty (sat), no input of the domain
breaks the claim (unsat), and each mutant has an input that does (sat). Under --deep z3 is asked for the
first two as well; where it has no answer in its time, that is said and cvc5's word stands alone.
"""
import argparse
import functools
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KERNELS = "core/base/kernels.h"
# Values of `each` in one run. z3 leaves its bit-vector procedure at the first push.
AT_ONCE = {"cvc5": 8, "z3": 1}
# The soft limit of processor time, below the hard one, ends z3 with SIGXCPU, which tells it from a crash.
SOLVERS = {"cvc5": ["cvc5", "--incremental", "--tlimit-per=240000"], "z3": ["prlimit", "--cpu=60:90", "z3", "-in"]}
GOAL_SECONDS = {"cvc5": 1200, "z3": 600}  # of a solver for all values of one goal; then it is undecided

sys.path.insert(0, str(HERE))
import ir_to_smt  # noqa: E402


class Failure(Exception):
    pass


class Undecided(Exception):
    """A solver that gave no answer in its time."""


class Goal:
    def __init__(self, path, deep=False):
        self.name, self.text = path.stem, path.read_text()
        self.sentence = self.field("goal")
        self.covers = self.field("covers").split()
        self.constant, self.values = self.range_of(deep and self.field("deep") or self.field("each"))
        _, self.mutant_values = self.range_of(self.field("each"))
        self.mutants = [self.mutant(text) for text in re.findall(r"^; mutant: (.*)$", self.text, re.M)]
        if not self.sentence or not self.covers or not self.mutants:
            raise Failure(f"{path.name}: needs goal, covers and at least one mutant")
        body = re.sub(r"^;.*\n", "", self.text, flags=re.M)
        body = re.sub(r"\(word (\d+)\)", r"(_ bv\1 64)", body)
        self.body = re.sub(r"\(half (\d+)\)", r"(_ bv\1 32)", body)

    def field(self, key):
        match = re.search(rf"^; {key}: (.*)$", self.text, re.M)
        return match[1] if match else ""

    @staticmethod
    def range_of(text):
        match = re.fullmatch(r"(\w+) = (\d+)\.\.(\d+)", text)
        return (match[1], list(range(int(match[2]), int(match[3]) + 1))) if match else ("", [None])

    @staticmethod
    def mutant(text):
        file, change = KERNELS, text
        if match := re.match(r"((?:core|hardened)/\S+): ", text):
            file, change = match[1], text[match.end():]
        old, arrow, new = change.partition(" => ")
        if not arrow:
            raise Failure(f"mutant without =>: {text}")
        return file, old, new

    def functions(self, module):
        """The definitions this goal speaks about."""
        used = set(re.findall(r"[\w]+", self.body))
        return "".join(text for name, text in module.items() if name in used)

    def kernels(self, module):
        return sorted(set(re.findall(r"(\w+)\.defined", self.body)) & set(module))

    def script(self, module, query, values):
        parts = [(HERE / "prelude.smt2").read_text(), self.functions(module)]
        for value in values:
            fixed = "" if value is None else f"(define-fun {self.constant} () Half (_ bv{value} 32))\n"
            body = f"{fixed}{self.body}(assert domain)\n{query}(check-sat)\n"
            parts.append(body if len(values) == 1 else f"(push 1)\n{body}(pop 1)\n")
        return "".join(parts)


def solve(solver, script):
    """The answers, one for each check-sat, and the seconds taken."""
    begin = time.monotonic()
    run = subprocess.run(SOLVERS[solver], input=script, capture_output=True, text=True, check=False)
    answers = run.stdout.split()
    late = "interrupted by timeout" in run.stderr or run.returncode == -signal.SIGXCPU
    if late or {"timeout", "unknown"} & set(answers):
        raise Undecided("a query")
    if not answers or set(answers) - {"sat", "unsat"}:
        raise Failure(f"{solver}: {(run.stdout + run.stderr).strip()[:300] or 'no answer'}")
    return answers, time.monotonic() - begin


def compile_kernels(include_first=None):
    """The translated kernels of the tree, or of the tree with some headers replaced."""
    command = ["clang++-19", "-std=c++20", "-O2", "-fno-discard-value-names", "-S", "-emit-llvm", "-o", "-"]
    for folder in filter(None, (include_first, ROOT)):
        command.append(f"-I{folder}")
    run = subprocess.run([*command, str(HERE / "kernels.cpp")], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise Failure(f"kernels.cpp does not compile:\n{run.stderr[:600]}")
    return ir_to_smt.translate(run.stdout)


@functools.cache
def compile_mutant(mutant):
    file, old, new = mutant
    source = (ROOT / file).read_text()
    if source.count(old) != 1:
        raise Failure(f"mutant: {file} has '{old}' {source.count(old)} times, not once")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / file
        target.parent.mkdir(parents=True)
        target.write_text(source.replace(old, new))
        return compile_kernels(folder)


def expect(goal, what, answers, wanted):
    if wanted == "all unsat" and set(answers) == {"unsat"}:
        return
    if wanted == "all sat" and set(answers) == {"sat"}:
        return
    if wanted == "some sat" and "sat" in answers:
        return
    raise Failure(f"{goal.name}: {what}: {len(answers)} answers, {answers.count('sat')} sat; wanted {wanted}")


def check(goal, module, solver):
    """Proves one goal; returns the row to report."""
    spent, queries = 0.0, 0

    def ask(what, definitions, query, wanted, values):
        nonlocal spent, queries
        answers, at_once = [], AT_ONCE[solver]
        for first in range(0, len(values), at_once):
            if spent > GOAL_SECONDS[solver]:
                raise Undecided(f"{len(values) - first} of {len(values)} values")
            some = values[first : first + at_once]
            found, seconds = solve(solver, goal.script(definitions, query, some))
            if len(found) != len(some):
                raise Failure(f"{goal.name}: {what}: {len(found)} answers of {len(some)}")
            spent, queries, answers = spent + seconds, queries + len(found), answers + found
            if wanted == "some sat" and "sat" in found:
                break
        expect(goal, what, answers, wanted)

    ask("vacuity", module, "", "all sat", goal.values)
    ask("claim", module, "(assert (not claim))\n", "all unsat", goal.values)
    mutants = goal.mutants if solver == "cvc5" else []
    for mutant in mutants:
        ask(f"mutant {mutant[2]}", compile_mutant(mutant), "(assert (not claim))\n", "some sat", goal.mutant_values)
    return {"goal": goal.name, "sentence": goal.sentence, "covers": goal.covers, "solver": solver,
            "proofs": len(goal.values), "queries": queries, "mutants": len(mutants), "seconds": round(spent, 2)}


def check_coverage(goals, module):
    """Every kernel of the header is compiled here and proven to be defined by some goal."""
    header = (ROOT / KERNELS).read_text()
    declared = set(re.findall(r"^constexpr [\w:]+ (\w+)\(", header, re.M))
    proven = {name for goal in goals for name in goal.kernels(module)}
    for name in sorted(declared):
        if not any(symbol == name or symbol.startswith(name + "_") for symbol in proven):
            raise Failure(f"{KERNELS}: no goal proves {name}")


def main():
    parser = argparse.ArgumentParser(description="Prove the kernels for all inputs.")
    parser.add_argument("--deep", action="store_true", help="ask z3 as well")
    parser.add_argument("--jobs", type=int, default=2, help="solvers at once (default 2)")
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("goals", nargs="*", help="names of goals (default: all)")
    options = parser.parse_args()
    goals = [Goal(path, options.deep) for path in sorted(HERE.glob("*.goal"))]
    module = compile_kernels()
    check_coverage(goals, module)
    if unknown := set(options.goals) - {goal.name for goal in goals}:
        raise Failure(f"no such goal: {' '.join(sorted(unknown))}")
    chosen = [goal for goal in goals if not options.goals or goal.name in options.goals]
    tasks = [(goal, solver) for solver in (["cvc5", "z3"] if options.deep else ["cvc5"]) for goal in chosen]
    rows, failures, undecided = [], [], []
    with ThreadPoolExecutor(options.jobs) as pool:
        submitted = {pool.submit(check, goal, module, solver): (goal.name, solver) for goal, solver in tasks}
        for task in as_completed(submitted):
            name, solver = submitted[task]
            try:
                row = task.result()
                rows.append(row)
                print(f"{row['goal']:24} {row['solver']:5} proofs {row['proofs']:3}  mutants refuted "
                      f"{row['mutants']}  {row['seconds']:7.2f} s", flush=True)
            except Undecided as what:
                undecided.append({"goal": name, "solver": solver, "undecided": str(what)})
                print(f"{name:24} {solver:5} no answer in its time for {what}", flush=True)
                if solver == "cvc5":
                    failures.append(f"{name}: undecided")
            except (Failure, ir_to_smt.Rejected) as failure:
                failures.append(str(failure))
                print(f"FAILED {failure}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows + undecided))
    print(f"{len(rows)} proven, {len(failures)} failed, {len(undecided)} without an answer, "
          f"{sum(row['queries'] for row in rows)} queries")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, ir_to_smt.Rejected, OSError) as problem:
        sys.exit(f"prove_kernels.py: {problem}")
