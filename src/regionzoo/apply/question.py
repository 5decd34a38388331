"""What the points of a scan are asked: a row's own classes, or any list of names with synonyms and roles."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regionzoo.apply.weights import Weights
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.models.settings import Partition
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.encoders import TextEncoder, make_encoder
from regionzoo.text.prompts import prompt
from regionzoo.training.labels import partition_of

COMPARED = 20
"""Classes whose vectors are made again to see whether an encoder is the one that the network was trained with."""
SAME_SPACE = 0.8
"""Least median cosine between those vectors. Another model of the same size gives about 0; other articles about 0.9."""


@dataclass(frozen=True)
class Question:
    """C classes with M texts between them.

    names: of the classes. prompts: the M texts; vectors: float32 [M, D]; members: int64 [M], class of each text, in
    order. partition: roles of the classes. calibrated: whether the base-or-novel head has a say in the labels. own:
    whether these are the row's classes. encoder: what made the vectors, None for those stored with the weights.
    """

    names: tuple[str, ...]
    prompts: tuple[str, ...]
    vectors: np.ndarray
    members: np.ndarray
    partition: Partition
    calibrated: bool
    own: bool
    encoder: str | None


@dataclass(frozen=True)
class Asked:
    """What a user asks.

    classes: groups of synonyms, the first of each is the class's name; None for the row's classes. base: names of the
    classes that count as annotated in training, for calibration. calibrate: None for the default: with the row's
    classes, and with given roles. template: None for the row's; else one of the rows' templates or a text with {}.
    encoder: None for the row's.
    """

    classes: tuple[tuple[str, ...], ...] | None = None
    base: tuple[str, ...] = ()
    calibrate: bool | None = None
    template: str | None = None
    encoder: str | None = None


def parse_classes(text: str) -> tuple[tuple[str, ...], ...]:
    """Groups of synonyms from ``"sofa|couch, whiteboard"``; :class:`UserError` for empty or repeated names."""
    groups = tuple(tuple(name.strip() for name in part.split("|")) for part in text.split(","))
    names = [name for group in groups for name in group]
    if not all(names):
        raise UserError(
            f"--classes {text!r}: a name is empty; expected names with commas between, such as sofa|couch,desk"
        )
    repeated = [name for k, name in enumerate(names) if name in names[:k]]
    if repeated:
        raise UserError(f"--classes: '{repeated[0]}' is named twice")
    return groups


def parse_names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def make_question(asked: Asked, weights: Weights) -> Question:
    """Texts, vectors and roles; :class:`UserError` if they do not fit the weights or the encoder is not to be had."""
    if asked.classes is None and asked.base:
        raise UserError("--base goes with --classes; a row's own classes have their roles")
    head = weights.settings.classes.annotated
    if asked.calibrate and not head:
        raise UserError(f"--calibrate: the network of row '{weights.row}' has no base-or-novel head")
    return _named(asked, weights, head) if asked.classes is not None else _own(asked, weights, head)


def spelled(name: str, template: str) -> str:
    """The text of a class under a row's template, or under a free one with {} in the place of the name."""
    return template.replace("{}", name) if "{}" in template else prompt(name, template)


def encode(texts: Sequence[str], spec: str, weights: Weights) -> np.ndarray:
    """float32 [texts, D]: unit vectors; :class:`UserError` unless the encoder is the one of the network's training."""
    encoder = make_encoder(spec)
    if encoder.dimension != weights.dimension:
        raise UserError(
            f"text encoder '{spec}': vectors of {encoder.dimension} dimensions, and {weights.file} was trained with "
            f"{weights.dimension}; name the right one with --encoder"
        )
    _require_same_space(encoder, spec, weights)
    return encoder.encode(list(texts))


def _own(asked: Asked, weights: Weights, head: bool) -> Question:
    entries = class_set(weights.classes.set)
    template = asked.template or weights.settings.template
    prompts = tuple(spelled(name, template) for name in entries.prompts)
    vectors, spec = weights.own_vectors, None
    if vectors is None or asked.template is not None or asked.encoder is not None:
        spec = asked.encoder or weights.encoder
        vectors = encode(prompts, spec, weights)
    partition = partition_of(weights.classes)
    calibrated = head and bool(partition.base_idx) and asked.calibrate is not False
    if asked.calibrate and not calibrated:
        raise UserError(f"--calibrate: row '{weights.row}' asks for classes without base and novel ones")
    return Question(entries.names, prompts, vectors, np.arange(len(prompts)), partition, calibrated, True, spec)


def _named(asked: Asked, weights: Weights, head: bool) -> Question:
    assert asked.classes is not None
    names = tuple(group[0] for group in asked.classes)
    for name in asked.base:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"classes: {', '.join(names)}"
            raise UserError(f"--base: '{name}' is not among the classes; {hint}")
    if asked.base and not head:
        raise UserError(f"--base: the network of row '{weights.row}' has no base-or-novel head that roles could serve")
    if asked.calibrate and not asked.base:
        raise UserError("--calibrate: which of the named classes were annotated in training? name them with --base")
    template = asked.template or weights.settings.template
    prompts = tuple(spelled(name, template) for group in asked.classes for name in group)
    members = np.repeat(np.arange(len(names)), [len(group) for group in asked.classes])
    spec = asked.encoder or weights.encoder
    base = tuple(c for c, name in enumerate(names) if name in asked.base)
    novel = tuple(c for c in range(len(names)) if c not in base)
    return Question(
        names=names,
        prompts=prompts,
        vectors=encode(prompts, spec, weights),
        members=members,
        partition=Partition(base, novel),
        calibrated=bool(base) and asked.calibrate is not False,
        own=False,
        encoder=spec,
    )


def _require_same_space(encoder: TextEncoder, spec: str, weights: Weights) -> None:
    """Encoders of equal dimensions are silently not interchangeable; the vectors stored with the weights can tell."""
    stored = weights.text_matrix
    known = [classes.set for classes in (weights.settings.classes, weights.classes)]
    fitting = [name for name in known if len(class_set(name).names) == len(stored)]
    if not fitting:
        return
    ours = encoder.encode(class_prompts(fitting[0], weights.settings.template)[:COMPARED])
    theirs = stored[:COMPARED].astype(np.float64)
    lengths = np.maximum(np.linalg.norm(theirs, axis=1), np.finfo(np.float64).tiny)
    cosine = float(np.median((ours * theirs).sum(axis=1) / lengths))
    if not cosine >= SAME_SPACE:
        raise UserError(
            f"text encoder '{spec}': not the one that {weights.file} was trained with (their vectors of the row's "
            f"classes have a cosine of {cosine:.2f}); name the right one with --encoder"
        )
