#!/usr/bin/env python3
"""Translates loop-free integer functions from LLVM IR to SMT-LIB (QF_BV).

For each function `f` two definitions come out:
  f           its result (i1 as Bool, iN as a bit vector)
  f.defined   true when no executed instruction is poison or undefined: nuw, nsw, exact, disjoint and
              nneg hold, shifts stay inside the width, divisors are not zero
Whatever is not known - an instruction, a flag, a loop, a type - is an error, so that a change of the
source can never silently drop out of a proof.
"""
import re
import sys

ARITHMETIC = {"add": "bvadd", "sub": "bvsub", "mul": "bvmul", "and": "bvand", "or": "bvor", "xor": "bvxor",
              "shl": "bvshl", "lshr": "bvlshr", "ashr": "bvashr", "udiv": "bvudiv", "urem": "bvurem"}
COMPARISON = {"eq": "=", "ult": "bvult", "ule": "bvule", "ugt": "bvugt", "uge": "bvuge",
              "slt": "bvslt", "sle": "bvsle", "sgt": "bvsgt", "sge": "bvsge"}
LIMIT = {"umax": "bvuge", "umin": "bvule", "smax": "bvsge", "smin": "bvsle"}
FLAGS = {"nuw", "nsw", "exact", "disjoint"}


class Rejected(Exception):
    pass


def constant(value, width):
    return f"(_ bv{value % (1 << width)} {width})"


def operand(text, width):
    if text.startswith("%"):
        return f"|{text[1:]}|"
    if text in ("true", "false"):
        return "#b1" if text == "true" else "#b0"
    if re.fullmatch(r"-?\d+", text):
        return constant(int(text), width)
    raise Rejected(f"operand {text}")


def conjunction(terms):
    return "true" if not terms else terms[0] if len(terms) == 1 else f"(and {' '.join(terms)})"


def as_bit(condition):
    return f"(ite {condition} #b1 #b0)"


def flag_conditions(name, flags, width, left, right):
    """What the flags of an arithmetic instruction promise."""
    unknown = flags - FLAGS
    if unknown:
        raise Rejected(f"flag {' '.join(sorted(unknown))}")
    wide = {"nuw": "zero", "nsw": "sign"}
    op = ARITHMETIC[name]
    conditions = []
    for flag in sorted(flags & {"nuw", "nsw"}):
        if name == "shl":
            back = "bvlshr" if flag == "nuw" else "bvashr"
            conditions.append(f"(= ({back} (bvshl {left} {right}) {right}) {left})")
        else:
            extra = width if name == "mul" else 1
            extend = f"(_ {wide[flag]}_extend {extra})"
            exact = f"({op} ({extend} {left}) ({extend} {right}))"
            conditions.append(f"(= {exact} ({extend} ({op} {left} {right})))")
    if "exact" in flags:
        back = {"lshr": "bvshl", "ashr": "bvshl", "udiv": "bvmul"}[name]
        conditions.append(f"(= ({back} ({op} {left} {right}) {right}) {left})")
    if "disjoint" in flags:
        conditions.append(f"(= (bvand {left} {right}) {constant(0, width)})")
    return conditions


def count_ones(term, width):
    bits = [f"((_ zero_extend {width - 1}) ((_ extract {i} {i}) {term}))" for i in range(width)]
    return f"(bvadd {' '.join(bits)})"


def with_lets(lets, result):
    for symbol, value in reversed(lets):
        result = f"(let ((|{symbol}| {value})) {result})"
    return result


def count_leading_zeros(term, width):
    """Sets all bits below the first one; the others are counted. z3 multiplies conditions out here."""
    lets, smeared, distance = [], term, 1
    while distance < width:
        lets.append((f"smeared{distance}", f"(bvor {smeared} (bvlshr {smeared} {constant(distance, width)}))"))
        smeared, distance = f"|smeared{distance}|", distance * 2
    lets.append(("zeros", f"(bvnot {smeared})"))
    return with_lets(lets, count_ones("|zeros|", width))


