"""Do the tests see faults? One fault at a time is put into a copy of the repository, and tests run.

    python -m benchmarks.mutants LOG             320 faults, about an hour on one core
    python -m benchmarks.mutants LOG --survivors  once more those that no test has caught
    python -m benchmarks.mutants LOG --table      counts only, and writes results/mutants.md

Needs cosmic-ray (pip install cosmic-ray), whose operators make the faults: + for -, * for /, < for
<=, `and` for `or`, a negated condition, a constant one higher or lower, a loop that never turns,
an exception that is not caught; and two of this file: a call without one of its keywords, and a
call that is not made. Each place in the code has at most one fault.

Left alone: docstrings and strings, annotations, what is raised, `__repr__`, code for type checkers,
decorators, imports, and the numbers and keywords of the pages' look (width, margin, ...).

The sample depends on the seed and on each fault alone: where code changes, other files keep theirs.
LOG has one JSON line a fault, the last one counts, and a run goes on where the last has stopped. A
line with the outcome "equivalent" and a "why", written by hand, says that no test can see a fault.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import parso
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "mutants.md"
SEED = 1
COUNT = 320
LEAST = 10  # faults of the smallest room
TEST_LIMIT = 60  # seconds of one test
LIMIT = 360  # seconds of all tests of one fault
ROOMS = {
    "pairs": ("quantlab/pairs/",),
    "density": ("quantlab/density.py",),
    "distortion": ("quantlab/distortion.py",),
    "design": ("quantlab/design/",),
    "codes": ("quantlab/codes/",),
    "gemm": ("quantlab/gemm/",),
    "balancing": ("quantlab/balancing.py",),
    "sweep": ("quantlab/sweep/",),
    "dashboard": tuple(f"dashboard/{part}" for part in ("state.py", "work/", "files/", "pages/")),
}
# the tests of a file are those of the longest path here that it begins with, likeliest first
TESTS = {
    "quantlab/pairs/": "pairs density distortion lloyd_max empirical measure bilinear transition",
    "quantlab/pairs/empirical": "empirical pairs report attention balancing limits outofcore",
    "quantlab/density": "density pairs lloyd_max views empirical report display transition",
    "quantlab/distortion": "distortion bilinear pairs measure limits formats experiments",
    "quantlab/design/": "lloyd_max codebook density formats report experiments",
    "quantlab/design/bilinear": "bilinear experiments report",
    "quantlab/design/_product_error": "bilinear experiments report",
    "quantlab/design/empirical": "empirical report outofcore attention",
    "quantlab/design/weighted_kmeans": "weighted_kmeans empirical outofcore report",
    "quantlab/design/kmeans_kernels": "weighted_kmeans empirical outofcore report",
    "quantlab/design/formats": "formats codes attention report",
    "quantlab/codes/": "codes codebook display gemm_cpu matrices formats outofcore gemm_cuda",
    "quantlab/codes/device": "gemm_cuda measure_cuda codes",
    "quantlab/codes/operand": "codes gemm_cpu gemm_cuda matrices",
    "quantlab/gemm/": "gemm_cpu codes display gemm_cuda formats",
    "quantlab/gemm/cuda/": "gemm_cuda measure_cuda display",
    "quantlab/balancing": "balancing report scheme",
    "quantlab/sweep/": "sweep experiments",
    "dashboard/": "session controls pages state doctests explorers",
    "dashboard/state": "state session controls pages explorers doctests",
    "dashboard/work/": "state session pages error_study controls doctests explorers serving",
    "dashboard/work/error_study": "error_study controls session doctests",
    "dashboard/files/": "uploads codebooks session pages doctests",
    "dashboard/files/codebooks": "codebooks session doctests",
    "dashboard/pages/codebooks": "codebooks session controls pages doctests",
    "dashboard/pages/data": "pages uploads session controls doctests",
    "dashboard/pages/error_study": "error_study session controls pages doctests",
}
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
CAUGHT = ("caught", "timeout")


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
    """Whether no fault is put here: see the module's docstring."""
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


