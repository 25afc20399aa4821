"""What the dashboard's user has chosen: bounded parameters, and no GUI."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import numpy as np
import param

from quantlab import GaussianPair, LaplacePair, Pair, StudentTPair, UniformCopulaPair
from quantlab.data import gallery
from quantlab.density import Rounding

from .given import Given, attention, gallery_problem

SYNTHETIC, ATTENTION, GALLERY = "synthetic", "attention", "gallery"
LEVELS = (2, 256)
#: Most centres that a hand can tell apart.
OWN_LEVELS = 32
#: How far out a centre of one's own can stand, in standard deviations.
LIMIT = 100.0
INNER_DIMS = tuple(2**i for i in range(13))

#: page -> its tab's name, in the order of the tabs.
PAGES = {
    "density": "Density",
    "error": "Error",
    "codebooks": "Codebooks",
    "attention": "Attention",
    "data": "Your data",
    "speed": "Speed",
    "limits": "Limits",
}
#: What a teacher's link can hide -> how it is called.
HIDEABLE = {
    "tabs": "Tabs",
    "tools": "Presets, tour and sharing",
    "input": "Input and law",
    "levels": "Levels K",
    "inner_dim": "Inner dimension",
    "operand": "Operand shown",
    "designs": "Designs",
    "seed": "Seed and reset",
}
GAUSSIAN, STUDENT_T = "gaussian", "student_t"
#: law of a synthetic pair -> what the page calls it.
LAWS = {
    GAUSSIAN: "Gaussian",
    STUDENT_T: "Student-t",
    "laplace": "Laplace",
    "uniform": "Uniform copula",
}
#: design -> what the page calls it; in the order in which pictures and tables list them.
DESIGN_LABELS = {
    "gaussian_compander": "Plain",
    "lloyd_max": "Lloyd–Max",
    "closed_form": "Closed form",
    "weighted_lloyd_max": "Weighted L–M",
    "bilinear": "Bilinear",
    "empirical": "Data fit",
}
#: Designs that need given matrices.
DATA_DESIGNS = ("empirical",)


@dataclass(frozen=True)
class Problem:
    """What is multiplied: hashable, so that results are shared between sessions."""

    source: str
    rho: float
    inner_dim: int
    seed: int
    layer: int = 0
    head: int = 0
    family: str = GAUSSIAN
    nu: float = 0.0
    rounding: Rounding = "nearest"
    name: str = ""

    @property
    def given(self) -> Given | None:
        """The matrices, where no law draws them."""
        if self.source == ATTENTION:
            return attention(self.layer, self.head)
        return gallery_problem(self.name) if self.source == GALLERY else None

    @property
    def gaussian(self) -> bool:
        """Whether the input is drawn from a Gaussian pair."""
        return self.source == SYNTHETIC and self.family == GAUSSIAN

    @property
    def fed_back(self) -> bool:
        """Whether entries are rounded with feedback."""
        return self.rounding == "feedback"

    def entries(self) -> Pair:
        """The pair whose pdf and weight the entries have: given ones their own, else the law."""
        return self.law() if (given := self.given) is None else given.pair

    def law(self) -> Pair:
        """The pair that the input is drawn from; for given matrices their Gaussian reading."""
        if (given := self.given) is not None:
            return given.pair.gaussian()
        if self.family == STUDENT_T:
            return StudentTPair(self.rho, nu=self.nu)
        kinds: dict[str, Callable[[float], Pair]] = {
            GAUSSIAN: GaussianPair, "laplace": LaplacePair, "uniform": UniformCopulaPair,
        }  # fmt: skip
        return kinds[self.family](self.rho)


@dataclass(frozen=True)
class Request:
    """One setting of the controls: what to measure."""

    problem: Problem
    k_x: int
    k_y: int
    designs: tuple[str, ...]

    @property
    def levels(self) -> str:
        """The numbers of levels, as a sentence names them."""
        return f"K = {self.k_x}" + ("" if self.k_x == self.k_y else f" and {self.k_y}")

    @property
    def words(self) -> str:
        """The whole setting, as a sentence names it."""
        problem = self.problem
        if problem.source == ATTENTION:
            return f"layer {problem.layer}, head {problem.head}, {self.levels}"
        if problem.source == GALLERY:
            return f"{gallery()[problem.name].title}, {self.levels}"
        law = "" if problem.gaussian else f"{LAWS[problem.family]}, "
        law += f"ν = {problem.nu:g}, " if problem.family == STUDENT_T else ""
        rho = f"{problem.rho:.4g}".replace("-", "−")
        words = f"{law}ρ = {rho}, {self.levels}, k = {problem.inner_dim:,}, seed {problem.seed}"
        return words + (", with feedback" if problem.fed_back else "")


class Centers(param.List):
    """One's own centres of an operand, in its standard deviations; none where there are none."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        increasing = all(a < b for a, b in itertools.pairwise(val))
        if val and not (
            2 <= len(val) <= OWN_LEVELS and increasing and np.all(np.abs(val) <= LIMIT)
        ):
            raise ValueError(expected(self))


