"""The predictions store: one safetensors file a scene, and a manifest that says what made them.

Scoring needs this folder and the scene store alone, no network: one set of predictions, any number of protocols.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from pydantic import model_validator
from safetensors import SafetensorError, safe_open

from regionzoo.artifacts import manifest_hash, sha256_file, write_safetensors
from regionzoo.classes import CLASS_SETS, class_set
from regionzoo.errors import SceneError, UserError
from regionzoo.integrity import read_made
from regionzoo.models.settings import Partition
from regionzoo.settings.base import Count, Seed, Settings, Truth

FORMAT_VERSION = "1"
SUFFIX = ".safetensors"
REBUILD = "run the predict rule again"

Variant = Literal["row", "masked", "all", "foreground"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""What of each point is saved.

"row": as the row publishes it, ignored classes masked, and calibrated where the network has a binary head. "masked":
the same, not calibrated. "all": every class of the set may be predicted, not calibrated. "foreground": every class but
background (:func:`background`), whatever the row ignores, not calibrated.
"""

# Mosaic3D's list; each class set has some of them.
_BACKGROUND = ("wall", "floor", "ceiling", "otherfurniture")


def background(name: str) -> tuple[str, ...]:
    """The classes of a class set that the variant "foreground" cannot predict."""
    return tuple(entry for entry in class_set(name).names if entry in _BACKGROUND)


@dataclass(frozen=True)
class Predictions:
    """Predicted classes of the N points of one scene.

    labels: int16 [N] of each variant, positions in ``class_set``. is_base: uint8 [N], 1 where the binary head says
    "base" (its probability is above 0.5), None without one.
    """

    scene_id: str
    coords_sha256: str
    class_set: str
    labels: dict[Variant, np.ndarray]
    is_base: np.ndarray | None = None


class PredictedClasses(Settings):
    """The class set that a network was asked for, by role. Without annotation all classes but ignored are novel."""

    set: str
    annotated: Truth
    base: tuple[str, ...]
    novel: tuple[str, ...]
    ignored: tuple[str, ...]

    @model_validator(mode="after")
    def _every_class_once(self) -> Self:
        if self.set not in CLASS_SETS:
            raise ValueError(f"no class set '{self.set}'; valid: {', '.join(CLASS_SETS)}")
        if sorted(self.base + self.novel + self.ignored) != sorted(class_set(self.set).names):
            raise ValueError(f"base, novel and ignored classes must be those of {self.set}, each once")
        return self

    @classmethod
    def of(cls, name: str, roles: Partition) -> Self:
        """The names behind positions in the class set ``name``."""
        names = class_set(name).names
        base, novel, ignored = (
            tuple(names[c] for c in role) for role in (roles.base_idx, roles.novel_idx, roles.ignore_idx)
        )
        return cls(set=name, annotated=bool(base), base=base, novel=novel, ignored=ignored)

    @property
    def roles(self) -> Partition:
        """Positions of the classes by role."""
        names = class_set(self.set).names
        base, novel, ignored = (
            tuple(names.index(name) for name in role) for role in (self.base, self.novel, self.ignored)
        )
        return Partition(base, novel, ignored)


class TrainedWith(Settings):
    """What the weights are.

    unlabelled_as: class that unlabelled points counted as in training. captions: whether their loss was on, and who
    wrote them. distill, features: weight of the distillation loss, and who provided its features. text: facts of the
    text table. cost: of the training. released: where published weights came from, None for trained ones.
    """

    row: str
    source: str
    scale: str
    seed: Seed
    overrides: dict[str, Any]
    unlabelled_as: str | None
    captions: dict[str, Any]
    distill: float
    features: dict[str, Any]
    text: dict[str, Any]
    weights_sha256: str
    cost: dict[str, Any]
    released: dict[str, Any] | None = None


class PredictionFacts(Settings):
    """The ``facts`` of a predictions manifest: all that a result says beside its scores.

    task: "instance" if the folder also has predicted instances (:mod:`regionzoo.evaluation.instance_store`).
    """

    format: Literal[1] = 1
    task: Literal["semantic", "instance"] = "semantic"
    row: str
    classes: PredictedClasses
    training: TrainedWith
    scenes: Count
    device: str
    predict_hours: float
    predict_peak_memory_gib: float


