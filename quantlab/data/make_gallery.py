"""Make gallery.npz: the matrices of the gallery's problems, from data that their owners gave away.

    pip install "quantlab-matmul[bench,llm]"
    python -m quantlab.data.make_gallery            # writes the file anew
    python -m quantlab.data.make_gallery --check    # exit status 1 unless the values agree

What each problem is stands in gallery.json, written by hand; how it is made stands here. Arrays are
`NAME.calibration.a`, `.calibration.b`, `.held_out.a`, `.held_out.b`; where b is missing it is a
transposed. Whole numbers stay what they are, all else is rounded once, to float16.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantlab.data.make_attention import model_folder, paragraphs

HERE = Path(__file__).parent
OUTPUT = HERE / "gallery.npz"
QUESTIONS = HERE / "gallery_questions.txt"
SEED = 0
WEEKS = 365.2425 / 7
#: Paragraphs whose sentences and questions are for calibration; the others are held out.
N_CALIBRATION = 12

#: Calibration a and b, then held-out a and b; None for b: a transposed.
Parts = tuple[NDArray, NDArray | None, NDArray, NDArray | None]


def digits() -> Parts:
    """512 images, every other one held out: rows are images."""
    from sklearn.datasets import load_digits

    rows = load_digits().data[:512].astype(np.uint8)
    return rows[::2], None, rows[1::2], None


def photograph() -> NDArray[np.uint8]:
    from skimage.data import camera

    return camera()[:, ::2]


def photo() -> Parts:
    """Rows of the photograph, every other pixel of each: rows by the rows two below."""
    rows = photograph()
    return rows[0::4], rows[2::4].T, rows[1::4], rows[3::4].T


def photo_rotated() -> Parts:
    """The same rows, each divided by its length, in a basis drawn at random."""
    rows = photograph().astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows = 16 * rows @ rotation(rows.shape[1])  # entries near 1: float16 keeps their digits
    return rows[0::4], rows[2::4].T, rows[1::4], rows[3::4].T


def rotation(k: int) -> NDArray[np.float64]:
    """An orthogonal (k, k) matrix, uniform among all."""
    q, r = np.linalg.qr(np.random.default_rng(SEED).standard_normal((k, k)))
    return q * np.sign(np.diag(r))


def brick() -> Parts:
    """Patches of 16 x 16 pixels, shuffled, in four quarters."""
    from skimage.data import brick as texture

    patches = texture().reshape(32, 16, 32, 16).swapaxes(1, 2).reshape(1024, 256)
    patches = patches[np.random.default_rng(SEED).permutation(1024)][:512]
    first, second, third, last = np.split(patches, 4)
    return first, second.T, third, last.T


def co2() -> NDArray[np.float64]:
    """The weekly record; weeks without a value are interpolated."""
    from statsmodels.datasets import co2 as record

    return record.load_pandas().data["co2"].interpolate().to_numpy()


def windows(series: NDArray, length: int) -> NDArray:
    return np.lib.stride_tricks.sliding_window_view(series, length)


def co2_trend() -> Parts:
    """Windows of 64 weeks about the mean of the whole record: early ones by late ones."""
    series = co2()
    found = windows(series - series.mean(), 64)
    half = len(found) // 2
    early, late = found[:half:4], found[half::4]
    return early[::2], late[::2].T, early[1::2], late[1::2].T


def co2_season() -> Parts:
    """Windows of a year without the trend: those that begin in one month, and half a year on."""
    series = co2()
    season = (series - np.convolve(series, np.ones(52) / 52, "same"))[52:-52]
    found = windows(season, 52)
    start = np.arange(len(found))

    def beginning(week: float) -> NDArray:
        away = np.abs((start - week + WEEKS / 2) % WEEKS - WEEKS / 2)
        return found[away < 2]

    a, b = beginning(18), beginning(18 + WEEKS / 2)
    return a[::2], b[::2].T, a[1::2], b[1::2].T


def el_nino() -> Parts:
    """Windows of five years that begin in January, about the mean; the later ones are held out."""
    from statsmodels.datasets import elnino

    months = elnino.load_pandas().data.iloc[:, 1:].to_numpy(np.float64).ravel()
    rows = windows(months - months.mean(), 60)[::12]
    return rows[:28], None, rows[28:56], None


def least_squares() -> Parts:
    """X^T Y: 22 years of sunspots predict the next 11; the inner index is the year."""
    from statsmodels.datasets import sunspots

    years = sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(np.float64)
    found = windows(years, 33)
    half = len(found) // 2
    early, late = found[:half], found[half : 2 * half]
    return early[:, :22].T, early[:, 22:], late[:, :22].T, late[:, 22:]


def features() -> Parts:
    """X^T X of 30 standardised features; the inner index is the sample."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer().data
    data = ((data - data.mean(axis=0)) / data.std(axis=0))[:512]
    return data[::2].T, None, data[1::2].T, None


