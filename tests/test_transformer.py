"""Attention with coded queries and keys against naive loops; how a transformer is watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.experiments import attention_claims
from quantlab.experiments.attention_claims import shipped_heads
from quantlab.experiments.claims import Run
from quantlab.experiments.recording import Head, help_texts, record_heads
from quantlab.experiments.transformer import coded_attention, outcomes, win_matrix
from quantlab.model import load_model

IDS = [[(7 * i + s) % 50 for i in range(20)] for s in range(3)]


def tiny(kind: str) -> Any:
    torch.manual_seed(0)
    size = {"vocab_size": 50, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
    if kind == "gpt2":
        config = transformers.GPT2Config(**size, bos_token_id=0, eos_token_id=0)
        return transformers.GPT2Model(config).eval()
    config = transformers.LlamaConfig(**size, num_key_value_heads=2, intermediate_size=64)
    return transformers.LlamaModel(config).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Models by kind, loaded from a folder; a tokenizer is not needed for token ids."""
    loaded = {}
    for kind in ("gpt2", "llama"):
        folder = tmp_path_factory.mktemp(kind)
        tiny(kind).save_pretrained(folder)
        vocabulary = {str(i): i for i in range(50)}
        from tokenizers import Tokenizer, models

        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="0"))
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
        loaded[kind], _ = load_model(folder)
    return loaded


def gpt2_attention(model: Any, layer: int, hidden: Any) -> tuple[np.ndarray, ...]:
    """Queries, keys and values of one layer by its own weights, (heads, tokens, 8)."""
    block = model.h[layer]
    made = block.attn.c_attn(block.ln_1(hidden))[0].split(32, dim=-1)
    return tuple(x.reshape(-1, 4, 8).transpose(0, 1).detach().numpy() for x in made)


def test_recorded_heads_are_the_models_own(saved: dict[str, Any]) -> None:
    heads = record_heads(saved["gpt2"], IDS, n_tokens=12)
    assert [(head.layer, head.head) for head in heads] == list(np.ndindex(2, 4))
    assert all(head.causal and head.scaling == 8**-0.5 for head in heads)
    model = tiny("gpt2")
    hidden = model.wte(torch.tensor([IDS[1][:12]])) + model.wpe(torch.arange(12))
    for head in heads[:4]:
        for name, expected in zip(
            ("queries", "keys", "values"), gpt2_attention(model, 0, hidden), strict=True
        ):
            assert_allclose(getattr(head, name)[1], expected[head.head], atol=1e-5)  # float32


def test_rotation_is_undone_where_asked(saved: dict[str, Any]) -> None:
    after, before = (record_heads(saved["llama"], IDS, 16, r) for r in ("after", "before"))
    for turned, plain in zip(after, before, strict=True):
        assert_allclose(turned.queries[:, 0], plain.queries[:, 0], atol=1e-6)  # position 0
        # a rotation keeps lengths
        assert_allclose(*(np.linalg.norm(h.keys, axis=-1) for h in (turned, plain)), rtol=1e-4)
        assert np.abs(turned.queries[:, 9] - plain.queries[:, 9]).max() > 1e-3
        assert_allclose(turned.values, plain.values, atol=1e-6)
    # two heads share their keys
    assert_allclose(after[0].keys, after[1].keys, atol=0)
    again = record_heads(saved["llama"], IDS, 16)
    assert_allclose(again[3].queries, after[3].queries, atol=1e-6)


