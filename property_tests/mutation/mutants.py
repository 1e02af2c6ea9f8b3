"""Where a C++ source can be mutated, found in clang's syntax tree, and its text with a switch for each mutant.

A mutant replaces one expression; `mutant(n) ? (changed) : (original)` stands in its place. The changed arm has the
plain text, the original arm the switches of the expressions inside, so that a text grows with its depth only.
"""
import re
import sys
from dataclasses import dataclass, field

DEBIAN_PACKAGES = "/usr/lib/python3/dist-packages"
if DEBIAN_PACKAGES not in sys.path:
    sys.path.append(DEBIAN_PACKAGES)
try:
    from clang.cindex import CursorKind, Index, TranslationUnit, TypeKind
except ImportError:
    sys.exit("mutate: needs Debian's python3-clang-19")

SWAPPED = {
    "<": ("boundary", "<="), "<=": ("boundary", "<"), ">": ("boundary", ">="), ">=": ("boundary", ">"),
    "==": ("relational", "!="), "!=": ("relational", "=="),
    "+": ("arithmetic", "-"), "-": ("arithmetic", "+"), "*": ("arithmetic", "+"), "/": ("arithmetic", "*"),
    "%": ("arithmetic", "/"), "&&": ("logical", "||"), "||": ("logical", "&&"),
    "&": ("bits", "|"), "|": ("bits", "&"), "^": ("bits", "&"), "<<": ("bits", ">>"), ">>": ("bits", "<<"),
    "+=": ("arithmetic", "-="), "-=": ("arithmetic", "+="), "|=": ("bits", "&="), "&=": ("bits", "|="),
    "^=": ("bits", "&="), "<<=": ("bits", ">>="), ">>=": ("bits", "<<="),
}
REVERSED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
TRUTHS = {"<", "<=", ">", ">=", "==", "!=", "&&", "||"}
INTEGER = re.compile(r"(0[xX][\da-fA-F']+|0[bB][01']+|\d[\d']*)[uUlLzZ]*$")
# No mutant is active in constant evaluation.
CONSTANT = {CursorKind.STATIC_ASSERT, CursorKind.ENUM_CONSTANT_DECL, CursorKind.TEMPLATE_NON_TYPE_PARAMETER,
            CursorKind.CONCEPT_DECL, CursorKind.REQUIRES_EXPR, CursorKind.TEMPLATE_REF, CursorKind.TYPE_REF}
FUNCTIONS = {CursorKind.FUNCTION_DECL, CursorKind.CXX_METHOD, CursorKind.FUNCTION_TEMPLATE, CursorKind.CONSTRUCTOR,
             CursorKind.DESTRUCTOR, CursorKind.CONVERSION_FUNCTION}
# Functions that check our own work: a mutant that weakens one changes nothing where there is nothing to find.
CHECKS = re.compile(r"validate|panic")
INTEGERS = set(range(TypeKind.CHAR_U.value, TypeKind.LONGDOUBLE.value + 1)) - {
    TypeKind.FLOAT.value, TypeKind.DOUBLE.value, TypeKind.LONGDOUBLE.value}


@dataclass
class Mutant:
    file: str
    line: int
    begin: int
    end: int
    operator: str
    original: str
    changed: str
    keep: str = "{}"  # how the original stands beside the changed expression
    function: str = ""
    number: int = 0
    key: str = ""  # without the line, which changes with what stands above


@dataclass
class Point:
    """A range of the text, its mutants and the points inside."""
    begin: int
    end: int
    mutants: list
    inside: list = field(default_factory=list)


def children(cursor):
    return list(cursor.get_children())


