"""Whether printed harmonic means agree with their printed parts, given that each value was rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

PARTS = {"hIoU": ("mIoU_base", "mIoU_novel"), "hAP50": ("AP50_base", "AP50_novel")}
"""Harmonic means and the two scores that each is made of."""


@dataclass(frozen=True)
class HarmonicCheck:
    """A printed harmonic mean against its parts, in percent.

    recomputed: 2BN/(B+N) of the printed parts. low, high: its range if each part may be off by half a unit of the last
    printed digit. verdict "exact": ``recomputed`` rounds to the printed value; "rounding": it does not, but values that
    round to what is printed exist; "inconsistent": none exist.
    """

    name: str
    printed: float
    base: float
    novel: float
    recomputed: float
    low: float
    high: float
    half_unit: float
    decimals: int
    verdict: Literal["exact", "rounding", "inconsistent"]

    def note(self) -> str:
        """One sentence for what is not exact, or ""."""
        if self.verdict == "exact":
            return ""
        n = self.decimals
        text = (
            f"{self.name} is printed as {self.printed:.{n}f}, while 2BN/(B+N) of the printed parts {self.base:.{n}f} "
            f"and {self.novel:.{n}f} is {self.recomputed:.{n + 3}f}. "
        )
        span = f"between {self.low:.{n + 3}f} and {self.high:.{n + 3}f}"
        least, most = self.printed - self.half_unit, self.printed + self.half_unit
        if self.verdict == "rounding":
            return text + (
                f"Rounding explains it: the parts before rounding allow anything {span}, and {least:.{n + 1}f} to "
                f"{most:.{n + 1}f} is printed like that."
            )
        return text + (
            f"Rounding does not explain it: the parts allow {span} only, and {least:.{n + 1}f} to {most:.{n + 1}f} "
            "would be printed like that. A mean over runs could; nothing is corrected here."
        )


def check_harmonic(scores: Mapping[str, float]) -> HarmonicCheck | None:
    """The check of the first harmonic mean among ``scores`` whose parts are there too; None if there is none."""
    for name, (base, novel) in PARTS.items():
        if {name, base, novel} <= set(scores):
            return _check(name, scores[name], scores[base], scores[novel])
    return None


def _check(name: str, printed: float, base: float, novel: float) -> HarmonicCheck:
    exact = [Decimal(repr(float(value))) for value in (printed, base, novel)]
    # 49.0 and 36.30 lose their zeros as numbers: the longest of the three tells how many digits were printed.
    decimals = max(0, *(-int(value.as_tuple().exponent) for value in exact))
    half = Fraction(1, 2 * 10**decimals)
    h, b, n = (Fraction(value) for value in exact)
    middle = _harmonic(b, n)
    # The harmonic mean grows with each part, so the corners of the box bound it.
    low, high = _harmonic(max(b - half, Fraction(0)), max(n - half, Fraction(0))), _harmonic(b + half, n + half)
    if abs(middle - h) <= half:
        verdict = "exact"
    else:
        verdict = "rounding" if low <= h + half and high >= h - half else "inconsistent"
    return HarmonicCheck(
        name, printed, base, novel, float(middle), float(low), float(high), float(half), decimals, verdict
    )


def _harmonic(b: Fraction, n: Fraction) -> Fraction:
    return 2 * b * n / (b + n) if b + n else Fraction(0)
