"""What all captioners of this package share: they look at frames in batches, and count what that costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from regionzoo.captions.captioner import Picture, Region2D
from regionzoo.captions.models.runtime import Batches, ModelRuntime

if TYPE_CHECKING:
    import numpy as np

    from regionzoo.captions.models.files import ModelFiles

DECODERS = 4
"""Threads that decode images; decoding releases the interpreter lock."""


class Described(NamedTuple):
    """The regions of one frame, and what they cost: images that a model saw (windows and crops count each) and tokens
    that it wrote."""

    regions: list[Region2D]
    images: int
    tokens: int


class ModelCaptioner(ABC):
    """A :class:`regionzoo.captions.captioner.Captioner` that runs pretrained models over several frames at once.

    Of a frame it uses ``scene_id``, ``name`` and ``load_color()`` alone. There is no sampling anywhere, but sums in
    another order round differently: a caption may change with precision, device and batch size where two words are
    equally good to within rounding.
    """

    def __init__(self, runtime: ModelRuntime, models: Sequence[ModelFiles]) -> None:
        self.runtime, self.models = runtime, tuple(models)
        self.batches = Batches(runtime.batch_size)

    @property
    @abstractmethod
    def identity(self) -> dict[str, str | int | float]:
        """Name, settings, precision and hash of the model's files: what the captions depend on.

        Where the model lies is said by :meth:`facts` alone: a moved folder is the same captioner.
        """

    @abstractmethod
    def look(self, frames: Sequence[Picture], images: Sequence[np.ndarray]) -> list[Described]:
        """What is said of each frame; ``images`` are theirs, uint8 [H, W, 3]."""

    def describe(self, frame: Picture) -> list[Region2D]:
        """Regions of one frame."""
        return self.describe_many([frame])[0]

    def describe_many(self, frames: Sequence[Picture]) -> list[list[Region2D]]:
        """Regions of several frames, of one scene or of several."""
        return [described.regions for described in self.describe_counted(frames)]

    def describe_counted(self, frames: Sequence[Picture]) -> list[Described]:
        """:meth:`describe_many` with the cost of each frame. All their images are in memory at once."""
        with ThreadPoolExecutor(DECODERS) as pool:
            images = list(pool.map(lambda frame: frame.load_color(), frames))
        return self.look(frames, images)

    def facts(self) -> dict[str, Any]:
        """Models, device and versions as JSON values, for the record."""
        import torch
        import transformers

        device = self.runtime.torch_device()
        return {
            "models": [{"model": files.name, "weights_sha256": files.sha256} for files in self.models],
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "precision": self.runtime.float_name(),
            "batch_size": self.runtime.batch_size,
            "smallest_batch_size": self.batches.size,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        }
