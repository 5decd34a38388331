"""A captioner that reads the annotation images of ``scannet_frames_25k`` instead of looking at the picture.

It knows the ground truth. Numbers from captions of this source show that the pipeline is connected and that the losses
work; they say nothing about how well any captioner sees. Misses, wrong names and loose boxes are drawn at stated rates.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from regionzoo.captions.captioner import Box, Region2D
from regionzoo.captions.wording import STRUCTURE, Thing, grounded_phrase, is_named, template_sentence
from regionzoo.errors import UserError

if TYPE_CHECKING:
    from regionzoo.scenes.frames import Frame

INSTANCE_BASE = 1000
"""The instance image holds NYU40 id * 1000 + running number."""

MIN_PIXELS = 3000
"""Smallest visible area that gets a box; the original's smallest area of a detected box."""

STRUCTURE_SHARE = 0.3
"""Share of walls, floors and ceilings that the grounded style mentions; detectors do not box them at all."""


@dataclass(frozen=True)
class SimulatedSettings:
    """miss_rate: share of visible objects without a box. naming_noise: share of boxes named as another object of the
    image. box_noise: standard deviation of each box edge as a share of the box' size along that axis.
    """

    style: Literal["template", "grounded"]
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
        """Regions of a frame, ordered by instance number."""
        return self.describe_images(
            frame.scene_id, frame.name, frame.load_color(), frame.load_label(), frame.load_instance()
        )

    def describe_images(
        self, scene_id: str, frame_name: str, color: np.ndarray, label: np.ndarray, instance: np.ndarray
    ) -> list[Region2D]:
        """Regions of plain images: color uint8 [H, W, 3]; label uint8 [H, W], NYU40 id or 0; instance uint16 [H, W],
        NYU40 id * 1000 + number or 0.

        Every draw depends on (seed, style, scene, frame, instance) alone, so that neither the order of frames nor
        the other objects of the image change what is missed.
        """
        if not color.shape[:2] == label.shape == instance.shape:
            raise UserError(
                f"{scene_id}: frame {frame_name}: color {color.shape[:2]}, label {label.shape} and instance "
                f"{instance.shape} images differ in size; unpack the frames again"
            )
        things = _visible_things(color, label, instance)
        regions = []
        for thing in things:
            parts = (self.settings.style, scene_id, frame_name, str(thing.key))
            rng = np.random.default_rng([self.settings.seed, *(_stable_int(part) for part in parts)])
            missed, renamed, mentioned = rng.random(3)
            box = _jitter(thing.box, label.shape, rng.normal(0.0, self.settings.box_noise, 4))
            if missed < self.settings.miss_rate or not self._covers(thing, mentioned):
                continue
            name = thing.nyu40
            others = sorted({other.nyu40 for other in things} - {thing.nyu40} - STRUCTURE)
            if renamed < self.settings.naming_noise and others:
                name = others[rng.integers(len(others))]
            if self.settings.style == "template":
                text = template_sentence(name, rng)
            else:
                text = grounded_phrase(name, thing, things, rng)
            regions.append(Region2D(box, text))
        return regions

    def _covers(self, thing: Thing, draw: float) -> bool:
        if thing.nyu40 in STRUCTURE:
            return self.settings.style == "grounded" and draw < STRUCTURE_SHARE
        return True


def _stable_int(text: str) -> int:
    """64 bits that depend on the text alone (``hash`` differs between processes)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _visible_things(color: np.ndarray, label: np.ndarray, instance: np.ndarray) -> list[Thing]:
    """Objects of an image with at least ``MIN_PIXELS`` pixels and a name, by instance number."""
    # Where an annotation has a class but no instance, the pixels of that class are one thing.
    keys = np.where(instance == 0, label.astype(np.int32) * INSTANCE_BASE, instance.astype(np.int32))
    areas = np.bincount(keys.ravel())
    candidates = [int(key) for key in np.flatnonzero(areas >= MIN_PIXELS) if is_named(int(key) // INSTANCE_BASE)]
    numbers = np.zeros(len(areas), np.int32)
    numbers[candidates] = np.arange(1, len(candidates) + 1)
    numbered = numbers[keys]
    things = []
    for number, (key, window) in enumerate(zip(candidates, ndimage.find_objects(numbered), strict=True), start=1):
        rows, columns = window
        box = (float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
        things.append(Thing(key, key // INSTANCE_BASE, box, _mean_color(color[window], numbered[window] == number)))
    return things


def _mean_color(color: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    # A sixteenth of the pixels tells a colour word just as well; a very thin object may slip through the grid.
    coarse = np.s_[::4, ::4] if mask[::4, ::4].any() else np.s_[:, :]
    red, green, blue = color[coarse][mask[coarse]].mean(axis=0)
    return float(red), float(green), float(blue)


def _jitter(box: Box, shape: tuple[int, int], noise: np.ndarray) -> Box:
    """Move the edges by shares of the box' size and keep the result inside the image and not inverted."""
    x_min, y_min, x_max, y_max = box
    height, width = shape
    along_x, along_y = x_max - x_min, y_max - y_min
    left, right = np.clip(sorted((x_min + noise[0] * along_x, x_max + noise[2] * along_x)), 0, width)
    top, bottom = np.clip(sorted((y_min + noise[1] * along_y, y_max + noise[3] * along_y)), 0, height)
    return float(left), float(top), float(right), float(bottom)
