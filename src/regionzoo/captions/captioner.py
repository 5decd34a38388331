"""The seam between pictures and text: a captioner turns one image into boxes with a text each."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

import numpy as np

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the colour image; the left edge of the first column is 0."""


class Region2D(NamedTuple):
    """A box of the colour image and what a captioner says about it."""

    box: Box
    text: str


class Picture(Protocol):
    """What every image to caption has, a :class:`regionzoo.scenes.frames.Frame` or a view of a drive's camera: enough
    for a captioner that looks at pixels, which then serves both."""

    @property
    def scene_id(self) -> str: ...

    @property
    def name(self) -> str:
        """Unique within the scene."""
        ...

    def load_color(self) -> np.ndarray:
        """uint8 [H, W, 3], RGB; :class:`regionzoo.errors.SceneError` if it cannot be read."""
        ...


Seen = TypeVar("Seen", bound=Picture, contravariant=True)


class Captioner(Protocol[Seen]):
    """Anything that describes images of one kind.

    ``describe`` must depend on the image alone, not on the order of calls: several processes share the scenes.
    """

    @property
    def identity(self) -> dict[str, str | int | float]:
        """Name and settings, written beside the captions: equal identities on equal images give equal captions."""
        ...

    def describe(self, image: Seen, /) -> list[Region2D]:
        """Regions of one image, in a fixed order; an empty list if nothing is seen."""
        ...


class CaptionerSettings(Protocol[Seen]):
    """What travels to worker processes: picklable, hashable, and able to make its captioner there."""

    def make(self) -> Captioner[Seen]:
        """A ready captioner; models are loaded here and not before."""
        ...