def sample() -> list[Mutant]:
    """COUNT faults, shared among the rooms as their places are, in an order of chance."""
    shown = ("git", "ls-files", "*.py")
    listed = subprocess.run(shown, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = listed.stdout.split()
    found = {
        room: [p for path in paths if path.startswith(starts) for p in places_of(room, path)]
        for room, starts in ROOMS.items()
    }
    total = sum(map(len, found.values()))
    chosen: list[Mutant] = []
    for places in found.values():
        count = max(LEAST, round(COUNT * len(places) / total))
        places.sort(key=lambda place: rank(place.key))
        valid = filter(None, (place.mutant() for place in places))
        chosen += itertools.islice(valid, count)
    return sorted(chosen, key=lambda mutant: mutant.name)


def tests_of(path: str) -> list[str]:
    key = max((key for key in TESTS if path.startswith(key)), key=len)
    folder = "tests/dashboard" if path.startswith("dashboard/") else "tests"
    tests = [f"{folder}/test_{name}.py" for name in TESTS[key].split()]
    return [*tests, path] if path.startswith("quantlab/") else tests


def compiled_with(path: str) -> bool:
    """Whether Numba's cache may hold code of this file: its key does not see inlined modules."""
    imports = {}
    for file in ROOT.glob("quantlab/**/*.py"):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        imports[name] = set(re.findall(r"^from (quantlab[\w.]*) import", file.read_text(), re.M))
    reached = {name for name, seen in imports.items() if "quantlab._jit" in seen}
    imports["quantlab"] = set()
    while more := {seen for name in reached for seen in imports.get(name, ())} - reached:
        reached |= more
    return ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__") in reached


class Copy:
    """A copy of the checkout, in which tests run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.cache = folder / "numba"
        shown = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        listed = subprocess.run(shown, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)

    def run(self, tests: list[str], cache: Path) -> tuple[str, str]:
        """What becomes of the tests, and the last line of what pytest says."""
        options = ("-x", "-q", "-p", "no:cacheprovider", "--doctest-modules", "-m", "not browser")
        limits = (f"faulthandler_timeout={TEST_LIMIT}", "faulthandler_exit_on_timeout=true")
        command = (sys.executable, "-m", "pytest", *options, "-o", limits[0], "-o", limits[1])
        environment = os.environ | {
            "PYTHONPATH": str(self.root),
            "NUMBA_CACHE_DIR": str(cache),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with subprocess.Popen(
            (*command, *tests),
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                out, _ = process.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return "timeout", ""
        if process.returncode == 4 or process.returncode == 5:
            raise RuntimeError(out)
        said = [s for s in out.splitlines() if s.startswith(("FAILED", "ERROR"))] or [""]
        if "Timeout (" in out:
            return "timeout", said[-1]
        return "caught" if process.returncode else "survived", said[-1]

    def try_out(self, mutant: Mutant) -> dict[str, object]:
        target = self.root / mutant.path
        own = compiled_with(mutant.path)
        cache = Path(tempfile.mkdtemp(dir=self.root.parent)) if own else self.cache
        sound, made = target.read_bytes(), target.stat()
        start = time.perf_counter()
        try:
            target.write_text(mutant.text)
            outcome, said = self.run(tests_of(mutant.path), cache)
        finally:
            target.write_bytes(sound)  # at its own time, which Numba's cache goes by
            os.utime(target, ns=(made.st_atime_ns, made.st_mtime_ns))
            if own:
                shutil.rmtree(cache, ignore_errors=True)
        record = asdict(mutant)
        record.pop("text")
        return {
            **record,
            "outcome": outcome,
            "by": said,
            "seconds": round(time.perf_counter() - start, 1),
        }


def read(log: Path) -> dict[str, dict]:
    lines = log.read_text().splitlines() if log.exists() else []
    found: dict[str, dict] = {}
    for line in map(json.loads, lines):
        found[line["name"]] = found.get(line["name"], {}) | line
    return found


def table(results: list[dict]) -> str:
    """By room: faults, those without effect, caught, survivors and percentage."""
    lines = [
        "| room | faults | equivalent | caught | survivors | caught, % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for room in (*ROOMS, "all"):
        outcomes = [r["outcome"] for r in results if room in (r["room"], "all")]
        same = outcomes.count("equivalent")
        caught = sum(outcome in CAUGHT for outcome in outcomes)
        visible = len(outcomes) - same
        share = f"{100 * caught / visible:.1f}" if visible else ""
        counts = (len(outcomes), same, caught, visible - caught)
        lines.append(f"| {room} | {' | '.join(map(str, counts))} | {share} |")
    return "\n".join(lines)


def listing(results: list[dict], outcome: str) -> list[str]:
    return [
        f"- `{r['path']}:{r['line']}`: `{r['before'] or ' '}` becomes `{r['after'] or ' '}`"
        + (f". {r['why']}" if outcome == "equivalent" else "")
        for r in sorted(results, key=lambda r: (r["path"], r["line"]))
        if r["outcome"] == outcome
    ]


def markdown(results: list[dict]) -> str:
    """results/mutants.md: the table, the faults that no test can see, and those that none saw."""
    return "\n".join(
        [
            "# Faults put into the code", "",
            f"`python -m benchmarks.mutants LOG`, seed {SEED}: one fault at a time, the tests of "
            "that file, and whether one fails. A percentage is of the faults that are not "
            "equivalent.", "",
            table(results), "",
            "## Equivalent: no test can see them", "", *listing(results, "equivalent"), "",
            "## Survivors", "", *(listing(results, "survived") or ["None."]), "",
        ]
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--survivors", action="store_true", help="run those once more")
    parser.add_argument("--table", action="store_true", help="run nothing, write the results")
    parser.add_argument("--room", choices=ROOMS, help="this room alone")
    chosen = parser.parse_args()
    mutants = [m for m in sample() if chosen.room in (None, m.room)]
    done = read(chosen.log)
    if not chosen.table:
        waiting = [
            m
            for m in mutants
            if m.name not in done or (chosen.survivors and done[m.name]["outcome"] == "survived")
        ]
        with tempfile.TemporaryDirectory() as folder:
            copy = Copy(Path(folder))
            sound: set[str] = set()
            for number, mutant in enumerate(waiting, 1):
                tests = [test for test in tests_of(mutant.path) if test not in sound]
                if tests:
                    outcome, said = copy.run(tests, copy.cache)
                    if outcome != "survived":
                        raise RuntimeError(f"without a fault, too: {outcome}, {said}")
                    sound.update(tests)
                done[mutant.name] = copy.try_out(mutant)
                with chosen.log.open("a") as file:
                    file.write(json.dumps(done[mutant.name]) + "\n")
                print(
                    f"{number}/{len(waiting)}  {done[mutant.name]['outcome']}  "
                    f"{done[mutant.name]['seconds']} s  {mutant.path}:{mutant.line}  "
                    f"{mutant.before}  ->  {mutant.after}",
                    flush=True,
                )
    results = [done[m.name] for m in mutants if m.name in done]
    print(table(results))
    if chosen.table:
        RESULT.write_text(markdown(results))


if __name__ == "__main__":
    main()