class Finder:
    """All mutants of one file."""

    def __init__(self, path, name, arguments):
        self.name, self.found, self.seen = name, [], set()
        self.data = path.read_bytes()
        unit = Index.create().parse(str(path), args=arguments,
                                    options=TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
        errors = [str(d) for d in unit.diagnostics if d.severity >= 3]
        if errors:
            sys.exit(f"mutate: {name} does not parse: {errors[0]}")
        self.macros = []
        for cursor in unit.cursor.get_children():
            if not cursor.location.file or cursor.location.file.name != str(path):
                continue
            if cursor.kind in (CursorKind.MACRO_INSTANTIATION, CursorKind.MACRO_DEFINITION):
                self.macros.append(self.range(cursor))
        for cursor in unit.cursor.get_children():
            if cursor.location.file and cursor.location.file.name == str(path) and not cursor.kind.is_preprocessing():
                self.visit(cursor, None, True)

    @staticmethod
    def range(cursor):
        return cursor.extent.start.offset, cursor.extent.end.offset

    def text(self, cursor):
        begin, end = self.range(cursor)
        return self.data[begin:end].decode()

    def add(self, cursor, operator, changed, keep="{}"):
        begin, end = self.range(cursor)
        original = self.data[begin:end].decode()
        in_macro = any(first <= begin and end <= last for first, last in self.macros)
        if in_macro or "//" in original or "/*" in original or "#" in original or (begin, end, changed) in self.seen:
            return
        self.seen.add((begin, end, changed))
        flat = " ".join(changed.split())
        self.found.append(Mutant(self.name, cursor.extent.start.line, begin, end, operator,
                                 " ".join(original.split()), flat, keep, self.function))

    def skipped(self, cursor, constant_scope):
        if cursor.kind in CONSTANT or "ATTR" in cursor.kind.name:
            return True
        if cursor.kind in FUNCTIONS and (CHECKS.search(cursor.spelling) or self.is_for_the_compiler(cursor)):
            return True
        if cursor.kind != CursorKind.VAR_DECL:
            return False
        words = self.text(cursor).split("=")[0].split("{")[0]
        return constant_scope or bool(re.search(r"\b(constexpr|constinit)\b", words))

    def is_for_the_compiler(self, function):
        return re.search(r"\bconsteval\b", self.text(function).split("{")[0])

    function = ""

    def visit(self, cursor, function, constant_scope):
        """`constant_scope`: variables here are initialised before the program runs."""
        if self.skipped(cursor, constant_scope):
            return
        if cursor.kind in FUNCTIONS or cursor.kind == CursorKind.LAMBDA_EXPR:
            function, constant_scope = cursor, False
            self.function = cursor.spelling or self.function
        inside = children(cursor)
        self.mutate(cursor, inside, function)
        if cursor.kind == CursorKind.CASE_STMT:
            inside = inside[1:]
        if cursor.kind == CursorKind.IF_STMT and re.match(r"if\s+constexpr", self.text(cursor)):
            inside = inside[1:]
        if cursor.kind == CursorKind.FIELD_DECL and cursor.is_bitfield():
            return
        for child in inside:
            self.visit(child, function, constant_scope)

    def mutate(self, cursor, inside, function):
        kind = cursor.kind
        if kind in (CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR) and len(inside) == 2:
            self.binary(cursor, *inside)
        elif kind == CursorKind.UNARY_OPERATOR and len(inside) == 1:
            self.unary(cursor, inside[0])
        elif kind == CursorKind.INTEGER_LITERAL and INTEGER.match(text := self.text(cursor)):
            self.add(cursor, "constant", f"{text} - 1" if text[0] == "1" and not text[1:2].isdigit() else f"{text} + 1")
        elif kind == CursorKind.CXX_BOOL_LITERAL_EXPR and self.text(cursor) in ("true", "false"):
            self.add(cursor, "constant", "false" if self.text(cursor) == "true" else "true")
        elif kind in (CursorKind.IF_STMT, CursorKind.WHILE_STMT, CursorKind.CONDITIONAL_OPERATOR) and inside:
            self.condition(cursor, inside)
        elif kind == CursorKind.RETURN_STMT and inside and function:
            self.returned(inside[0], function)
        if kind in (CursorKind.COMPOUND_STMT, CursorKind.IF_STMT, CursorKind.FOR_STMT, CursorKind.WHILE_STMT,
                    CursorKind.CASE_STMT, CursorKind.DEFAULT_STMT, CursorKind.CXX_FOR_RANGE_STMT):
            whole = kind == CursorKind.COMPOUND_STMT
            for child in inside if whole else inside[1:] if kind == CursorKind.IF_STMT else inside[-1:]:
                self.statement(child)

    def operator_between(self, left, right):
        return self.data[left.extent.end.offset:right.extent.start.offset].decode().strip(" \n()")

    def binary(self, cursor, left, right):
        operator = self.operator_between(left, right)
        if operator not in SWAPPED:
            return
        a, b = self.text(left), self.text(right)
        if any(mark in a + b for mark in ("{ ", "[&", "[this", "[=")):  # a lambda has one type per text
            return
        name, other = SWAPPED[operator]
        whole = self.text(cursor)
        if not (whole.startswith(a) and whole.endswith(b)):
            return
        wrap = (lambda left: left) if operator.endswith("=") and operator not in TRUTHS else (lambda left: f"({left})")
        self.add(cursor, name, f"{wrap(a)} {other} ({b})")
        if operator in REVERSED:
            self.add(cursor, "relational", f"({a}) {REVERSED[operator]} ({b})")

    def unary(self, cursor, operand):
        text, a = self.text(cursor), self.text(operand)
        for operator, other in (("++", "--"), ("--", "++")):
            if text == operator + a:
                self.add(cursor, "arithmetic", other + a)
            elif text == a + operator:
                self.add(cursor, "arithmetic", a + other)
        if text == "~" + a:
            self.add(cursor, "bits", a)
        elif text == "!" + a:
            self.add(cursor, "logical", f"static_cast<bool>({a})")

    def condition(self, cursor, inside):
        first = inside[0]
        if cursor.kind == CursorKind.IF_STMT and re.match(r"if\s+constexpr", self.text(cursor)):
            return
        if not first.kind.is_expression() or self.is_truth(first):
            return
        self.add(first, "condition", f"!({self.text(first)})", "static_cast<bool>({})")

    def is_truth(self, cursor):
        """A comparison or the like, which has mutants of its own."""
        while cursor.kind in (CursorKind.UNEXPOSED_EXPR, CursorKind.PAREN_EXPR) and len(children(cursor)) == 1:
            cursor = children(cursor)[0]
        inside = children(cursor)
        if cursor.kind == CursorKind.BINARY_OPERATOR and len(inside) == 2:
            return self.operator_between(*inside) in TRUTHS
        return cursor.kind == CursorKind.CXX_BOOL_LITERAL_EXPR or (
            cursor.kind == CursorKind.UNARY_OPERATOR and self.text(cursor).startswith("!"))

    def returned(self, value, function):
        kind = (function.result_type if function.kind != CursorKind.LAMBDA_EXPR else value.type).get_canonical().kind
        text = self.text(value)
        if text.startswith("{") or function.kind == CursorKind.CONSTRUCTOR:
            return
        if kind == TypeKind.BOOL and not self.is_truth(value):
            self.add(value, "return", f"!({text})", "static_cast<bool>({})")
        elif kind == TypeKind.POINTER and text != "nullptr":
            self.add(value, "return", "nullptr")
        elif kind.value in INTEGERS and kind != TypeKind.BOOL and not INTEGER.match(text):
            self.add(value, "return", f"({text}) + 1")

    def statement(self, cursor):
        """Takes away a call without a result, an assignment or a step."""
        text, behind = self.text(cursor), self.data[cursor.extent.end.offset:].lstrip()
        if not cursor.kind.is_expression() or not text or not behind.startswith(b";"):
            return
        gone = cursor.kind in (CursorKind.CALL_EXPR, CursorKind.UNEXPOSED_EXPR, CursorKind.BINARY_OPERATOR,
                               CursorKind.COMPOUND_ASSIGNMENT_OPERATOR, CursorKind.UNARY_OPERATOR)
        if gone and not text.startswith("static_cast<void>"):
            self.add(cursor, "statement", "void()", "static_cast<void>({})")


def nested(mutants):
    """The mutants of a file as points inside points; what overlaps without being inside is left out."""
    root, stack = [], []
    ordered = sorted(mutants, key=lambda m: (m.begin, -m.end))
    for mutant in ordered:
        while stack and stack[-1].end <= mutant.begin:
            stack.pop()
        if stack and (stack[-1].begin, stack[-1].end) == (mutant.begin, mutant.end):
            stack[-1].mutants.append(mutant)
            continue
        if stack and mutant.end > stack[-1].end:
            continue
        point = Point(mutant.begin, mutant.end, [mutant])
        (stack[-1].inside if stack else root).append(point)
        stack.append(point)
    return root


def rendered(data, begin, end, points):
    text, at = b"", begin
    for point in points:
        inner = rendered(data, point.begin, point.end, point.inside)
        # A statement is taken away as a whole: its switch stands outermost.
        for mutant in sorted(point.mutants, key=lambda m: m.operator == "statement"):
            kept = mutant.keep.encode().replace(b"{}", inner)
            inner = b"(::hakmem::mutation::mutant(%d) ? (%s) : (%s))" % (
                mutant.number, mutant.changed.encode(), kept)
            inner = inner.replace(b"(void())", b"void()")
        text += data[at:point.begin] + inner
        at = point.end
    return text + data[at:end]


def switched(data, mutants):
    """The text of a file with a switch for each mutant. Lines keep their numbers."""
    return rendered(data, 0, len(data), nested(mutants))


def in_tree(root, folders):
    """All mutants of the C++ files of some folders, each with a key that no other has, in a fixed order."""
    arguments = ["-xc++", "-std=c++20", f"-I{root}", f"-I{root}/core/include", "-DHAKMEM_CHECKS=1"]
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in {".h", ".cpp"} and "include" not in path.relative_to(root).parts:
                found += Finder(path, str(path.relative_to(root)), arguments).found
    return numbered(found)


def numbered(found):
    times = {}
    for number, mutant in enumerate(sorted(found, key=lambda m: (m.file, m.begin, -m.end, m.operator, m.changed)), 1):
        mutant.number = number
        key = f"{mutant.file} {mutant.function}: `{mutant.original}` -> `{mutant.changed}`"
        times[key] = times.get(key, 0) + 1
        mutant.key = key + (f" #{times[key]}" if times[key] > 1 else "")
    return sorted(found, key=lambda m: m.number)
