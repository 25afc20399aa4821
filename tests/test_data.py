"""The shipped activations, their loader and the script that makes them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors import safe_open

from quantlab.data import load_attention, make_attention


def test_file_is_small_and_loads_without_quantlab() -> None:
    assert make_attention.OUTPUT.stat().st_size < 8_000_000
    with safe_open(make_attention.OUTPUT, "numpy") as file:
        record = json.loads(file.metadata()["quantlab"])
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        finite = all(np.isfinite(file.get_tensor(name)).all() for name in shapes)
    assert finite
    for part in ("calibration", "held_out"):
        n = len(record[f"{part}_sequences"])
        assert shapes[f"{part}.queries"] == shapes[f"{part}.keys"] == (6, 12, n, 48, 32)
    assert len(shapes) == 4


def test_metadata_says_where_it_comes_from() -> None:
    record = load_attention().metadata
    for key in ("model", "model_package", "model_licence", "text_licence", "made_by", "versions"):
        assert record[key]
    assert "Apache-2.0" in record["model_licence"]
    assert len(record["sequence_lengths"]) == len(make_attention.paragraphs()) == 18
    # no sequence is padded: each text is longer than what is kept of it
    assert min(record["sequence_lengths"]) >= 64 > record["n_tokens"]
    together = record["calibration_sequences"] + record["held_out_sequences"]
    assert sorted(together) == list(range(18))


def test_heads_are_read_from_their_place() -> None:
    data = load_attention()
    head = data.head(3, 7)
    with safe_open(make_attention.OUTPUT, "numpy") as file:
        assert_array_equal(head.calibration.queries, file.get_tensor("calibration.queries")[3, 7])
        assert_array_equal(head.held_out.keys, file.get_tensor("held_out.keys")[3, 7])
    a, b = head.calibration_pair()
    assert a.dtype == b.dtype == np.float32
    assert_array_equal(a[48:96], head.calibration.queries[1])
    assert_array_equal(b[:, 48:96], head.calibration.keys[1].T)
    logits = [a @ b for a, b in head.held_out.pairs()]
    assert_array_equal(logits[2], head.held_out.queries[2] @ head.held_out.keys[2].T)
    assert len(list(data.heads())) == data.n_layers * data.n_heads == 72


def test_heads_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_attention().head(0, 0).calibration.queries[0, 0, 0] = 1.0


@pytest.mark.parametrize(("layer", "head"), [(-1, 0), (6, 0), (0, 12), (0, -1)])
def test_heads_out_of_range(layer: int, head: int) -> None:
    with pytest.raises(ValueError, match=r"(layer|head) must be at (least|most) \d+; got"):
        load_attention().head(layer, head)
    with pytest.raises(TypeError, match="integer"):
        load_attention().head(0.5, 0)  # type: ignore[arg-type]


def test_activations_are_taken_after_the_projection() -> None:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    model = BertModel(config).eval()
    for layer in model.encoder.layer:
        torch.nn.init.normal_(layer.attention.self.query.bias)
    tokens = list(range(3, 19))
    made = make_attention.head_activations(model, tokens, n_tokens=10)
    assert made.shape == (2, 2, 3, 10, 8)
    assert made.dtype == np.float16
    with torch.inference_mode():
        hidden = model(torch.tensor([tokens]), output_hidden_states=True).hidden_states
    for layer in range(2):
        attention = model.encoder.layer[layer].attention.self
        for which, projection in enumerate((attention.query, attention.key)):
            weight, bias = projection.weight.detach().numpy(), projection.bias.detach().numpy()
            for head in range(3):
                rows = slice(8 * head, 8 * head + 8)
                expected = hidden[layer][0].numpy() @ weight[rows].T + bias[rows]
                # float16 keeps 11 bits
                assert_allclose(made[which, layer, head], expected[:10], rtol=2**-11, atol=1e-5)


def test_missing_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_attention.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"quantlab-matmul\[llm\]"):
        make_attention.model_folder()
