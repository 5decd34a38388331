"""Text encoders: strings -> unit vectors. Heavy imports happen when an encoder is made, never before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from regionzoo.errors import UserError
from regionzoo.text.clip import OpenClip
from regionzoo.text.minilm import MiniLM


class TextEncoder(Protocol):
    """identity: the specification that made it. dimension: D. facts: identity, weights' hash and settings."""

    identity: str
    dimension: int
    facts: dict[str, str]

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """float32 [len(strings), D], rows of length 1."""
        ...

    def count_truncated(self, strings: Sequence[str]) -> int:
        """How many strings are longer than the encoder reads."""
        ...


def make_encoder(spec: str) -> TextEncoder:
    """The encoder that ``spec`` names: ``minilm`` or ``open_clip:<model>/<tag or file>[#sha256=<hex>]``.

    Raises :class:`UserError` for an unknown specification and for weights that are absent or of another hash.
    """
    if spec == "minilm":
        return MiniLM()
    if spec.startswith("open_clip:"):
        return OpenClip(spec)
    raise UserError(
        f"text encoder '{spec}': unknown; valid: minilm, open_clip:<model>/<pretrained tag or weights file>"
    )
