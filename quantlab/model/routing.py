"""Run a transformer with the operands of its products replaced, and measure what that does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.model.loading import is_causal, layer_of, watching
from quantlab.model.operands import Array, Operands, joined

Coded = tuple[tuple[Array, ...], tuple[Array, ...]]
Coder = Callable[[Operands], Coded]
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a model gave: the last hidden states of each text (t, d), and its products' nmse.

    Attributes
    ----------
    hidden : list of ndarray
        In the order of the texts.
    nmse : dict
        Product -> ||C - coded C||^2 / ||C||^2, C of the operands that the product met.
    """

    hidden: list[Array]
    nmse: dict[str, float] = field(default_factory=dict)

    def pooled(self) -> NDArray[np.float64]:
        """Sentence embeddings: means over the tokens, of length 1; (texts, d)."""
        means = np.array([each.mean(axis=0, dtype=np.float64) for each in self.hidden])
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def run_model(
    model: Any,
    token_ids: Iterable[Sequence[int]],
    code: Coder | Mapping[str, Coder] | None = None,
    *,
    carry: str = "coded",
) -> Outcome:
    r"""Last hidden states where every product's operands went through `code`.

    .. math:: C = X Y^\top \;\to\; \hat X \hat Y^\top

    Parameters
    ----------
    model : transformers model
        From `load_model`.
    token_ids : iterable of sequences of int
        The tokens of each text; texts of about the same length run together.
    code : callable or mapping, optional
        operands -> (x, y) in their place; or one a product by name, and the others stay as they
        are. As `code_products` makes them. None: the model as it is.
    carry : {"coded", "exact"}
        What the model goes on with: "exact" measures each product on the operands that the model
        itself has.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError
        If there is no text, an empty one, or the model calls no attention that can be watched.

    Notes
    -----
    Coded operands are multiplied in float32, and softmax, norms, biases and sums are the model's
    own: the errors of a coded model, not its speed.
    """
    import torch

    if carry not in ("coded", "exact"):
        raise ValueError(f'carry must be "coded" or "exact"; got {carry!r}')
    texts = [list(ids) for ids in token_ids]
    if not texts or not all(texts):
        raise ValueError("a model needs texts of at least one token")
    hidden: list[Array] = [np.empty(0, np.float32)] * len(texts)
    router = _Router(model, _lookup(code), carry == "exact")
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    with torch.inference_mode(), router.active():
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            longest = max(len(texts[i]) for i in batch)
            ids = torch.tensor([texts[i] + [0] * (longest - len(texts[i])) for i in batch])
            router.mask = torch.tensor(
                [[True] * len(texts[i]) + [False] * (longest - len(texts[i])) for i in batch]
            )
            states = model(input_ids=ids, attention_mask=router.mask.long()).last_hidden_state
            for row, i in enumerate(batch):
                hidden[i] = states[row, : len(texts[i])].numpy().copy()
    if not router.attended:
        raise ValueError(f"{type(model).__name__} never called the attention that watches it")
    return Outcome(hidden, {name: e / max(of, 1e-300) for name, (e, of) in router.lost.items()})


def record_products(model: Any, token_ids: Iterable[Sequence[int]]) -> dict[str, Operands]:
    """The operands of every product of the model's layers, on some texts.

    Parameters
    ----------
    model : transformers model
        From `load_model`.
    token_ids : iterable of sequences of int
        The tokens of each text.

    Returns
    -------
    dict
        Name -> `Operands`, in the order in which the model multiplies.

    Raises
    ------
    ValueError
        If the model calls no attention that can be watched, or there is no text.

    Notes
    -----
    Linear layers are those with a layer's number in their name: embeddings, poolers and language
    heads stay as they are.
    """
    seen: dict[str, list[Operands]] = {}

    def note(operands: Operands) -> Coded:
        seen.setdefault(operands.name, []).append(operands)
        return operands.x, operands.y

    run_model(model, token_ids, note)
    return {name: joined(parts) for name, parts in seen.items()}


def _lookup(code: Coder | Mapping[str, Coder] | None) -> Callable[[str], Coder | None]:
    if code is None:
        return lambda name: None
    if callable(code):
        return lambda name: code
    return code.get


