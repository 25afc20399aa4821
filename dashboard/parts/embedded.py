"""A page inside another document, as in a notebook."""

from __future__ import annotations

from threading import RLock
from typing import Any

import panel as pn
import param

from .. import browser
from . import glossary


class Embedded(pn.Column):
    """A page in a notebook, which hears and is told one thing at a time.

    A kernel may hear the browser on a thread of its own, and while it does, the document keeps no
    changes for the browser: those made meanwhile would be lost.
    """

    one_at_a_time = RLock()

    def _on_msg(self, ref: str, manager: Any, msg: Any) -> None:
        with self.one_at_a_time:
            super()._on_msg(ref, manager, msg)


class Reading(pn.custom.JSComponent):
    """What a page's pictures and words answer, in a document that does not load it by itself."""

    there = param.Integer(0, doc="How often the browser has said that it shows the page")

    _esm = (
        "export function render({model, el}) {"
        "for (const ms of [300, 2000, 6000]) setTimeout(() => { model.there += 1; }, ms);"
        + browser.read("embedded.js")
        + "if (window.quantlab_reads) return; window.quantlab_reads = true;"
        + "{" + browser.read("pointer.js") + "}{" + glossary.WORDS + "}"
        + "{" + browser.read("keys.js") + "}}"
    )  # fmt: skip
