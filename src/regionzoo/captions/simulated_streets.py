"""A captioner of drives that reads the annotation of the lidar points instead of looking at the images.

It knows the ground truth: labels and boxes. Numbers from captions of this source show that the pipeline is connected
and that the losses work; they say nothing about how well any captioner sees. Misses, wrong names and loose boxes are
drawn at stated rates. What a lidar beam did not hit, or hit fewer than :data:`MIN_POINTS` times, is never named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from regionzoo.artifacts import stable_int
from regionzoo.captions.box_noise import jitter
from regionzoo.captions.captioner import Box, Region2D
from regionzoo.captions.street_view import CLASSES, StreetView
from regionzoo.captions.street_words import STUFF, THINGS, stuff_phrase, thing_phrase, window_caption
from regionzoo.captions.stuff_boxes import stuff_boxes, tight_box
from regionzoo.captions.windows import sliding_windows
from regionzoo.classes import class_set
from regionzoo.scenes.lidarseg import FINE, fine_to_nuscenes16
from regionzoo.scenes.nuscenes_layout import IMAGE_SIZE

StreetStyle = Literal["name", "grounded", "window"]

MIN_POINTS = 4
"""Fewest points of a thing in an image that give it a box, or in a window that give it a word."""

STUFF_POINTS = 30
"""Fewest points of a stuff in a box around a part of it, or in a window that give it a word."""

STUFF_BOXES = 2
"""Most parts of a stuff that get a box in an image."""


@dataclass(frozen=True)
class StreetCaptionerSettings:
    """How the captioner speaks and how often it errs.

    style: ``name``, a detector's boxes of the ten kinds of things, and bare class names; ``grounded``, noun phrases
    with boxes of things and of parts of road, sidewalk, terrain, buildings and trees; ``window``, a caption of each
    sliding window that names the kinds with the most points in it, things before the rest.

    miss_rate: share of visible objects without a box, or left out of a window's caption. naming_noise: share of
    objects named as another kind in the image, things as things and the rest as the rest. box_noise: standard deviation
    of each box edge as a share of the box' size along that axis; windows are exact.
    """

    style: StreetStyle
    miss_rate: float
    naming_noise: float
    box_noise: float
    seed: int

    def make(self) -> StreetCaptioner:
        """The captioner with these settings."""
        return StreetCaptioner(self)


class Seen(NamedTuple):
    """A thing, or a part of a stuff, in an image. key: its identity in the drive, for draws. mine: positions of its
    points among those of the view, or None for a part."""

    key: str
    kind: str
    box: Box
    mine: np.ndarray | None = None


class StreetCaptioner:
    """Boxes and texts of a camera's view from the annotation of its points (ground truth: see the module)."""

    def __init__(self, settings: StreetCaptionerSettings) -> None:
        self.settings = settings

    @property
    def identity(self) -> dict[str, str | int | float]:
        """Name and settings."""
        return {"captioner": "simulated streets", "min_points": MIN_POINTS} | asdict(self.settings)

    def describe(self, view: StreetView, /) -> list[Region2D]:
        """Regions of a view: things in the order of their boxes in the drive, then stuff; windows from the top left.

        Every draw depends on (seed, style, drive, keyframe, camera, object), and of windows on the window's number,
        alone, so that neither the order of views nor the other objects change what is missed.
        """
        things = visible_things(view)
        if self.settings.style == "window":
            return self._windows(view, things)
        if self.settings.style == "name":
            named = class_set(CLASSES).names
            return self._boxes(view, [thing for thing in things if thing.kind in named])
        return self._boxes(view, things) + self._boxes(view, visible_parts(view))

    def _boxes(self, view: StreetView, objects: Sequence[Seen]) -> list[Region2D]:
        kinds = [seen.kind for seen in objects]
        regions = []
        for seen in objects:
            rng = self._rng(view, seen.key)
            missed, renamed = rng.random(2)
            box = jitter(seen.box, IMAGE_SIZE, rng.normal(0.0, self.settings.box_noise, 4))
            if missed < self.settings.miss_rate:
                continue
            kind = self._name(seen.kind, kinds, renamed, rng)
            if self.settings.style == "name":
                text = THINGS[kind].bare
            elif kind in THINGS:
                text = thing_phrase(kind, kinds.count(kind), rng)
            else:
                left, top, right, bottom = seen.box
                text = stuff_phrase(kind, (bottom - top) / (right - left), rng)
            regions.append(Region2D(box, text))
        return regions

    def _windows(self, view: StreetView, things: Sequence[Seen]) -> list[Region2D]:
        stuff = visible_stuff(view)
        regions = []
        for number, box in enumerate(sliding_windows(*IMAGE_SIZE)):
            left, top, right, bottom = box
            inside = (view.u > left) & (view.u < right) & (view.v > top) & (view.v < bottom)
            named = self._largest_kinds(view, number, things, inside, MIN_POINTS)
            surfaces = self._largest_kinds(view, number, stuff, inside, STUFF_POINTS)
            if not (named or surfaces):
                continue
            rng = self._rng(view, f"window {number}")
            limit = int(rng.integers(2, 4))
            said = named[:limit]
            behind = [kind for kind, _ in surfaces[: limit - len(said)]]
            regions.append(Region2D(box, window_caption(said, behind, rng)))
        return regions

    def _largest_kinds(
        self, view: StreetView, window: int, objects: Sequence[Seen], inside: np.ndarray, at_least: int
    ) -> list[tuple[str, int]]:
        """(kind, number of objects) of what is said to be in a window, the kind with the most points first."""
        kinds = [seen.kind for seen in objects]
        points: dict[str, int] = {}
        counts: dict[str, int] = {}
        for seen in objects:
            there = int(np.count_nonzero(inside[seen.mine]))
            if there < at_least:
                continue
            rng = self._rng(view, f"window {window}, {seen.key}")
            missed, renamed = rng.random(2)
            if missed >= self.settings.miss_rate:
                kind = self._name(seen.kind, kinds, renamed, rng)
                points[kind] = points.get(kind, 0) + there
                counts[kind] = counts.get(kind, 0) + 1
        return [(kind, counts[kind]) for kind in sorted(points, key=lambda kind: (-points[kind], kind))]

    def _name(self, kind: str, kinds: Iterable[str], draw: float, rng: np.random.Generator) -> str:
        """The kind itself, or another of those given."""
        others = sorted(set(kinds) - {kind})
        if draw < self.settings.naming_noise and others:
            return others[rng.integers(len(others))]
        return kind

    def _rng(self, view: StreetView, key: str) -> np.random.Generator:
        parts = (self.settings.style, view.scene_id, view.name, key)
        return np.random.default_rng([self.settings.seed, *map(stable_int, parts)])


