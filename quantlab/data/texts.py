"""Short questions and answers, written for this: what a coded encoder is judged by."""

from __future__ import annotations

from pathlib import Path

_FILE = Path(__file__).with_name("questions_answers.txt")


def questions_answers() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs (question, answer) to calibrate on, and others to measure on; 48 each.

    Twelve subjects of four near questions in either part; no subject is in both. Licence:
    BSD-3-Clause, as quantlab.

    Examples
    --------
    >>> calibration, held_out = questions_answers()
    >>> calibration[0][0], held_out[0][0]
    ('Why does bread dough rise?', 'How does a vaccine protect us?')
    """
    subjects = [
        [_pair(line) for line in block.splitlines()]
        for block in _FILE.read_text(encoding="utf-8").strip().split("\n\n")
    ]
    calibration, held_out = (
        [pair for subject in subjects[part::2] for pair in subject] for part in (0, 1)
    )
    return calibration, held_out


def _pair(line: str) -> tuple[str, str]:
    question, answer = line.split(" | ")
    return question, answer
