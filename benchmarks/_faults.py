"""The faults that benchmarks/mutants.py puts into the code: where, and by which operator."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import parso
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
SEED = 1
BINARY = "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Mul Pow_Mul BitAnd_BitOr BitOr_BitAnd"
COMPARISON = "Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Eq_NotEq NotEq_Eq Is_IsNot"
CORE = (
    *(f"ReplaceBinaryOperator_{name}" for name in f"{BINARY} LShift_RShift RShift_LShift".split()),
    *(f"ReplaceComparisonOperator_{name}" for name in f"{COMPARISON} IsNot_Is".split()),
    *(f"ReplaceUnaryOperator_Delete_{name}" for name in ("USub", "Invert", "Not")),
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr"),
    *("ReplaceOrWithAnd", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("ExceptionReplacer", "NumberReplacer", "ZeroIterationForLoop"),
)
LOOK = re.compile(
    r"(\w+_)?(width|height|size|mode|color|alpha|dash|axes|axis_type|dimension|marker|angle|label)"
    r"|margin|padding|styles|stylesheets|css_classes|variant|icon|align|sx|gap|ncols|level|location"
    r"|fontscale|description|placeholder|title|tools|toolbar|syncable|name|strict"
)


class DropKeyword(Operator):
    """f(a, key=b) becomes f(a)."""

    def mutation_positions(self, node):
        if node.type == "argument" and node.children[1] == "=":
            inside = node.parent.type in ("trailer", "arglist")
            if inside:
                yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        return parso.parse(" **{}")

    @classmethod
    def examples(cls):
        return ()


class DropCall(Operator):
    """A statement that is nothing but a call becomes `pass`."""

    def mutation_positions(self, node):
        last = node.children[-1] if node.type in ("atom_expr", "power") else None
        if last is not None and node.parent.type == "simple_stmt" and last.get_first_leaf() == "(":
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        return parso.parse(f"{node.get_first_leaf().prefix}pass")

    @classmethod
    def examples(cls):
        return ()


OPERATORS: dict[str, Operator] = {
    **{name: get_operator(f"core/{name}")() for name in CORE},
    "DropKeyword": DropKeyword(),
    "DropCall": DropCall(),
}


@dataclass(frozen=True)
class Mutant:
    """One fault: `text` is the whole file that has it, `name` says which fault it is."""

    name: str
    room: str
    path: str
    line: int
    operator: str
    before: str
    after: str
    text: str


def rank(*parts: object) -> str:
    """A number of chance, the same each time."""
    return hashlib.sha256(repr((SEED, *parts)).encode()).hexdigest()


def let_alone(node: parso.tree.NodeOrLeaf, path: str) -> bool:
    """Whether no fault is put here: see the docstring of benchmarks/mutants.py."""
    of_look = LOOK if path.startswith("dashboard/pages") else re.compile("strict")
    if node.type == "argument" and of_look.fullmatch(node.get_first_leaf().value):
        return True
    while node.parent is not None:
        above = node.parent
        match above.type:
            case "raise_stmt" | "import_from" | "import_name" | "decorator" | "tfpdef":
                return True
            case "annassign" if node is above.children[1]:
                return True
            case "parameters" if node.type == "operator":  # the bare * and / of a signature
                return True
            case "param" | "funcdef" if node is above.annotation:
                return True
            case "funcdef" if above.name.value in ("__repr__", "__str__"):
                return True
            case "if_stmt" if "TYPE_CHECKING" in above.children[1].get_code():
                return True
            case "argument" if of_look.fullmatch(above.get_first_leaf().value):
                return True
        node = above
    return False


def nodes(node: parso.tree.NodeOrLeaf) -> Iterator[parso.tree.NodeOrLeaf]:
    yield node
    for child in getattr(node, "children", ()):
        yield from nodes(child)


@dataclass(frozen=True)
class Place:
    """Where a fault may be put: the nodes of a file's tree that begin there, and by what.

    `key` is the same however far the place is moved by edits of other lines.
    """

    room: str
    path: str
    line: int
    key: tuple[str, str, int, int]
    choices: list[tuple[str, int, int]]  # operator, number of the node, index of its mutation

    def mutant(self) -> Mutant | None:
        source = (ROOT / self.path).read_text()
        for name, number, index in sorted(self.choices, key=lambda c: rank(self.key, c[0], c[2])):
            tree = parso.parse(source)
            node = next(node for i, node in enumerate(nodes(tree)) if i == number)
            siblings = node.parent.children
            try:
                siblings[siblings.index(node)] = OPERATORS[name].mutate(node, index)
                text = tree.get_code()
                compile(text, self.path, "exec")
            except (AttributeError, SyntaxError):  # the first: an exception named module.Error
                continue
            changes = list(difflib.unified_diff(source.splitlines(), text.splitlines(), n=0))[3:]
            before = " ".join(c[1:].strip() for c in changes if c[0] == "-")
            after = " ".join(c[1:].strip() for c in changes if c[0] == "+")
            identity = rank(self.path, text)[:12]
            return Mutant(identity, self.room, self.path, self.line, name, before, after, text)
        return None


def places_of(room: str, path: str) -> list[Place]:
    source = (ROOT / path).read_text()
    lines = source.splitlines()
    found: dict[tuple[int, int], list[tuple[str, int, int]]] = {}
    for number, node in enumerate(nodes(parso.parse(source))):
        for name, operator in OPERATORS.items():
            for index, (start, _) in enumerate(operator.mutation_positions(node)):
                if not let_alone(node, path):
                    found.setdefault(start, []).append((name, number, index))
    places = []
    for (line, column), choices in found.items():
        text = lines[line - 1]
        earlier = lines[: line - 1].count(text)
        places.append(Place(room, path, line, (path, text, column, earlier), choices))
    return places
