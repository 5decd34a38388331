"""A captioner that reads the annotation images of ``scannet_frames_25k`` instead of looking at the picture.

It knows the ground truth. Numbers from captions of this source show that the pipeline is connected and that the losses
work; they say nothing about how well any captioner sees. Misses, wrong names and loose boxes are drawn at stated rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from regionzoo.artifacts import stable_int
from regionzoo.captions.box_noise import jitter
from regionzoo.captions.captioner import Region2D
from regionzoo.captions.instances import INSTANCE_BASE, Instances
from regionzoo.captions.windows import sliding_windows
from regionzoo.captions.wording import (
    STRUCTURE,
    Thing,
    class_name,
    grounded_phrase,
    image_caption,
    is_named,
    surface_caption,
    template_sentence,
)
from regionzoo.errors import UserError

if TYPE_CHECKING:
    from regionzoo.scenes.frames import Frame

Style = Literal["template", "name", "grounded", "window"]

MIN_PIXELS = 3000
"""Smallest visible area that gets a box, or a word of a window's caption; the original's smallest area of a detected
box."""

STRUCTURE_SHARE = 0.3
"""Share of walls, floors and ceilings that the grounded style mentions; detectors do not box them at all."""

COLORED = ("grounded", "window")
"""Styles that say colours."""


@dataclass(frozen=True)
class SimulatedSettings:
    """How the captioner speaks and how often it errs.

    style: ``template``, a detector whose class names are put into sentences; ``name``, its bare class names;
    ``grounded``, noun phrases with boxes; ``window``, a caption of each sliding window that names the kinds of things
    with the largest area in it, or walls, floors and ceilings where there is nothing else.

    miss_rate: share of visible objects without a box, or left out of a window's caption. naming_noise: share of
    objects named as another object of the image (of windows: never walls, floors and ceilings). box_noise: standard
    deviation of each box edge as a share of the box' size along that axis; windows are exact.
    """

    style: Style
    miss_rate: float
    naming_noise: float
    box_noise: float
    seed: int

    def make(self) -> SimulatedCaptioner:
        """The captioner with these settings."""
        return SimulatedCaptioner(self)


class SimulatedCaptioner:
    """Boxes and texts from the label and instance images of a frame (ground truth: see the module)."""

    def __init__(self, settings: SimulatedSettings) -> None:
        self.settings = settings

    @property
    def identity(self) -> dict[str, str | int | float]:
        """Name and settings."""
        return {"captioner": "simulated", "min_pixels": MIN_PIXELS} | asdict(self.settings)

    def describe(self, frame: Frame) -> list[Region2D]:
        """Regions of a frame, ordered by instance number; windows in rows from the top left."""
        # Decoding the colour image is the dearest step where it is needed.
        color = frame.load_color() if self.settings.style in COLORED else None
        return self.describe_images(frame.scene_id, frame.name, color, frame.load_label(), frame.load_instance())

    def describe_images(
        self, scene_id: str, frame_name: str, color: np.ndarray | None, label: np.ndarray, instance: np.ndarray
    ) -> list[Region2D]:
        """Regions of plain images: color uint8 [H, W, 3], None for styles that say no colours; label uint8 [H, W],
        NYU40 id or 0; instance uint16 [H, W], NYU40 id * 1000 + number or 0.

        Every draw depends on (seed, style, scene, frame, instance), and of windows on the window's number, alone, so
        that neither the order of frames nor the other objects of the image change what is missed.
        """
        sizes = {image.shape[:2] for image in (color, label, instance) if image is not None}
        if len(sizes) > 1:
            raise UserError(
                f"{scene_id}: frame {frame_name}: color, label and instance images differ in size "
                f"({', '.join(f'{width}x{height}' for height, width in sorted(sizes))}); unpack the frames again"
            )
        if color is None and self.settings.style in COLORED:
            raise ValueError(f"style {self.settings.style} needs the color image")
        instances = Instances.find(label, instance, MIN_PIXELS, is_named)
        if self.settings.style == "window":
            return self._windows(scene_id, frame_name, instances, color)
        return self._boxes(scene_id, frame_name, instances, color)

    def _boxes(self, scene_id: str, frame_name: str, instances: Instances, color: np.ndarray | None) -> list[Region2D]:
        named = zip(instances.keys, instances.boxes, strict=True)
        things = [Thing(key, key // INSTANCE_BASE, box) for key, box in named]
        kinds = {thing.nyu40 for thing in things}
        regions = []
        for thing in things:
            rng = self._rng(scene_id, frame_name, thing.key)
            missed, renamed, mentioned = rng.random(3)
            box = jitter(thing.box, instances.label.shape, rng.normal(0.0, self.settings.box_noise, 4))
            if missed < self.settings.miss_rate or not self._covers(thing, mentioned):
                continue
            name = self._name(thing.nyu40, kinds, renamed, rng)
            if self.settings.style == "template":
                text = template_sentence(name, rng)
            elif self.settings.style == "name":
                text = class_name(name)
            else:
                text = grounded_phrase(name, thing, instances.mean_color(thing.key, color, thing.box), things, rng)
            regions.append(Region2D(box, text))
        return regions

    def _covers(self, thing: Thing, draw: float) -> bool:
        if thing.nyu40 in STRUCTURE:
            return self.settings.style == "grounded" and draw < STRUCTURE_SHARE
        return True

    def _windows(
        self, scene_id: str, frame_name: str, instances: Instances, color: np.ndarray | None
    ) -> list[Region2D]:
        kinds = {key // INSTANCE_BASE for key in instances.keys}
        regions = []
        for number, box in enumerate(sliding_windows(*instances.label.shape)):
            areas = instances.areas_inside(box)
            things = [key for key in areas if key // INSTANCE_BASE not in STRUCTURE]
            said = []
            for key in things or areas:
                rng = self._rng(scene_id, frame_name, number, key)
                missed, renamed = rng.random(2)
                if missed >= self.settings.miss_rate:
                    name = self._name(key // INSTANCE_BASE, kinds, renamed, rng) if things else key // INSTANCE_BASE
                    said.append((name, key, areas[key]))
            if not said:
                continue
            rng = self._rng(scene_id, frame_name, number)
            largest = _largest_kinds(said)[: rng.integers(2, 4)]
            if things:
                text = image_caption([(name, len(keys)) for name, keys in largest], rng)
            else:
                text = surface_caption([(name, instances.mean_color(keys[0], color, box)) for name, keys in largest])
            regions.append(Region2D(box, text))
        return regions

    def _name(self, nyu40: int, kinds: set[int], draw: float, rng: np.random.Generator) -> int:
        """The id itself, or that of another kind in the image."""
        others = sorted(kinds - {nyu40} - STRUCTURE)
        if draw < self.settings.naming_noise and others:
            return others[rng.integers(len(others))]
        return nyu40

    def _rng(self, scene_id: str, frame_name: str, *numbers: int) -> np.random.Generator:
        parts = (self.settings.style, scene_id, frame_name, *map(str, numbers))
        return np.random.default_rng([self.settings.seed, *map(stable_int, parts)])


def _largest_kinds(said: Sequence[tuple[int, int, int]]) -> list[tuple[int, list[int]]]:
    """(name, its keys from the largest area on) of (name, key, area) triples, by the names' summed areas."""
    keys: dict[int, list[int]] = {}
    total: dict[int, int] = {}
    for name, key, area in sorted(said, key=lambda triple: (-triple[2], triple[1])):
        keys.setdefault(name, []).append(key)
        total[name] = total.get(name, 0) + area
    # Sorting is stable: equal areas stay in the order of their largest object.
    return sorted(keys.items(), key=lambda item: -total[item[0]])