class Kept(param.String):
    """Another setting to compare with, as a link holds it: "rho:0.9,k_x:8"; empty: none."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        if val:
            kept_values(val)


class DashboardState(param.Parameterized):
    """The controls' values; every reaction is a method that runs without a browser."""

    page = param.Selector(default="density", objects=list(PAGES), label="Page", doc="Open tab")
    rho = param.Number(
        0.8, bounds=(-1, 1), step=0.01, label="Correlation ρ",
        doc="Correlation of the two multiplied entries",
    )  # fmt: skip
    k_x = param.Integer(16, bounds=LEVELS, label="Levels K of A", doc="Centres in A's codebook")
    k_y = param.Integer(16, bounds=LEVELS, label="Levels K of B", doc="Centres in B's codebook")
    linked = param.Boolean(True, label="Same K for A and B", doc="K_Y follows K_X")
    inner_dim = param.Selector(
        default=256, objects=list(INNER_DIMS), label="Inner dimension k",
        doc="Products summed in one entry of C",
    )  # fmt: skip
    source = param.Selector(
        default=SYNTHETIC, objects=[SYNTHETIC, ATTENTION, GALLERY], label="Input",
        doc="Matrices drawn from a law, queries and keys of a transformer, or other real products",
    )  # fmt: skip
    law = param.Selector(
        default=GAUSSIAN, objects=list(LAWS), label="Law of the pair",
        doc="Joint law that the synthetic matrices are drawn from",
    )  # fmt: skip
    nu = param.Number(
        5.0, bounds=(4.5, 30), step=0.1, label="Degrees of freedom ν",
        # nearer to 4, the closed form's outermost centres leave the range of float32
        doc="Student-t: lower is heavier-tailed; E[X²Y²] is finite above 4",
    )  # fmt: skip
    layer = param.Integer(2, bounds=(0, 5), label="Layer", doc="Transformer layer, from 0")
    head = param.Integer(6, bounds=(0, 11), label="Head", doc="Attention head, from 0")
    problem = param.Selector(
        default="photo", objects=list(gallery()), label="Problem", doc="Real product of the gallery"
    )
    operand = param.Selector(
        default="x", objects=["x", "y"], label="Operand shown", doc="A (queries) or B (keys)"
    )
    designs = param.ListSelector(
        default=["gaussian_compander", "lloyd_max", "closed_form", "bilinear", "empirical"],
        objects=list(DESIGN_LABELS), label="Designs to compare", doc="Ways to make the codebooks",
    )  # fmt: skip
    theme = param.Selector(default="light", objects=["light", "dark"], label="Theme")
    gain = param.Boolean(
        False,
        label="Best gain",
        doc="Multiply the product by the number that makes its error least",
    )
    tour = param.Integer(0, bounds=(0, 8), doc="Stop of the guided tour; 0: no tour")
    predict = param.Boolean(
        False, label="Predict first", doc="Hide the measured error until a guess is committed"
    )
    hide = param.ListSelector(
        default=[], objects=list(HIDEABLE), label="Hidden in this link",
        doc="What a teacher's link leaves out",
    )  # fmt: skip
    notice = param.String("", doc="What the page has to say about a value that it did not take")
    rounding = param.Selector(
        default="nearest", objects=["nearest", "feedback"], label="Rounding",
        doc="Each entry by itself, or making up for the errors of the entries before it",
    )  # fmt: skip
    own_x = Centers([], label="Your centres of A", doc="None: no codebooks of one's own")
    own_y = Centers([], label="Your centres of B", doc="None: as A's")
    beat = param.Boolean(
        False, label="Beat the optimum", doc="Hide the optimum's centres until one gives up"
    )
    seed = param.Integer(0, bounds=(0, 2**31 - 1), label="Seed", doc="Seed of the samples")
    keep = Kept(
        "", label="Kept setting", doc="A setting whose results stand beside the present ones"
    )

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._synthetic_rho = self.rho
        self._guessed: tuple | None = None
        self._follow()
        self.param.watch(self._follow, ["source", "layer", "head", "problem", "rho"])
        self.param.watch(self._tie, ["own_x", "own_y", "k_x", "k_y"])

    @param.depends("k_x", "linked", watch=True)
    def _link(self) -> None:
        if self.linked:
            self.k_y = self.k_x

    def _tie(self, *moved: Any) -> None:
        """K counts one's own centres; where K moves, they keep their spread."""
        if not self.own_x:
            return
        own_y = self.own_y or self.own_x
        if any(event.name.startswith("own") for event in moved):
            linked = self.linked and len(self.own_x) == len(own_y)
            self.param.update(linked=linked, k_x=len(self.own_x), k_y=len(own_y))
        elif max(self.k_x, self.k_y) > OWN_LEVELS:
            self.param.update(own_x=[], own_y=[], beat=False)
        elif self.k_x != len(self.own_x) or (self.k_y != len(own_y) and not self.linked):
            free = bool(self.own_y) or (self.k_x != self.k_y and not self.linked)
            self.param.update(
                own_x=spread(self.own_x, self.k_x), own_y=spread(own_y, self.k_y) if free else []
            )

    def _follow(self, *moved: Any) -> None:
        """rho is the estimate of given matrices while they are the input, then the user's own."""
        new = {event.name: event.new for event in moved}
        given = self._given_problem()
        if "rho" in new and ("source" in new or given is None):
            self._synthetic_rho = new["rho"]
        self.rho = self._synthetic_rho if given is None else given.rho

    @property
    def awaits_guess(self) -> bool:
        """Whether the present setting's errors are hidden until a guess is committed."""
        return self.predict and self._guessed != self._asked()

    def commit_guess(self) -> None:
        """The present setting's errors may be seen."""
        self._guessed = self._asked()

    def _asked(self) -> tuple:
        request = self.request()
        return (request.problem, request.k_x, request.k_y)

    @property
    def heads(self) -> bool:
        """Whether the input is an attention head."""
        return self.source == ATTENTION

    @property
    def given(self) -> bool:
        """Whether the input is matrices that are given, not drawn from a law."""
        return self.source != SYNTHETIC

    def reset(self, **values: Any) -> None:
        """Every control back to its default, but for `values`; theme and lesson stay."""
        defaults = {name: self.param[name].default for name in CONTROLS if name not in KEPT}
        values = {**defaults, "notice": "", **values}
        if values["linked"]:  # where K_X is there already, nothing makes K_Y follow
            values["k_y"] = values["k_x"]
        self.param.update(**values)

    def query(self, **values: Any) -> str:
        """The link that brings this state back: what differs from the defaults."""
        changed = self._changed(**values)
        return "?" + urlencode(changed, safe=",:") if changed else ""

    def setting(self) -> str:
        """The present setting, as `keep` holds it."""
        changed = self._changed()
        return ",".join(f"{n}:{changed[n]}" for n in SETTING if n in changed) or _DEFAULTS

    def kept_request(self) -> Request | None:
        """The kept setting, with the present choice of designs; None where none is kept."""
        if not self.keep:
            return None
        kept = _kept_state(self.keep)
        kept.designs = self.designs
        return kept.request()

    def head_request(self) -> Request:
        """What the Attention page shows, whatever the other pages' input is."""
        pair = attention(self.layer, self.head).pair
        rho = round(pair.gaussian().rho, 4)
        problem = Problem(ATTENTION, rho, pair.inner_dim, 0, self.layer, self.head)
        return Request(problem, self.k_x, self.k_y, self.chosen_designs())

    def kept_head_request(self) -> Request | None:
        """The kept setting's head, with the present choice of designs; None where none is kept."""
        if not self.keep:
            return None
        return replace(_kept_state(self.keep).head_request(), designs=self.chosen_designs())

    def _changed(self, **values: Any) -> dict[str, str]:
        present = {name: getattr(self, name) for name in CONTROLS} | values
        if self.given:  # the matrices' own
            present["rho"] = self.param.rho.default
        if self.linked:
            present["k_y"] = self.param.k_y.default
        return {
            name: _text(value)
            for name, value in present.items()
            if value != self.param[name].default
        }

    def request(self) -> Request:
        """The present setting, rounded so that equal pictures share one measurement."""
        if (problem := self._given_problem()) is None:
            nu = round(self.nu, 2) if self.law == STUDENT_T else 0.0
            problem = Problem(
                SYNTHETIC, round(self.rho, 4), self.inner_dim, self.seed, family=self.law, nu=nu,
                rounding=self.rounding,
            )  # fmt: skip
        return Request(problem, self.k_x, self.k_y, self.shown_designs())

    def _given_problem(self) -> Problem | None:
        """The given matrices with their estimated rho; None where a law draws them."""
        problem = (
            Problem(self.source, 0, 0, 0, self.layer, self.head)
            if self.heads
            else Problem(self.source, 0, 0, 0, name=self.problem)
        )
        if (given := problem.given) is None:
            return None
        rho = round(given.pair.gaussian().rho, 4)
        return replace(problem, rho=rho, inner_dim=given.pair.inner_dim)

    def shown_designs(self) -> tuple[str, ...]:
        """The chosen designs that the input admits, in the order of `DESIGN_LABELS`."""
        hidden = DATA_DESIGNS if self.source == SYNTHETIC else ()
        return tuple(name for name in self.chosen_designs() if name not in hidden)

    def chosen_designs(self) -> tuple[str, ...]:
        """The chosen designs, in the order of `DESIGN_LABELS`."""
        return tuple(name for name in DESIGN_LABELS if name in self.designs)

    def read_query(self, query: Mapping[str, str]) -> list[str]:
        """Take values from a link, each by itself; returns a sentence for each that is refused."""
        values, refused = self._read(query)
        self.param.update(**values)
        return refused

    def revisit(self, query: Mapping[str, str]) -> None:
        """All that a link brings up in a new page; but the theme stays, which is the viewer's."""
        values, refused = self._read(query)
        lesson = {name: self.param[name].default for name in KEPT}
        self.reset(**{**lesson, **values, "theme": self.theme, "notice": " ".join(refused)})

    def _read(self, query: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        """A link's values, and a sentence for each that is refused."""
        refused, values = [], {}
        for name in CONTROLS:
            if name not in query:
                continue
            text = query[name]
            try:
                values[name] = _parse(self.param[name], text)
            except ValueError as error:
                refused.append(f"{name} = {text[:40]!r} is not used: {error}.")
        unknown = [name for name in query if name not in CONTROLS]
        refused += [f"{name[:40]!r} is not a control." for name in unknown[:3]]
        return values, refused


CONTROLS = (
    "page",
    "source",
    "law",
    "nu",
    "rho",
    "k_x",
    "k_y",
    "linked",
    "inner_dim",
    "layer",
    "head",
    "problem",
    "operand",
    "designs",
    "gain",
    "rounding",
    "own_x",
    "own_y",
    "beat",
    "seed",
    "keep",
    "theme",
    "tour",
    "predict",
    "hide",
)
#: What belongs to the viewer or the lesson: a reset, a preset or a stop of the tour leaves it.
KEPT = ("keep", "theme", "tour", "predict", "hide")
#: What makes a setting, and the text of the one without changes.
SETTING = (
    "source", "law", "nu", "rho", "k_x", "k_y", "linked", "inner_dim", "layer", "head", "problem",
    "rounding", "seed",
)  # fmt: skip
_DEFAULTS = "defaults"


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they came, if each is one that its control can hold; ValueError says which is not.

    Examples
    --------
    >>> checked({"k_x": 8, "designs": ["bilinear"]})
    {'k_x': 8, 'designs': ['bilinear']}
    """
    for name, value in values.items():
        if name not in CONTROLS:
            raise ValueError(f"{name} is no control; expected one of {', '.join(CONTROLS)}")
        parameter = DashboardState.param[name]
        text = repr(value) if isinstance(value, float) else _text(value)
        try:
            if _parse(parameter, text) != value:
                raise ValueError(f"expected a value like {parameter.default!r}")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}; got {value!r}") from None
    return dict(values)


def kept_values(text: str) -> dict[str, Any]:
    """Values of a kept setting's controls; ValueError says what was expected.

    Examples
    --------
    >>> kept_values("rho:0.9,k_x:8")
    {'rho': 0.9, 'k_x': 8}
    """
    if text == _DEFAULTS:
        return {}
    values = {}
    for part in text.split(","):
        name, _, value = part.partition(":")
        if name not in SETTING:
            raise ValueError("expected NAME:VALUE of the setting's controls, with commas between")
        values[name] = _parse(DashboardState.param[name], value)
    return values


@lru_cache(maxsize=64)
def _kept_state(text: str) -> DashboardState:
    state = DashboardState()
    state.reset(**kept_values(text))
    return state


def _text(value: Any) -> str:
    """A value as a link holds it; `_parse` reads it back."""
    if isinstance(value, list):
        return ",".join(v if isinstance(v, str) else f"{v:.6g}" for v in value)
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _parse(parameter: param.Parameter, text: str) -> Any:
    """A link's text as a value of the parameter; ValueError says what was expected."""
    if isinstance(parameter, param.ListSelector):
        names = [name for name in text.split(",") if name]
        bad = [name for name in names if name not in parameter.objects]
        if bad:
            raise ValueError(f"expected names of {', '.join(parameter.objects)}")
        return names
    if isinstance(parameter, Centers):
        try:
            centers = [float(word) for word in text.split(",") if word]
        except ValueError:
            raise ValueError(expected(parameter)) from None
        parameter._validate(centers)
        return centers
    if isinstance(parameter, Kept):
        kept_values(text)
        return text
    if isinstance(parameter, param.Selector):
        named = {str(value): value for value in parameter.objects}
        if text not in named:
            raise ValueError(f"expected one of {', '.join(named)}")
        return named[text]
    if isinstance(parameter, param.Boolean):
        if text not in ("0", "1"):
            raise ValueError("expected 0 or 1")
        return text == "1"
    low, high = parameter.bounds
    try:
        value = int(text) if isinstance(parameter, param.Integer) else float(text)
    except ValueError:
        raise ValueError(expected(parameter)) from None
    if not (np.isfinite(value) and low <= value <= high):
        raise ValueError(expected(parameter))
    return value


def spread(centers: Sequence[float], n_levels: int) -> list[float]:
    """As many centres as are asked for, spread like those that there are."""
    if n_levels == len(centers):
        return list(centers)
    k = len(centers)
    at, own = (np.arange(n_levels) + 0.5) / n_levels, (np.arange(k) + 0.5) / k
    inner = np.interp(at, own, centers)
    # beyond the outermost ones, on with their distance
    inner += np.minimum(at - own[0], 0) * k * (centers[1] - centers[0])
    inner += np.maximum(at - own[-1], 0) * k * (centers[-1] - centers[-2])
    inner *= min(1.0, LIMIT / np.max(np.abs(inner)))
    return [float(v) for v in np.round(inner, 4)]


def expected(parameter: param.Parameter) -> str:
    """What a control takes."""
    if isinstance(parameter, Centers):
        return f"expected 2 to {OWN_LEVELS} increasing centres, each within ±{LIMIT:g}"
    if not isinstance(parameter, param.Number):
        return "expected one of its choices"
    kind = "an integer" if isinstance(parameter, param.Integer) else "a number"
    low, high = parameter.bounds
    return f"expected {kind} from {low} to {high}"
