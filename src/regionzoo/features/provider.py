"""The seam between pictures and distillation targets: pixel features turn one frame into a map of vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from regionzoo.scenes.frames import Frame


class FeatureMap(NamedTuple):
    """Features of one image at any resolution: its cells divide the image evenly, row r of h covers that share of it.

    index: int [h, w], row of ``vectors`` that each cell has, -1 = none. vectors: float16 or float32 [u, D]; a row of
    zeros is no feature either. Few distinct vectors (objects) are kept once; a dense map has u = h * w.
    """

    index: np.ndarray
    vectors: np.ndarray

    @classmethod
    def dense(cls, feats: np.ndarray) -> FeatureMap:
        """A map with a vector of its own in each cell: [h, w, D]."""
        height, width, dimension = feats.shape
        index = np.arange(height * width, dtype=np.int32).reshape(height, width)
        return cls(index, feats.reshape(height * width, dimension))

    def rows(self, u: np.ndarray, v: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """int [M]: rows of ``vectors`` at columns u and rows v (int [M]) of an image of ``size`` (height, width)."""
        height, width = self.index.shape
        return self.index[v.astype(np.int64) * height // size[0], u.astype(np.int64) * width // size[1]]


class PixelFeatures(Protocol):
    """Anything that gives features of the pixels of a frame.

    ``describe`` must depend on the frame alone, not on the order of calls: several processes share the scenes.
    """

    @property
    def identity(self) -> dict[str, Any]:
        """Name and settings, JSON values: equal identities on equal frames give equal features."""
        ...

    @property
    def dimension(self) -> int:
        """D of every vector."""
        ...

    def describe(self, frame: Frame) -> FeatureMap:
        """Features of one frame."""
        ...


class PixelFeatureSettings(Protocol):
    """What travels to worker processes: picklable, hashable, and able to make its source there."""

    def make(self) -> PixelFeatures:
        """A ready source; models are loaded here and not before."""
        ...
