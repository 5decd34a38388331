"""Pixel features from the annotation images of ``scannet_frames_25k`` and a text encoder, not from the picture.

They know the ground truth: a pixel of a chair has the vector of "a chair in a scene". Numbers from this source show
that distillation is connected and works; they say nothing about how well an image network sees. Noise is added per
object and view at a stated length, so that averaging over views has something to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from regionzoo.artifacts import stable_int
from regionzoo.captions.instances import INSTANCE_BASE
from regionzoo.captions.wording import nouns
from regionzoo.errors import UserError
from regionzoo.features.provider import FeatureMap

if TYPE_CHECKING:
    from regionzoo.scenes.frames import Frame
    from regionzoo.text.encoders import TextEncoder


def phrase(noun: str) -> str:
    """The text whose vector the pixels of an object get."""
    return f"a {noun} in a scene"


@dataclass(frozen=True, eq=False)
class SimulatedFeatureSettings:
    """nyu40: ids that have a vector. vectors: float32 [len(nyu40), D], rows of length 1. noise: length of the vector
    that is added to each object in each view. encoder: facts of the text encoder that made the vectors.

    Processes get the vectors and not the encoder, so that none of them loads a language model.
    """

    nyu40: tuple[int, ...]
    vectors: np.ndarray
    noise: float
    seed: int
    encoder: dict[str, str]

    def make(self) -> SimulatedFeatures:
        """The source with these settings."""
        return SimulatedFeatures(self)


def encode_settings(encoder: TextEncoder, noise: float, seed: int) -> SimulatedFeatureSettings:
    """Settings with the vectors of all nouns in the space of ``encoder``."""
    known = nouns()
    vectors = encoder.encode([phrase(noun) for noun in known.values()])
    return SimulatedFeatureSettings(tuple(known), vectors, noise, seed, dict(encoder.facts))


class SimulatedFeatures:
    """Vectors by the label and instance images of a frame (ground truth: see the module)."""

    def __init__(self, settings: SimulatedFeatureSettings) -> None:
        self.settings = settings
        self._row_of = {nyu40: row for row, nyu40 in enumerate(settings.nyu40)}

    @property
    def identity(self) -> dict[str, Any]:
        """Name and settings."""
        settings = self.settings
        told = {"provider": "simulated", "knows": "ground truth", "phrase": phrase("<noun>")}
        return told | {"noise": settings.noise, "seed": settings.seed} | settings.encoder

    @property
    def dimension(self) -> int:
        """D of the text encoder."""
        return int(self.settings.vectors.shape[1])

    def describe(self, frame: Frame) -> FeatureMap:
        """A vector for each named object of a frame."""
        return self.describe_images(frame.scene_id, frame.name, frame.load_label(), frame.load_instance())

    def describe_images(self, scene_id: str, frame_name: str, label: np.ndarray, instance: np.ndarray) -> FeatureMap:
        """The map of plain images: label uint8 [H, W], NYU40 id or 0; instance uint16 [H, W], NYU40 id * 1000 + number
        or 0. Pixels of ids without a noun have no feature.

        The noise of an object depends on (seed, scene, frame, instance) alone.
        """
        if label.shape != instance.shape:
            raise UserError(
                f"{scene_id}: frame {frame_name}: label {label.shape} and instance {instance.shape} images differ in "
                "size; unpack the frames again"
            )
        # Where an annotation has a class but no instance, the pixels of that class are one object.
        keys = np.where(instance == 0, label.astype(np.int32) * INSTANCE_BASE, instance.astype(np.int32))
        present = np.flatnonzero(np.bincount(keys.ravel()))
        named = [int(key) for key in present if int(key) // INSTANCE_BASE in self._row_of]
        number = np.full(int(present[-1]) + 1 if len(present) else 1, -1, np.int32)
        number[named] = np.arange(len(named), dtype=np.int32)
        vectors = np.zeros((len(named), self.dimension), np.float32)
        for row, key in enumerate(named):
            vectors[row] = self._vector(scene_id, frame_name, key)
        return FeatureMap(number[keys], vectors)

    def _vector(self, scene_id: str, frame_name: str, key: int) -> np.ndarray:
        settings = self.settings
        parts = ("features", scene_id, frame_name, str(key))
        rng = np.random.default_rng([settings.seed, *(stable_int(part) for part in parts)])
        noise = rng.standard_normal(self.dimension)
        vector = settings.vectors[self._row_of[key // INSTANCE_BASE]] + noise * (settings.noise / np.linalg.norm(noise))
        return vector / np.linalg.norm(vector)