def test_outcomes_are_the_definitions() -> None:
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 5, 4)).astype(np.float32)
    books = ql.Codebook([-1.5, -0.4, 0.5, 1.6]), ql.Codebook([-1.0, 0.1, 1.1])
    for causal in (True, False):
        found = outcomes(Head(0, 0, q, k, v, 0.5, causal), *books)
        error = energy = kl = gap = out = 0.0
        for s in range(2):
            for i in range(5):
                seen = range(i + 1 if causal else 5)
                logits = np.array([0.5 * q[s, i] @ k[s, j] for j in seen])
                coded = np.array([
                    0.5 * books[0].quantize(q[s, i]) @ books[1].quantize(k[s, j]) for j in seen
                ])  # fmt: skip
                p, p_coded = (np.exp(x) / np.exp(x).sum() for x in (logits, coded))
                error, energy = error + np.sum((logits - coded) ** 2), energy + np.sum(logits**2)
                kl += np.sum(p * np.log(p / p_coded)) / 10
                exact = p @ v[s, : len(p)]
                gap, out = (
                    gap + np.sum((exact - p_coded @ v[s, : len(p)]) ** 2),
                    out + exact @ exact,
                )
        # the centres are decoded exactly; sums in float64
        assert_allclose(
            [found["logits"], found["kl"], found["output"]],
            [error / energy, kl, gap / out],
            rtol=1e-6,
        )


def test_a_pair_a_head_or_a_layer() -> None:
    heads = shipped_heads()[:24]
    designs = ("nf4", "closed_form", "empirical", "fp8_e4m3")
    own, shared = (coded_attention(heads, 12, 4, designs, per) for per in ("head", "layer"))
    # FP8 has no 4 bits
    assert len(own) == len(shared) == 24 * 3
    assert len({row["rho"] for row in own}) == 24
    assert len({row["rho"] for row in shared}) == 2
    by_head, by_layer = (
        {(row["layer"], row["head"], row["design"]): row["logits"] for row in rows}
        for rows in (own, shared)
    )
    assert np.mean([by_head[key] < by_layer[key] for key in by_head]) > 0.8
    wins = {row["design"]: row for row in win_matrix(own)}
    assert wins["empirical"]["nf4"] == 1.0
    assert wins["empirical"]["nf4"] + wins["nf4"]["empirical"] == 1.0


def test_the_claims_on_some_shipped_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    some = shipped_heads()[::18]
    monkeypatch.setattr(attention_claims, "shipped_heads", lambda: some)
    finding = attention_claims.attention(Run(quick=True))
    assert finding.settings["heads"] == 4
    assert finding.claims[0].ours.startswith("4/4 = 100.0% [39.8%, 100.0%]")  # 0.025^(1/4)
    assert [claim.paper for claim in finding.claims[:2]] == [
        "100.0% of heads (GPT-2 Small)",
        "96.5% of heads (GPT-2 Small)",
    ]
    assert [claim.agrees for claim in finding.claims[:2]] == ["yes", "yes"]


def test_help_texts_are_prose() -> None:
    texts = help_texts()
    assert len(texts) > 150
    assert texts == help_texts()
    assert all("\n" not in text for text in texts)


def test_bad_requests(saved: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"folder or a hub's name"):
        load_model(tmp_path)
    with pytest.raises(ValueError, match="at least 64 tokens; got one of 20"):
        record_heads(saved["gpt2"], IDS)
    with pytest.raises(ValueError, match="GPT2Model has no rotary positions"):
        record_heads(saved["gpt2"], IDS, 12, "before")
    with pytest.raises(ValueError, match=r'must be "after" or "before"; got \'both\''):
        record_heads(saved["gpt2"], IDS, 12, "both")
    with pytest.raises(ValueError, match="never called the attention that watches it"):
        record_heads(tiny("gpt2"), IDS, 12)
    heads = shipped_heads()[:1]
    with pytest.raises(ValueError, match="n_calibration must be at most 17; got 18"):
        coded_attention(heads, 18)
    with pytest.raises(ValueError, match=r"design must be one of .* got 'best'"):
        coded_attention(heads, 12, designs=["best"])
    with pytest.raises(ValueError, match=r'per must be "head" or "layer"; got \'model\''):
        coded_attention(heads, 12, per="model")
    with pytest.raises(ValueError, match=r"metric must be one of .* got 'speed'"):
        win_matrix([], "speed")