def save_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write the predictions of a scene atomically; ``ValueError`` if a variant or a point is missing."""
    if set(predictions.labels) != set(VARIANTS):
        raise ValueError(f"variants {sorted(predictions.labels)}; expected {sorted(VARIANTS)}")
    tensors = {variant: values.astype(np.int16) for variant, values in predictions.labels.items()}
    if predictions.is_base is not None:
        tensors["is_base"] = predictions.is_base.astype(np.uint8)
    if len({values.shape for values in tensors.values()}) != 1:
        raise ValueError(f"shapes {sorted({values.shape for values in tensors.values()})}; expected equal ones")
    metadata = {
        "format": FORMAT_VERSION,
        "scene_id": predictions.scene_id,
        "coords_sha256": predictions.coords_sha256,
        "class_set": predictions.class_set,
    }
    write_safetensors(path, tensors, metadata)


def load_predictions(path: str | Path, coords_sha256: str, n_points: int, sha256: str | None = None) -> Predictions:
    """Read the predictions of a scene with ``n_points`` vertices of this hash.

    sha256: of the file as the manifest has it. Raises :class:`SceneError` if the file is absent, damaged or for other
    vertices, or if lengths or classes are out of range.
    """
    path = Path(path)
    try:
        if sha256 is not None and sha256_file(path) != sha256:
            raise SceneError(path.stem, path, f"its content differs from the manifest; {REBUILD}")
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except FileNotFoundError:
        raise SceneError(path.stem, path, f"no predictions for this scene; {REBUILD}") from None
    except (SafetensorError, OSError) as error:
        raise SceneError(path.stem, path, f"damaged ({error}); {REBUILD}") from None
    if metadata.get("format") != FORMAT_VERSION:
        raise SceneError(path.stem, path, f"format {metadata.get('format')}, expected {FORMAT_VERSION}; {REBUILD}")
    problem = _problem(metadata, tensors, coords_sha256, n_points)
    if problem:
        raise SceneError(metadata.get("scene_id", path.stem), path, f"{problem}; {REBUILD}")
    is_base = tensors.pop("is_base", None)
    return Predictions(
        metadata["scene_id"],
        metadata["coords_sha256"],
        metadata["class_set"],
        {variant: tensors[variant] for variant in VARIANTS},
        is_base,
    )


def _problem(metadata: dict[str, str], tensors: dict[str, np.ndarray], coords_sha256: str, n_points: int) -> str | None:
    if metadata.get("class_set") not in CLASS_SETS:
        return "no file of predictions"
    if metadata["coords_sha256"] != coords_sha256:
        return "made for other vertices than the stored scene has"
    missing = set(VARIANTS) - set(tensors)
    if missing:
        return f"no prediction '{min(missing)}'"
    for name, values in tensors.items():
        if values.shape != (n_points,):
            return f"'{name}' has {len(values)} points, the scene {n_points}"
        limit = 2 if name == "is_base" else len(class_set(metadata["class_set"]).names)
        if n_points and (values.min() < 0 or values.max() >= limit):
            return f"'{name}' has values {values.min()}..{values.max()} outside 0..{limit - 1}"
    return None


def load_facts(folder: str | Path) -> tuple[PredictionFacts, dict[str, str], str]:
    """Facts of a predictions folder, the SHA-256 of each of its files and that of the manifest, which stands beside it.

    Raises :class:`UserError` if there is none, or if it is not a manifest of predictions.
    """
    folder = Path(folder)
    path = folder.with_name(f"{folder.name}.manifest.json")
    if not path.is_file():
        raise UserError(f"{path}: no manifest of predictions; expected a folder such as results/<row>/predictions")
    manifest = read_made(path)
    if not isinstance(manifest, dict) or not {"facts", "files"} <= set(manifest):
        raise UserError(f"{path}: not a manifest of predictions")
    return PredictionFacts.check(manifest["facts"], str(path)), manifest["files"], manifest_hash(path)
