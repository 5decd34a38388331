"""Predicted instances of a scene in one safetensors file, beside the predicted classes of its points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from regionzoo.artifacts import sha256_file, write_safetensors
from regionzoo.classes import CLASS_SETS, class_set
from regionzoo.errors import SceneError
from regionzoo.evaluation.predictions import REBUILD
from regionzoo.evaluation.run_length import Masks

FORMAT_VERSION = "1"
KIND = "instances"
SUFFIX = ".instances.safetensors"
"""``<scene>.safetensors`` are the classes of the points (:mod:`regionzoo.evaluation.predictions`)."""

_TENSORS = {
    "offsets": np.int32,
    "starts": np.int32,
    "lengths": np.int32,
    "mask": np.int32,
    "label": np.int16,
    "score": np.float32,
}


@dataclass(frozen=True)
class InstancePredictions:
    """R predicted instances of one scene, in the order in which the head gives them.

    masks: each once, predictions may share one. mask: int32 [R], which of them. label: int16 [R], position in
    ``class_set``. score: float32 [R], 0..1. no_proposals: the head found nothing to refine (the original then leaves
    the scene out of its scores); not the same as proposals that all were dropped.
    """

    scene_id: str
    coords_sha256: str
    masks: Masks
    mask: np.ndarray
    label: np.ndarray
    score: np.ndarray
    no_proposals: bool = False
    class_set: str = "scannet20"

    def __len__(self) -> int:
        return len(self.mask)

    def problem(self) -> str | None:
        """Why these values cannot be; None if they can."""
        if self.class_set not in CLASS_SETS:
            return f"no class set '{self.class_set}'"
        if problem := self.masks.problem():
            return problem
        if not len(self.mask) == len(self.label) == len(self.score):
            return f"{len(self.mask)} masks, {len(self.label)} labels and {len(self.score)} scores of predictions"
        if self.no_proposals and (len(self.mask) or len(self.masks)):
            return "no proposals, and yet predictions"
        limits = {"mask": len(self.masks) - 1, "label": len(class_set(self.class_set).names) - 1, "score": 1}
        for name, last in limits.items():
            values = getattr(self, name)
            # Written so that NaN is refused.
            if len(values) and not (values.min() >= 0 and values.max() <= last):
                return f"'{name}' has values {values.min()}..{values.max()} outside 0..{last}"
        return None


def save_instances(path: str | Path, found: InstancePredictions) -> None:
    """Write the predicted instances of a scene atomically; ``ValueError`` if they do not fit together."""
    if problem := found.problem():
        raise ValueError(problem)
    masks = found.masks
    values = {
        "offsets": masks.offsets,
        "starts": masks.starts,
        "lengths": masks.lengths,
        "mask": found.mask,
        "label": found.label,
        "score": found.score,
    }
    metadata = {
        "format": FORMAT_VERSION,
        "kind": KIND,
        "scene_id": found.scene_id,
        "coords_sha256": found.coords_sha256,
        "class_set": found.class_set,
        "points": str(masks.points),
        "no_proposals": str(found.no_proposals).lower(),
    }
    write_safetensors(path, {name: values[name].astype(kind) for name, kind in _TENSORS.items()}, metadata)


def load_instances(
    path: str | Path, coords_sha256: str, n_points: int, sha256: str | None = None
) -> InstancePredictions:
    """Read the predicted instances of a scene with ``n_points`` vertices of this hash.

    sha256: of the file as the manifest has it. Raises :class:`SceneError` if the file is absent, damaged, not of this
    kind or for other vertices, or if its values do not fit together.
    """
    path = Path(path)
    name = path.name.removesuffix(SUFFIX)
    try:
        if sha256 is not None and sha256_file(path) != sha256:
            raise SceneError(name, path, f"its content differs from the manifest; {REBUILD}")
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except FileNotFoundError:
        raise SceneError(name, path, f"no predicted instances for this scene; {REBUILD}") from None
    except (SafetensorError, OSError) as error:
        raise SceneError(name, path, f"damaged ({error}); {REBUILD}") from None
    if metadata.get("kind") != KIND:
        raise SceneError(name, path, f"no file of predicted instances; {REBUILD}")
    if metadata.get("format") != FORMAT_VERSION:
        raise SceneError(name, path, f"format {metadata.get('format')}, expected {FORMAT_VERSION}; {REBUILD}")
    name = metadata.get("scene_id", name)
    if problem := _misfit(metadata, tensors, coords_sha256, n_points):
        raise SceneError(name, path, f"{problem}; {REBUILD}")
    found = InstancePredictions(
        scene_id=name,
        coords_sha256=coords_sha256,
        masks=Masks(tensors["offsets"], tensors["starts"], tensors["lengths"], n_points),
        mask=tensors["mask"],
        label=tensors["label"],
        score=tensors["score"],
        no_proposals=metadata["no_proposals"] == "true",
        class_set=metadata["class_set"],
    )
    if problem := found.problem():
        raise SceneError(name, path, f"{problem}; {REBUILD}")
    return found


def _misfit(metadata: dict[str, str], tensors: dict[str, np.ndarray], coords_sha256: str, n_points: int) -> str | None:
    missing = {"class_set", "no_proposals", "points", "scene_id"} - set(metadata)
    if missing:
        return f"its metadata lack '{min(missing)}'"
    if metadata.get("coords_sha256") != coords_sha256:
        return "made for other vertices than the stored scene has"
    if metadata["points"] != str(n_points):
        return f"made for {metadata['points']} points, the scene has {n_points}"
    for key, kind in _TENSORS.items():
        if key not in tensors or tensors[key].dtype != kind or tensors[key].ndim != 1:
            return f"'{key}' is missing or not a {np.dtype(kind).name} vector"
    return None
