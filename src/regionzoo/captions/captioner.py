"""The seam between pictures and text: a captioner turns one frame into boxes with a text each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from regionzoo.scenes.frames import Frame

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the colour image; the left edge of the first column is 0."""


class Region2D(NamedTuple):
    """A box of the colour image and what a captioner says about it."""

    box: Box
    text: str


class Captioner(Protocol):
    """Anything that describes frames.

    ``describe`` must depend on the frame alone, not on the order of calls: several processes share the scenes.
    """

    @property
    def identity(self) -> dict[str, str | int | float]:
        """Name and settings, written beside the captions: equal identities on equal frames give equal captions."""
        ...

    def describe(self, frame: Frame) -> list[Region2D]:
        """Regions of one frame, in a fixed order; an empty list if nothing is seen."""
        ...


class CaptionerSettings(Protocol):
    """What travels to worker processes: picklable, hashable, and able to make its captioner there."""

    def make(self) -> Captioner:
        """A ready captioner; models are loaded here and not before."""
        ...