def count_trailing_zeros(term, width):
    """By halves: whenever the lower half of what is left is zero, counts it and goes on behind it."""
    if width & (width - 1):
        raise Rejected(f"count of zeros in i{width}")
    lets, left, count, half = [], term, constant(0, width), width // 2
    while half:
        is_zero = f"(= ((_ extract {half - 1} 0) {left}) {constant(0, half)})"
        lets.append((f"left{half}", f"(ite {is_zero} (bvlshr {left} {constant(half, width)}) {left})"))
        lets.append((f"count{half}", f"(ite {is_zero} (bvadd {count} {constant(half, width)}) {count})"))
        left, count, half = f"|left{half}|", f"|count{half}|", half // 2
    return with_lets(lets, f"(ite (= {term} {constant(0, width)}) {constant(width, width)} {count})")


POINTER_BITS = 64  # an address is a word like others


class Function:
    def __init__(self, name, result, parameters, body):
        self.name, self.parameters = name, parameters
        self.width = self.integer(result)
        self.lets = []       # (symbol, term) in order of evaluation
        self.defined = []    # conditions, each under the condition that its block is reached
        self.extended = {}   # zero-extended values: symbol -> the width they came from
        self.pairs = {}      # { iN, i1 } values: symbol -> (value, overflow bit)
        self.returns = []    # (reached, term)
        self.blocks, self.successors = self.split(body)
        for label in self.order():
            self.translate_block(label)
        if not self.returns:
            raise Rejected("no return")

    @staticmethod
    def integer(text):
        match = re.fullmatch(r"i(\d+)", text)
        if not match:
            raise Rejected(f"type {text}")
        return int(match[1])

    @staticmethod
    def split(body):
        blocks, label = {}, None
        for line in body.splitlines():
            line = re.sub(r"(, ![\w.]+ !\d+)+$", "", line.split(";")[0].rstrip()).strip()
            if not line:
                continue
            if match := re.fullmatch(r'"?([\w.$]+)"?:', line):
                label = match[1]
                blocks[label] = []
            else:
                blocks.setdefault(label or "entry", []).append(line)
                label = label or "entry"
        successors = {label: re.findall(r'label %"?([\w.$]+)"?', lines[-1]) for label, lines in blocks.items()}
        return blocks, successors

    def order(self):
        """The blocks, each after all its predecessors; a loop has no such order."""
        finished, open_blocks, result = set(), set(), []

        def visit(label):
            if label in open_blocks:
                raise Rejected(f"loop at {label}")
            if label in finished:
                return
            open_blocks.add(label)
            for successor in self.successors[label]:
                visit(successor)
            open_blocks.discard(label)
            finished.add(label)
            result.append(label)

        visit(next(iter(self.blocks)))
        return result[::-1]

    def let(self, symbol, term):
        self.lets.append((symbol, term))

    def require(self, condition):
        self.defined.append(f"(=> |{self.reached}| {condition})")

    def translate_block(self, label):
        self.reached = f"reach {label}"
        if label == next(iter(self.blocks)):
            self.let(self.reached, "true")
        else:
            edges = [f"|edge {source} {label}|" for source in self.blocks if label in self.successors[source]
                     and any(s == f"edge {source} {label}" for s, _ in self.lets)]
            self.let(self.reached, edges[0] if len(edges) == 1 else f"(or {' '.join(edges)})")
        for line in self.blocks[label][:-1]:
            try:
                self.instruction(label, line)
            except (Rejected, KeyError) as error:
                raise Rejected(f"cannot translate: {line} ({error})") from error
        self.terminator(label, self.blocks[label][-1])

    def terminator(self, label, line):
        if match := re.fullmatch(r"ret (i\d+) (\S+)", line):
            self.returns.append((f"|{self.reached}|", operand(match[2], self.integer(match[1]))))
        elif match := re.fullmatch(r'br label %"?([\w.$]+)"?', line):
            self.let(f"edge {label} {match[1]}", f"|{self.reached}|")
        elif match := re.fullmatch(r'br i1 (\S+), label %"?([\w.$]+)"?, label %"?([\w.$]+)"?', line):
            if match[2] == match[3]:
                raise Rejected(f"cannot translate: {line}")
            taken = f"(= {operand(match[1], 1)} #b1)"
            self.let(f"edge {label} {match[2]}", f"(and |{self.reached}| {taken})")
            self.let(f"edge {label} {match[3]}", f"(and |{self.reached}| (not {taken}))")
        else:
            raise Rejected(f"cannot translate: {line}")

    def instruction(self, label, line):
        match = re.fullmatch(r"%([\w.]+) = (.*)", line)
        if not match:
            raise Rejected("no value")
        symbol, text = match.groups()
        if re.match(r"(tail )?call \{", text):
            self.pairs[symbol] = self.multiply_with_overflow(text)
            return
        if extension := re.fullmatch(r"zext (?:nneg )?i(\d+) .*", text):
            self.extended[f"%{symbol}"] = int(extension[1])
        self.let(symbol, self.value(label, text))

    def multiply_with_overflow(self, text):
        match = re.fullmatch(r"(?:tail )?call \{ (i\d+), i1 \} @llvm\.umul\.with\.overflow\.i\d+"
                             r"\(i\d+ (\S+), i\d+ (\S+)\)", text)
        if not match:
            raise Rejected("unknown call")
        width = self.integer(match[1])
        left, right = (f"((_ zero_extend {width}) {operand(match[i], width)})" for i in (2, 3))
        product = f"(bvmul {left} {right})"
        high = f"((_ extract {2 * width - 1} {width}) {product})"
        return f"((_ extract {width - 1} 0) {product})", as_bit(f"(not (= {high} {constant(0, width)}))")

    def value(self, label, text):
        name = text.split()[0]
        if name in ARITHMETIC:
            return self.arithmetic(text)
        if name in ("tail", "call"):
            return self.intrinsic(text)
        if name == "phi":
            return self.phi(text)
        if match := re.fullmatch(r"icmp (?:samesign )?(\w+) (i\d+) (\S+), (\S+)", text):
            width = self.integer(match[2])
            left, right = operand(match[3], width), operand(match[4], width)
            if "samesign" in text:
                raise Rejected("flag samesign")
            if match[1] == "ne":
                return as_bit(f"(not (= {left} {right}))")
            return as_bit(f"({COMPARISON[match[1]]} {left} {right})")
        if match := re.fullmatch(r"select i1 (\S+), (i\d+) (\S+), i\d+ (\S+)", text):
            width = self.integer(match[2])
            return f"(ite (= {operand(match[1], 1)} #b1) {operand(match[3], width)} {operand(match[4], width)})"
        if match := re.fullmatch(r"(zext|sext|trunc)((?: nneg| nuw| nsw)*) (i\d+) (\S+) to (i\d+)", text):
            return self.conversion(match)
        if match := re.fullmatch(r"(?:inttoptr i64 (\S+) to ptr|ptrtoint ptr (\S+) to i64)", text):
            return operand(match[1] or match[2], POINTER_BITS)
        if match := re.fullmatch(r"getelementptr inbounds (?:nuw )?i8, ptr (\S+), i64 (\S+)", text):
            return self.advanced(operand(match[1], POINTER_BITS), operand(match[2], POINTER_BITS))
        if match := re.fullmatch(r"extractvalue \{ i\d+, i1 \} %([\w.]+), ([01])", text):
            return self.pairs[match[1]][int(match[2])]
        raise Rejected("unknown instruction")

    def advanced(self, pointer, bytes):
        """A pointer within its object, which does not wrap around the address space."""
        result = f"(bvadd {pointer} {bytes})"
        forward = f"(bvsge {bytes} {constant(0, POINTER_BITS)})"
        self.require(f"(ite {forward} (bvuge {result} {pointer}) (bvult {result} {pointer}))")
        return result

    def arithmetic(self, text):
        match = re.fullmatch(r"(\w+) ((?:[a-z]+ )*)(i\d+) (\S+), (\S+)", text)
        if not match:
            raise Rejected("unknown form")
        name, flags, width = match[1], set(match[2].split()), self.integer(match[3])
        left, right = operand(match[4], width), operand(match[5], width)
        if name == "mul" and all(text in self.extended for text in match.group(4, 5)) and \
                sum(self.extended[text] for text in match.group(4, 5)) <= width:
            flags.discard("nuw")  # the product fits by the widths of its factors
        for condition in flag_conditions(name, flags, width, left, right):
            self.require(condition)
        if name in ("shl", "lshr", "ashr") and match[5].startswith("%"):
            self.require(f"(bvult {right} {constant(width, width)})")
        if name in ("udiv", "urem"):
            self.require(f"(not (= {right} {constant(0, width)}))")
        return f"({ARITHMETIC[name]} {left} {right})"

    def conversion(self, match):
        kind, flags, source, target = match[1], set(match[2].split()), self.integer(match[3]), self.integer(match[5])
        term = operand(match[4], source)
        if kind == "trunc":
            low = f"((_ extract {target - 1} 0) {term})"
            for flag, extend in (("nuw", "zero"), ("nsw", "sign")):
                if flag in flags:
                    self.require(f"(= ((_ {extend}_extend {source - target}) {low}) {term})")
            return low
        if "nneg" in flags:
            self.require(f"(bvsge {term} {constant(0, source)})")
        return f"((_ {'zero' if kind == 'zext' else 'sign'}_extend {target - source}) {term})"

    def intrinsic(self, text):
        match = re.fullmatch(r"(?:tail )?call (?:noundef )?(?:range\([^)]*\) )?(i\d+) @llvm\.(\w+)\.i\d+\((.*)\)", text)
        if not match:
            raise Rejected("unknown call")
        width, name = self.integer(match[1]), match[2]
        arguments = [operand(a.split()[-1], width) for a in match[3].split(", ")]
        if name in LIMIT:
            left, right = arguments
            return f"(ite ({LIMIT[name]} {left} {right}) {left} {right})"
        if name == "ctpop":
            return count_ones(arguments[0], width)
        if name in ("ctlz", "cttz"):
            if match[3].endswith("true"):
                self.require(f"(not (= {arguments[0]} {constant(0, width)}))")
            return (count_leading_zeros if name == "ctlz" else count_trailing_zeros)(arguments[0], width)
        raise Rejected("unknown call")

    def phi(self, text):
        match = re.fullmatch(r"phi (i\d+) (.*)", text)
        width = self.integer(match[1])
        sources = re.findall(r'\[ (\S+), %"?([\w.$]+)"? \]', match[2])
        here = self.reached.removeprefix("reach ")
        term = operand(sources[-1][0], width)
        for value, source in sources[-2::-1]:
            term = f"(ite |edge {source} {here}| {operand(value, width)} {term})"
        return term

    def smt(self):
        signature, lets = [], []
        for symbol, width in self.parameters:
            signature.append(f"(|{symbol}| {'Bool' if width == 1 else f'(_ BitVec {width})'})")
            if width == 1:
                lets.append((symbol, as_bit(f"|{symbol}|")))
        self.lets = lets + self.lets
        result = self.returns[-1][1]
        for reached, term in self.returns[:-1]:
            result = f"(ite {reached} {term} {result})"
        sort = f"(_ BitVec {self.width})"
        if self.width == 1:
            result, sort = f"(= {result} #b1)", "Bool"
        head = f"({' '.join(signature)})"
        return (f"(define-fun {self.name} {head} {sort} {with_lets(self.lets, result)})\n"
                f"(define-fun {self.name}.defined {head} Bool {with_lets(self.lets, conjunction(self.defined))})\n")


def translate(text):
    """All functions of an IR module: name -> SMT-LIB definitions."""
    functions = {}
    for match in re.finditer(r"^define ([^@]*)@([\w.]+)\(([^)]*)\)[^{]*\{\n(.*?)\n\}", text, re.S | re.M):
        attributes, name, arguments, body = match.groups()
        try:
            parameters = []
            for argument in filter(None, (a.strip() for a in arguments.split(","))):
                words = argument.split()
                parameters.append((words[-1].removeprefix("%"), Function.integer(words[0])))
            functions[name] = Function(name, attributes.split()[-1], parameters, body).smt()
        except Rejected as error:
            raise Rejected(f"{name}: {error}") from error
    return functions


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: ir_to_smt.py MODULE.ll")
    try:
        with open(sys.argv[1], encoding="utf-8") as module:
            print("".join(translate(module.read()).values()), end="")
    except (OSError, Rejected) as problem:
        sys.exit(f"ir_to_smt.py: {problem}")
