"""A transformer and its tokenizer, from a folder or by name, with attention that can be watched."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What transformers is given as attn_implementation.
INTERFACE = "quantlab"
_LAYER = re.compile(r"(?:^|\.)(\d+)\.")
_watcher: Callable[..., Any] | None = None


def load_model(name: str | Path) -> tuple[Any, Any]:
    """(model, tokenizer) by folder or hub name, its attention replaced by one that can be watched.

    Parameters
    ----------
    name : str or path
        A folder with config.json, weights and the tokenizer's files, or a name on a hub.

    Returns
    -------
    (transformers model, tokenizer)
        In evaluation mode, float32.

    Raises
    ------
    ValueError
        If there is no such folder or model, or weights of its layers are missing or broken.
    ImportError
        Without transformers (extra `llm`).

    Notes
    -----
    Encoders, and causal models with rotary positions and grouped heads: attention is met where
    transformers calls it, behind the rotation.

    Examples
    --------
    >>> load_model("/no/such/folder")
    Traceback (most recent call last):
    ValueError: model must be a folder or a hub's name; /no/such/folder: there is no such folder
    """
    try:
        import torch
        from transformers import AttentionInterface, AutoModel, AutoTokenizer
        from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
    except ImportError:
        raise ImportError("a model needs transformers: pip install -e '.[llm]'") from None
    folder = Path(name)
    if not folder.is_dir() and (folder.is_absolute() or str(name).startswith((".", "~"))):
        raise _unusable(name, "there is no such folder")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise _unusable(name, "the folder holds no config.json")
    AttentionInterface.register(INTERFACE, _attention)
    AttentionMaskInterface.register(INTERFACE, sdpa_mask)
    try:
        model, report = AutoModel.from_pretrained(
            name, attn_implementation=INTERFACE, dtype=torch.float32, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(name)
    except Exception as error:  # what a broken file raises is each reader's own
        if isinstance(error, ImportError):
            raise
        raise _unusable(name, " ".join(f"{error}".split())[:300]) from None
    if missing := sorted(key for key in report["missing_keys"] if _LAYER.search(key)):
        raise _unusable(name, f"{len(missing)} weights are missing, {missing[0]} first")
    return model.eval(), tokenizer


def _unusable(name: str | Path, why: str) -> ValueError:
    return ValueError(f"model must be a folder or a hub's name; {os.fspath(name)}: {why}")


def layer_of(name: str) -> int | None:
    """The layer that a module is in, by its name; None outside of the layers.

    Examples
    --------
    >>> layer_of("encoder.layer.3.attention.self.query"), layer_of("pooler.dense")
    (3, None)
    """
    found = _LAYER.search(name)
    return int(found[1]) if found else None


@contextmanager
def watching(watcher: Callable[..., Any]) -> Iterator[None]:
    """Inside, models of `load_model` call `watcher` for their attention."""
    global _watcher
    kept, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = kept


def attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
) -> Any:
    """transformers' own attention."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


def is_causal(module: Any, options: dict[str, Any]) -> bool:
    """Whether a token sees none behind it."""
    return bool(options.get("is_causal", getattr(module, "is_causal", False)))


def _attention(*operands: Any, **options: Any) -> Any:
    return (_watcher or attend)(*operands, **options)