def growth() -> Parts:
    """X^T X of quarterly growth rates over their standard deviations, their means kept."""
    from statsmodels.datasets import macrodata

    names = ["realgdp", "realcons", "realinv", "realgovt", "realdpi", "cpi", "m1", "pop"]
    levels = macrodata.load_pandas().data[names].to_numpy(np.float64)
    rates = np.diff(np.log(levels), axis=0)
    rates /= rates.std(axis=0)
    return rates[::2].T, None, rates[1::2].T, None


def embeddings() -> Parts:
    """Questions by sentences of the shipped texts; those of the last six paragraphs held out."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = model_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float64).eval()

    def embedded(texts: list[str]) -> NDArray[np.float64]:
        with torch.inference_mode():
            rows = [
                model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
                for text in texts
            ]
        found = torch.stack(rows).numpy()
        return 16 * found / np.linalg.norm(found, axis=1, keepdims=True)

    asked = questions()
    told = [sentences(paragraph) for paragraph in paragraphs()]
    parts: list[NDArray | None] = []
    for chosen in (slice(N_CALIBRATION), slice(N_CALIBRATION, None)):
        parts.append(embedded([text for block in asked[chosen] for text in block]))
        parts.append(embedded([text for block in told[chosen] for text in block]).T)
    return tuple(parts)  # type: ignore[return-value]


def sentences(paragraph: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", paragraph.replace("\n", " "))


def questions() -> list[list[str]]:
    """Those of each paragraph of attention_text.txt."""
    blocks = QUESTIONS.read_text(encoding="utf-8").strip().split("\n\n")
    return [block.splitlines() for block in blocks]


MAKERS: dict[str, Callable[[], Parts]] = {
    "co2_season": co2_season,
    "co2_trend": co2_trend,
    "embeddings": embeddings,
    "growth": growth,
    "features": features,
    "least_squares": least_squares,
    "digits": digits,
    "photo": photo,
    "el_nino": el_nino,
    "photo_rotated": photo_rotated,
    "brick": brick,
}


def make() -> dict[str, NDArray]:
    """Every array of the file."""
    arrays = {}
    for name, maker in MAKERS.items():
        for part, value in zip(
            ("calibration.a", "calibration.b", "held_out.a", "held_out.b"), maker(), strict=True
        ):
            if value is not None:
                kept = value if value.dtype == np.uint8 else value.astype(np.float16)
                arrays[f"{name}.{part}"] = np.ascontiguousarray(kept)
    return arrays


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    only_check = parser.parse_args(arguments).check
    made = make()
    if only_check:
        with np.load(OUTPUT, allow_pickle=False) as file:
            wrong = [
                name
                for name in sorted({*made, *file.files})
                if name not in made
                or name not in file.files
                or not np.array_equal(made[name], file[name])
            ]
        print(f"{OUTPUT.name}: {'DIFFERENT: ' + ', '.join(wrong) if wrong else 'same values'}")
        return 1 if wrong else 0
    file_bytes = io.BytesIO()
    np.savez_compressed(file_bytes, allow_pickle=False, **made)
    OUTPUT.write_bytes(file_bytes.getvalue())
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
