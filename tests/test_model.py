"""Transformers with coded products: against the models as they are, and naive products."""

from __future__ import annotations

import json
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab import cli
from quantlab.data.texts import questions_answers
from quantlab.experiments.end_to_end import (
    Texts,
    agreement,
    allocation_rows,
    embedding_error,
    entries,
    model_rows,
    ranking,
)
from quantlab.model import (
    Operands,
    allocate_bits,
    code_products,
    designs_at,
    load_model,
    mean_bits,
    record_products,
    run_model,
)
from quantlab.model.schemes import books_of_values, scheme_halves

SIZE = {"vocab_size": 60, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
MAKERS = {
    "bert": lambda: transformers.BertModel(transformers.BertConfig(**SIZE, intermediate_size=48)),
    "gpt2": lambda: transformers.GPT2Model(
        transformers.GPT2Config(**SIZE, bos_token_id=0, eos_token_id=0)
    ),
    # rotary positions, two key heads for four of queries
    "llama": lambda: transformers.LlamaModel(
        transformers.LlamaConfig(**SIZE, num_key_value_heads=2, intermediate_size=48)
    ),
}
WORDS = ["?", ".", ",", "a", "the", "is", "of", "to", "and", "[UNK]"]
IDS = [[(7 * i + s) % 60 for i in range(n)] for s, n in enumerate((5, 17, 9, 12))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(
        models.WordLevel(
            {word: i for i, word in enumerate(["?", ".", ",", "a", "the", "is", "of", "to", "and"])}
            | {"[UNK]": 9},
            unk_token="[UNK]",
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = {}
    for kind, make in MAKERS.items():
        torch.manual_seed(0)
        made[kind] = tmp_path_factory.mktemp(kind)
        make().save_pretrained(made[kind])
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
        fast.save_pretrained(made[kind])
    return made


@pytest.fixture(scope="module")
def loaded(folders: dict[str, Path]) -> dict[str, tuple[Any, Any]]:
    return {kind: load_model(folder) for kind, folder in folders.items()}


def keep(operands: Operands) -> Any:
    return operands.x, operands.y


@pytest.mark.parametrize("kind", MAKERS)
def test_operands_as_they_are_change_nothing(kind: str, folders: Any, loaded: Any) -> None:
    plain = transformers.AutoModel.from_pretrained(folders[kind], attn_implementation="eager")
    with torch.inference_mode():
        expected = [plain(input_ids=torch.tensor([ids])).last_hidden_state[0] for ids in IDS]
    model, _ = loaded[kind]
    for code in (None, keep):
        found = run_model(model, IDS, code)
        for own, wanted in zip(found.hidden, expected, strict=True):
            assert_allclose(own, wanted, atol=2e-6)  # float32, other orders of summation
    assert max(found.nmse.values()) < 1e-12
    assert "forward" not in vars(model.get_submodule(next(iter(found.nmse))))  # put back


def test_keys_are_taken_behind_the_rotation_once_a_key_head(loaded: Any) -> None:
    model, _ = loaded["llama"]
    products = record_products(model, IDS[:1])
    assert [name for name in products if "layers.1.self_attn.logits" in name] == [
        "layers.1.self_attn.logits.0", "layers.1.self_attn.logits.1",
    ]  # fmt: skip
    layer, t, d = model.layers[0], len(IDS[0]), 8
    with torch.inference_mode():
        normed = layer.input_layernorm(model.embed_tokens(torch.tensor(IDS[0])))
        q, k = (normed @ each.weight.T for each in (layer.self_attn.q_proj, layer.self_attn.k_proj))
    angle = np.arange(t)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
    turn = np.exp(1j * angle)

    def turned(x: Any) -> np.ndarray:
        pairs = (x[:, : d // 2] + 1j * x[:, d // 2 :]).numpy() * turn
        return np.hstack([pairs.real, pairs.imag])

    for head in range(2):
        own = products[f"layers.0.self_attn.logits.{head}"]
        assert_allclose(own.y[0], turned(k[:, d * head : d * (head + 1)]), atol=1e-5)
        for of, h in enumerate((2 * head, 2 * head + 1)):
            assert_allclose(own.x[0][of::2], turned(q[:, d * h : d * (h + 1)]), atol=1e-5)
        p, v = (each[0] for each in (
            products[f"layers.0.self_attn.values.{head}"].x,
            products[f"layers.0.self_attn.values.{head}"].y,
        ))  # fmt: skip
        assert p.shape == (2 * t, t)
        assert v.shape == (d, t)
        assert_allclose(p.sum(axis=1), 1, atol=1e-6)
        assert_array_equal(np.triu(p[:t], 1), 0)  # causal


def test_a_coded_model_is_the_naive_one(loaded: Any) -> None:
    """One layer's attention and linear layers in numpy, every operand through its codebook."""
    model, _ = loaded["bert"]
    products = record_products(model, IDS)
    coders = code_products(products, "int_absmax", 4)
    found = run_model(model, IDS[1:2], coders).hidden[0]
    books = {name: ql.FORMATS["int_absmax"](each.pair(), 16) for name, each in products.items()}

    def linear(name: str, module: Any, x: np.ndarray) -> np.ndarray:
        book_x, book_y = books[name]
        weight, bias = module.weight.detach().numpy(), module.bias.detach().numpy()
        return book_x(x) @ book_y(weight).T + bias

    def norm(module: Any, x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.tensor(x, dtype=torch.float32)).numpy()

    with torch.inference_mode():
        x = model.embeddings(input_ids=torch.tensor(IDS[1:2]))[0].numpy()
    for i, layer in enumerate(model.encoder.layer):
        at, own = f"encoder.layer.{i}", layer.attention.self
        q, k, v = (
            linear(f"{at}.attention.self.{n}", getattr(own, n), x)
            for n in ("query", "key", "value")
        )
        out = np.empty_like(x)
        for h in range(4):
            part = slice(8 * h, 8 * h + 8)
            (q_x, k_y), (p_x, v_y) = (books[f"{at}.attention.self.{n}.{h}"]
                                      for n in ("logits", "values"))  # fmt: skip
            logits = q_x(q[:, part]) @ k_y(k[:, part]).T / np.sqrt(8)
            p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            out[:, part] = p_x(p) @ v_y(v[:, part])
        out = linear(f"{at}.attention.output.dense", layer.attention.output.dense, out)
        x = norm(layer.attention.output.LayerNorm, x + out)
        inner = linear(f"{at}.intermediate.dense", layer.intermediate.dense, x)
        inner = torch.nn.functional.gelu(torch.tensor(inner)).numpy()
        x = norm(
            layer.output.LayerNorm, x + linear(f"{at}.output.dense", layer.output.dense, inner)
        )
    # an entry at a cell's border may fall to either side of it: float32 there, float64 here
    assert np.median(np.abs(found - x)) < 1e-6
    assert np.abs(run_model(model, IDS[1:2]).hidden[0] - x).max() > 1e-3


def test_designs_rank_as_elsewhere_and_weights_are_coded_once(loaded: Any) -> None:
    model, _ = loaded["llama"]
    products = record_products(model, IDS)
    mean = {}
    for design in ("int_absmax", "nvfp4", "closed_form", "empirical", "balanced"):
        coders = code_products(products, design, 4)
        errors = run_model(model, IDS, coders, carry="exact").nmse
        assert set(errors) == set(products)
        mean[design] = np.exp(np.mean(np.log([*errors.values()])))
    assert mean["balanced"] < mean["empirical"] < mean["int_absmax"]
    assert mean["nvfp4"] < mean["int_absmax"]
    linear = products["layers.0.mlp.up_proj"]
    coder = coders[linear.name]
    assert coder(linear)[1] is coder(linear)[1]
    # what is measured is the product's own definition
    (a,), (b,) = coder(linear)
    exact = linear.x[0] @ linear.y[0].T
    naive = np.square(exact - a @ b.T).sum() / np.square(exact).sum()
    assert_allclose(errors[linear.name], naive, rtol=1e-4)


def test_codebooks_of_values_weigh_errors_as_the_product_does() -> None:
    rng = np.random.default_rng(0)
    p = tuple(rng.dirichlet(np.full(t, 0.3), 40).astype(np.float32) for t in (5, 11))
    v = tuple(rng.normal(size=(6, t)).astype(np.float32) * (1 + np.arange(t)) for t in (5, 11))
    books = books_of_values(Operands("v", "values", p, v), 8)
    plain = ql.design_empirical((np.concatenate([x.ravel() for x in p])[:, None], [[1.0]]), 8)

    def lost(book: ql.Codebook) -> float:
        """Sum over texts and tokens of (p - q(p))^2 times the token's values squared."""
        return sum(
            float(np.square(x - book(x)).sum(axis=0) @ np.square(y).sum(axis=0))
            for x, y in zip(p, v, strict=True)
        )

    assert lost(books[0]) < 0.93 * lost(plain[0])
    assert lost(books[0]) < min(lost(books[0].scaled(by)) for by in (0.98, 1.02))
    assert books[1].n_levels == 8


def test_values_with_feedback_lose_less_and_leave_what_is_not_seen() -> None:
    rng = np.random.default_rng(0)
    p = tuple(rng.dirichlet(np.full(t, 0.3), 4).astype(np.float32) for t in (9, 11, 15))
    v = tuple(rng.normal(size=(6, t)).astype(np.float32) for t in (9, 11, 15))
    own = Operands("v.values.0", "values", p, v)
    lost = {}
    for design in ("empirical", "scheme"):
        a, b = code_products({own.name: own}, design, 3)[own.name](own)
        errors = (x @ y.T - c @ d.T for x, y, c, d in zip(p, v, a, b, strict=True))
        lost[design] = sum(float(np.square(e).sum()) for e in errors)
    assert lost["scheme"] < 0.7 * lost["empirical"]
    causal = Operands(own.name, "values", tuple(np.tril(x) for x in p), v)
    a, _ = code_products({own.name: causal}, "scheme", 3)[own.name](causal)
    plain, _ = code_products({own.name: causal}, "empirical", 3)[own.name](causal)
    assert_array_equal(a[1], plain[1])


def test_halves_of_a_scheme_are_design_schemes_in_any_unit() -> None:
    a, b = ql.GaussianPair(0.8).sample_matrices(200, 8, 100, rng=0)
    own = {"basis": "diagonal", "rates": "allocated", "rounding": "nearest", "books": "shape"}
    scheme = ql.design_scheme((a, b), 4, **own)
    halves = scheme_halves(ql.EmpiricalPair(a, b), (3, 4))
    assert scheme.x is not None
    assert_array_equal(halves[4][0].encode(a), scheme.x.encode(a))
    assert halves[3][0].books.bits_per_entry <= 3
    name = "layers.0.mlp.up_proj"
    code = code_products({name: Operands(name, "linear", (a,), (b.T,))}, "scheme", 4)[name]
    (x,), (y,) = code(Operands(name, "linear", (a,), (b.T,)))
    lost = np.square(a @ b - x @ y.T).sum() / np.square(a @ b).sum()
    coded = scheme.encode(a, "x") @ scheme.encode(b, "y")
    assert_allclose(lost, np.square(a @ b - coded).sum() / np.square(a @ b).sum(), rtol=0.05)
    small = scheme_halves(ql.EmpiricalPair(a * np.float32(2.0**-70), b), (4,))
    assert_array_equal(small[4][0].encode(a * np.float32(2.0**-70)), halves[4][0].encode(a))


def test_ranking_by_loops() -> None:
    rng = np.random.default_rng(0)
    e = rng.normal(size=(10, 4))
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    loss = rank = found = 0.0
    for i in range(5):
        cosines = [float(e[i] @ e[5 + j]) for j in range(5)]
        loss -= np.log(np.exp(20 * cosines[i]) / sum(np.exp(20 * c) for c in cosines)) / 5
        place = sorted(cosines, reverse=True).index(cosines[i]) + 1
        rank, found = rank + 1 / place / 5, found + (place == 1) / 5
    assert_allclose([*ranking(e).values()], [loss, rank, found], rtol=1e-12)
    assert_allclose(embedding_error(e[:5], e[5:]), 1 - np.mean(np.sum(e[:5] * e[5:], axis=1)))


def test_allocation_is_the_best_of_all_and_keeps_the_budget() -> None:
    rng = np.random.default_rng(1)
    names, rungs = "abcd", (2, 3, 4)
    losses = {n: {b: float(s * 4.0**-b) for b in rungs}
              for n, s in zip(names, rng.lognormal(0, 2, 4), strict=True)}  # fmt: skip
    sizes = dict.fromkeys(names, 7.0)
    found = allocate_bits(losses, sizes, mean=3)
    assert mean_bits(found, sizes) <= 3
    every = [dict(zip(names, each, strict=True)) for each in product(rungs, repeat=4)]
    cost = {
        tuple(bits.values()): sum(losses[n][b] for n, b in bits.items())
        for bits in every if mean_bits(bits, sizes) <= 3
    }  # fmt: skip
    assert cost[tuple(found.values())] == min(cost.values())
    # what does not fit gives way to what does
    own = {"a": {2: 9.0, 4: 0.0}, "b": {2: 1.0, 4: 0.5}}
    assert allocate_bits(own, {"a": 100, "b": 1}, mean=2.1) == {"a": 2, "b": 4}
    with pytest.raises(ValueError, match="at least the least bits, 2; got 1"):
        allocate_bits(own, {"a": 1, "b": 1}, mean=1)


def test_the_experiment_on_a_small_model(loaded: Any) -> None:
    model, tokenizer = loaded["bert"]
    texts = Texts.by(tokenizer, few=3)
    assert [len(x) for x in (texts.calibration, texts.pairs, texts.held_out)] == [9, 6, 6]
    rows, heads = model_rows(model, texts, (4, 6), ("int_absmax", "nvfp4", "empirical"))
    assert [(r["bits"], r["design"]) for r in rows] == [
        (32, "float"), (4, "int_absmax"), (4, "nvfp4"), (4, "empirical"),
        (6, "int_absmax"), (6, "empirical"),
    ]  # fmt: skip
    four, six = (
        next(r for r in rows if (r["bits"], r["design"]) == (b, "empirical")) for b in (4, 6)
    )
    assert six["nmse"] < four["nmse"] / 4
    assert six["embedding"] < four["embedding"]
    assert rows[2]["bits_per_entry"] > 4.4  # scales of 16 entries
    assert len(heads) == 2 * 8
    rho = {(each["layer"], each["head"]): each["rho"] for each in heads}
    own = record_products(model, texts.calibration)["encoder.layer.1.attention.self.logits.2"]
    assert rho[1, 2] == own.pair().gaussian().rho
    assert [row["bits"] for row in agreement(rows)] == [4, 6, "all"]
    found, table = allocation_rows(model, texts, (3,), "empirical", rungs=(2, 4))
    assert [row["how"] for row in found] == ["equal", "allocated"]
    assert all(row["bits"] <= 3 for row in found[1:])
    assert {row["at 3"] for row in table} == {2, 4}
    products = record_products(model, texts.pairs)
    one = products["encoder.layer.0.output.dense"]
    assert entries({one.name: one}, 6) == {one.name: 48 * 32 + one.x[0].size / 6}


def test_texts_are_pairs_of_other_subjects() -> None:
    calibration, held_out = questions_answers()
    assert len(calibration) == len(held_out) == 48
    assert not {*calibration} & {*held_out}
    assert all(question.endswith("?") and answer.endswith(".")
               for question, answer in calibration + held_out)  # fmt: skip


def test_a_report_on_a_folder(folders: Any, capsys: Any, monkeypatch: Any) -> None:
    from quantlab.experiments import end_to_end

    monkeypatch.setattr(end_to_end, "designs_at", lambda bits: ["int_absmax", "empirical"])
    monkeypatch.setattr(end_to_end.Texts, "by", partial(Texts.by, few=2))
    given = ["report", "--model", str(folders["llama"]), "--bits", "3"]
    assert cli.main(given) == 0
    told = capsys.readouterr().out
    assert "LlamaModel, 3 bits: made from 6 texts, measured on 4 others" in told
    assert [line.split()[0] for line in told.splitlines() if line[:2] in ("0.", "1.")] == [
        "0.0", "0.1", "1.0", "1.1",
    ]  # fmt: skip
    assert cli.main([*given, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [row["design"] for row in record["rows"]] == ["empirical", "int_absmax"]
    assert {"layer", "head", "rho", "empirical"} < set(record["heads"][3])


def test_what_cannot_be_loaded_is_said(
    folders: Any, loaded: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    def said(name: object, *more: str) -> str:
        assert cli.main(["report", "--model", str(name), *more]) == 2
        return capsys.readouterr().err

    assert "there is no such folder" in said(tmp_path / "nowhere")
    assert "the folder holds no config.json" in said(tmp_path)
    assert "bits must be at least 2; got 1" in said(folders["bert"], "--bits", "1")
    assert "neither --html nor --group" in said(folders["bert"], "--html", "-")
    broken = tmp_path / "broken"
    shutil.copytree(folders["bert"], broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert f"{broken}: " in said(broken)
    from safetensors.torch import load_file, save_file

    tensors = load_file(folders["bert"] / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, weights, {"format": "pt"})
    assert "1 weights are missing, encoder.layer.1.output.dense.weight first" in said(broken)
    model, _ = loaded["bert"]
    with pytest.raises(ValueError, match="texts of at least one token"):
        run_model(model, [[1], []])
    with pytest.raises(ValueError, match=r'carry must be "coded" or "exact"; got \'both\''):
        run_model(model, IDS, carry="both")
    with pytest.raises(ValueError, match="never called the attention that watches it"):
        run_model(MAKERS["gpt2"]().eval(), IDS)
    products = record_products(model, IDS)
    with pytest.raises(ValueError, match="nvfp4 does not exist at 3 bits"):
        code_products(products, "nvfp4", 3)
    with pytest.raises(ValueError, match="design must be one of"):
        code_products(products, "best", 3)
    with pytest.raises(ValueError, match="bits must have all groups; got none for"):
        code_products(products, "int_mse", {})
    assert "nvfp4" in designs_at(4)
    assert "nvfp4" not in designs_at(8)