class _Router:
    """Puts itself in the place of the linear layers and of attention, while it is active."""

    def __init__(self, model: Any, coder: Callable[[str], Coder | None], exact: bool) -> None:
        self.coder, self.exact = coder, exact
        self.names = {module: name for name, module in model.named_modules()}
        self.lost: dict[str, tuple[float, float]] = {}
        self.mask: Any = None
        self.attended = False

    @contextmanager
    def active(self) -> Iterator[None]:
        changed = [
            (module, name) for module, name in self.names.items()
            if layer_of(name) is not None and _weight(module) is not None
        ]  # fmt: skip
        try:
            for module, name in changed:
                module.forward = self._linear(name, module, module.forward)
            with watching(self._attention):
                yield
        finally:
            for module, _ in changed:
                del module.forward  # the class's own is behind it

    def _linear(self, name: str, module: Any, plain: Callable[..., Any]) -> Callable[..., Any]:
        weight = _weight(module)

        def forward(x: Any) -> Any:
            coder = self.coder(name)
            if coder is None:
                return plain(x)
            import torch

            real = self.mask if x.shape[:2] == self.mask.shape else slice(None)
            rows = x[real].reshape(-1, x.shape[-1])
            operands = Operands(name, "linear", (rows.numpy(),), (weight.numpy(),))
            (a,), (b,) = coder(operands)
            exact = rows @ weight.T
            coded = torch.from_numpy(a) @ torch.from_numpy(b).T
            self._measure(name, exact, coded)
            whole = torch.zeros(*x.shape[:-1], len(weight))
            whole[real] = (exact if self.exact else coded).reshape(whole[real].shape)
            return whole if module.bias is None else whole + module.bias

        return forward

    def _attention(
        self, module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
    ) -> tuple[Any, None]:
        import torch

        self.attended = True
        scaling = options.get("scaling") or query.shape[-1] ** -0.5
        unseen = ~self._seen(attention_mask, is_causal(module, options))
        shared = query.shape[1] // key.shape[1]
        out = torch.zeros(*query.shape[:3], value.shape[-1])
        for h in range(key.shape[1]):
            heads = slice(h * shared, (h + 1) * shared)
            q, k = self._logits(f"{self.names[module]}.logits.{h}", query[:, heads], key[:, h])
            logits = scaling * (q @ k.mT[:, None])
            p = torch.softmax(logits.masked_fill(unseen, -torch.inf), -1)
            out[:, heads] = self._values(f"{self.names[module]}.values.{h}", p, value[:, h])
        return out.transpose(1, 2).contiguous(), None

    def _logits(self, name: str, q: Any, k: Any) -> tuple[Any, Any]:
        """Queries (texts, heads, t, d) and keys (texts, t, d), coded."""
        import torch

        coder = self.coder(name)
        if coder is None:
            return q, k
        by_token = q.transpose(1, 2)
        rows, keys = by_token[self.mask], k[self.mask]
        flat = rows.reshape(-1, q.shape[-1]).numpy()
        (a,), (b,) = coder(Operands(name, "logits", (flat,), (keys.numpy(),)))
        coded_q, coded_k = torch.zeros_like(by_token), torch.zeros_like(k)
        coded_q[self.mask] = torch.from_numpy(a).reshape(rows.shape)
        coded_k[self.mask] = torch.from_numpy(b)
        coded_q, real = coded_q.transpose(1, 2), self.mask[:, None, :, None]
        products = ((x * real) @ (y * self.mask[..., None]).mT[:, None]
                    for x, y in ((q, k), (coded_q, coded_k)))  # fmt: skip
        self._measure(name, *products)
        return (q, k) if self.exact else (coded_q, coded_k)

    def _values(self, name: str, p: Any, v: Any) -> Any:
        """Probabilities (texts, heads, t, t) times values (texts, t, d), both coded."""
        import torch

        coder = self.coder(name)
        if coder is None:
            return p @ v[:, None]
        lengths = self.mask.sum(dim=1).tolist()
        x = tuple(p[i, :, :t, :t].reshape(-1, t).numpy() for i, t in enumerate(lengths))
        y = tuple(np.ascontiguousarray(v[i, :t].mT.numpy()) for i, t in enumerate(lengths))
        coded = coder(Operands(name, "values", x, y))
        out = torch.zeros(*p.shape[:3], v.shape[-1])
        for i, (t, *four) in enumerate(zip(lengths, x, y, *coded, strict=True)):
            left, right, a, b = (torch.from_numpy(each) for each in four)
            exact, found = left @ right.T, (a * (left > 0)) @ b.T  # what is not seen stays zero
            self._measure(name, exact, found)
            out[i, :, :t] = (exact if self.exact else found).reshape(-1, t, out.shape[-1])
        return out

    def _seen(self, attention_mask: Any, causal: bool) -> Any:
        """Keys that a query sees, bool (texts, 1, t, t); by the mask that the model gives."""
        import torch

        t = self.mask.shape[1]
        seen = self.mask[:, None, None, :].expand(-1, 1, t, t)
        if attention_mask is not None:
            own = attention_mask if attention_mask.dtype == torch.bool else attention_mask == 0
            seen = seen & own
        elif causal:
            seen = seen & torch.ones(t, t, dtype=torch.bool).tril()
        # a padding token behind may see none: what it gives is not read
        return seen | ~seen.any(dim=-1, keepdim=True)

    def _measure(self, name: str, exact: Any, coded: Any) -> None:
        error, energy = self.lost.get(name, (0.0, 0.0))
        error += float((exact - coded).double().square().sum())
        self.lost[name] = error, energy + float(exact.double().square().sum())


def _weight(module: Any) -> Any:
    """(n, k) of a linear layer, GPT-2's transposed ones too; None of anything else."""
    import torch
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, torch.nn.Linear):
        return module.weight.detach()
    return module.weight.detach().T.contiguous() if isinstance(module, Conv1D) else None