def visible_things(view: StreetView) -> list[Seen]:
    """The annotated boxes with at least MIN_POINTS points in the image, a point counting if it carries the label of the
    box' category; those whose kind has a word. A raw category without a class needs points without a label.
    """
    things = []
    for group in np.unique(view.group[view.group >= 0]).tolist():
        kind, label = _kind(view.categories[group])
        mine = np.flatnonzero((view.group == group) & (view.labels == label))
        if kind in THINGS and len(mine) >= MIN_POINTS:
            things.append(Seen(f"box {group}", kind, tight_box(view.u[mine], view.v[mine]), mine))
    return things


def visible_stuff(view: StreetView) -> list[Seen]:
    """Each stuff with at least STUFF_POINTS points in the image, as one object."""
    stuff = []
    for label, kind in enumerate(class_set(CLASSES).names):
        mine = np.flatnonzero(view.labels == label) if kind in STUFF else ()
        if len(mine) >= STUFF_POINTS:
            stuff.append(Seen(kind, kind, tight_box(view.u[mine], view.v[mine]), mine))
    return stuff


def visible_parts(view: StreetView) -> list[Seen]:
    """Boxes of the image in which a stuff dominates (:func:`regionzoo.captions.stuff_boxes.stuff_boxes`)."""
    parts = []
    for kind in visible_stuff(view):
        mine = np.zeros(len(view.points), bool)
        mine[kind.mine] = True
        boxes = stuff_boxes(view.u, view.v, mine, STUFF_POINTS, STUFF_BOXES)
        parts += [Seen(f"{kind.kind} {number}", kind.kind, box) for number, box in enumerate(boxes)]
    return parts


@cache
def _kinds() -> dict[str, tuple[str, int]]:
    names = class_set(CLASSES).names
    labels = fine_to_nuscenes16(np.arange(len(FINE), dtype=np.uint8)).tolist()
    return {fine: (names[label] if label >= 0 else fine, label) for fine, label in zip(FINE, labels, strict=True)}


def _kind(category: str) -> tuple[str, int]:
    """Class of nuscenes16 and its label; the category itself and -100 if it has none."""
    return _kinds().get(category, (category, -100))
