"""Labels, scores, features and instances of own scans: what ``regionzoo predict`` does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from regionzoo import __version__
from regionzoo.apply.clouds import Cloud
from regionzoo.apply.grid import Voxels
from regionzoo.apply.instances import find, instance_arrays, write_benchmark
from regionzoo.apply.labelled import label_counts, labels_of, share, write_labelled
from regionzoo.apply.npz import Streamed, write_npz
from regionzoo.apply.question import Asked, Question, make_question
from regionzoo.apply.rows import require_room, scratch
from regionzoo.apply.run import Runtime, each_scan, prepared, voxel_size
from regionzoo.apply.score import Reader, Scored, run_network
from regionzoo.apply.weights import Weights
from regionzoo.errors import UserError
from regionzoo.evaluation.instance_store import InstancePredictions

ARRAYS = ("logits", "probabilities", "binary", "features")
INSTANCES = "instances"
SAVED = (*ARRAYS, INSTANCES)
ENDINGS = (".npz", ".ply", "")


@dataclass(frozen=True)
class Wish:
    """What is written.

    outputs: files by ending, a folder for instances as the benchmark takes them. save: of ``SAVED``. half: features as
    float16.
    """

    outputs: tuple[Path, ...]
    save: frozenset[str] = field(default_factory=frozenset)
    half: bool = False


def predict(weights: Weights, asked: Asked, source: Path, wish: Wish, runtime: Runtime) -> None:
    """Label every scan of a path and write what is wished, each scan whole or not at all.

    Raises :class:`UserError` of one line for whatever does not fit together, before the network runs where possible.
    """
    _check(weights, asked, wish)
    question = make_question(asked, weights)
    device = prepared(runtime)
    network = weights.network(runtime.engine, question.vectors if question.own else None).to(device)
    facts = _facts(weights, question)

    def work(cloud: Cloud, voxels: Voxels, paths: tuple[Path, ...]) -> str:
        reader = Reader(question, weights.dimension, wish.save & set(ARRAYS), wish.half, device)
        values = sum(max(1, width) * np.dtype(kind).itemsize for width, kind in reader.columns.values())
        # The values of the voxels while the network runs, and those of the points in the result.
        require_room(paths[0].parent, values * (len(voxels) + len(cloud) * any(p.suffix == ".npz" for p in paths)))
        if INSTANCES in wish.save and len(voxels) > runtime.most(weights):
            raise UserError(
                f"{cloud.name}: {len(voxels)} voxels; instances are found in scans of one pass, here at most "
                f"{runtime.most(weights)} voxels: cut the scan into rooms, or raise --max-voxels if the memory is there"
            )
        with scratch(paths[0]) as folder:
            parts, title = runtime.parts(voxels, weights), f"predict {cloud.name}"
            scored = run_network(network, voxels, parts, reader.columns, reader, folder, title, device)
            found = find(network, cloud, voxels, weights, device) if INSTANCES in wish.save else None
            for path in paths:
                if path.suffix == ".npz":
                    _write_npz(path, cloud, scored, question, wish, facts, found)
                elif path.suffix == ".ply":
                    write_labelled(path, cloud, scored, question, facts, found)
                else:
                    assert found is not None
                    write_benchmark(path, found)
            return _told(cloud, voxels, scored, question, found)

    each_scan(source, wish.outputs, ENDINGS, voxel_size(weights), work)


def _check(weights: Weights, asked: Asked, wish: Wish) -> None:
    unknown = sorted(wish.save - set(SAVED))
    if unknown:
        raise UserError(f"--save: '{unknown[0]}' is unknown; valid: {', '.join(SAVED)}")
    if not wish.outputs:
        raise UserError("--output: name a file to write, .npz or .ply")
    endings = {path.suffix for path in wish.outputs}
    if wish.save & set(ARRAYS) and ".npz" not in endings:
        raise UserError(f"--save {','.join(sorted(wish.save))}: arrays go into an .npz; add an --output that ends so")
    if "binary" in wish.save and not weights.settings.classes.annotated:
        raise UserError(f"--save binary: the network of row '{weights.row}' has no base-or-novel head")
    if wish.half and "features" not in wish.save:
        raise UserError("--half: it stores features; add --save features")
    if "" in endings and INSTANCES not in wish.save:
        raise UserError("--output: a folder takes instances; add --save instances, or end the name with .npz or .ply")
    if INSTANCES in wish.save:
        if weights.settings.instances is None:
            raise UserError(f"--save instances: the network of row '{weights.row}' has no instance head")
        if asked.classes is not None:
            raise UserError("--save instances: instances are found among the row's own classes; leave --classes out")


def _facts(weights: Weights, question: Question) -> dict[str, Any]:
    return {
        "regionzoo": __version__,
        "row": weights.row,
        "weights": weights.file.name,
        "weights_sha256": weights.sha256,
        "classes": list(question.names),
        "prompts": list(question.prompts),
        "class_of_prompt": question.members.tolist(),
        "base": [question.names[c] for c in question.partition.base_idx],
        "ignored": [question.names[c] for c in question.partition.ignore_idx],
        "calibrated": question.calibrated,
        "text_encoder": question.encoder or "vectors stored with the weights",
        "voxel_size": voxel_size(weights),
    }


def _write_npz(
    path: Path,
    cloud: Cloud,
    scored: Scored,
    question: Question,
    wish: Wish,
    facts: dict[str, Any],
    found: InstancePredictions | None,
) -> None:
    count = len(cloud)

    def streamed(name: str) -> Streamed:
        rows = scored.rows[name]
        shape = (count, *rows.shape[1:])
        return Streamed(shape, rows.dtype, lambda a, b: scored.of_points(name, a, b, np.nan))

    arrays: dict[str, np.ndarray | Streamed] = {
        "labels": Streamed((count,), np.dtype(np.int64), lambda a, b: labels_of(scored, a, b)),
        "confidence": streamed("confidence"),
        "class_names": np.array(question.names),
    }
    arrays |= {name: streamed(name) for name in ARRAYS if name in wish.save}
    if found is not None:
        arrays |= instance_arrays(found)
    arrays["made_with"] = np.array(json.dumps(facts, sort_keys=True))
    write_npz(path, arrays)


def _told(cloud: Cloud, voxels: Voxels, scored: Scored, question: Question, found: InstancePredictions | None) -> str:
    most = [
        f"{question.names[c]} {share(n, len(cloud))}"
        for c, n in label_counts(scored, len(cloud)).most_common(5)
        if c >= 0
    ]
    passes = "" if scored.passes == 1 else f" in {scored.passes} tiles"
    instances = "" if found is None else f", {len(found.masks)} masks"
    return f"{len(cloud)} points, {len(voxels)} voxels{passes}{instances}: {', '.join(most)}"
