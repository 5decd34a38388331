"""Random scenes with true and predicted instances, and their score by hand: sets of points, loops, no shortcuts.

Written from the protocol's text (reference: instance section 9) without a look at the package's own evaluation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CLASSES = (2, 3, 4)
"""Class positions with instances in the random scenes; 0 is a wall, 19 something else, -100 unlabelled."""


@dataclass(frozen=True)
class Guess:
    """A predicted instance."""

    label: int
    score: float
    points: frozenset[int]


@dataclass(frozen=True)
class Room:
    """labels, instance: of each point. guesses: in the order of prediction."""

    labels: list[int]
    instance: list[int]
    guesses: list[Guess]
    no_proposals: bool


def random_room(rng: np.random.Generator) -> Room:
    """Up to 60 points; some rooms are empty, without instances, or without predictions. Many predictions lie close to
    a true instance, many are doubled, many scores tie, many lie on points without instance."""
    n = int(rng.choice([0, 1, 5])) if rng.random() < 0.05 else int(rng.integers(20, 61))
    labels, instance = np.full(n, -100), np.full(n, -100)
    at = 0
    while at < n:
        size = int(rng.integers(1, 16))
        labels[at : at + size] = rng.choice([*CLASSES, *CLASSES, 0, 19, -100])
        # Some points of a class belong to no instance; sometimes two neighbours share an id.
        instance[at : at + size] = -100 if rng.random() < 0.2 else rng.integers(0, 8)
        at += size
    if rng.random() < 0.1:
        instance[:] = -100
    no_proposals = bool(rng.random() < 0.15)
    guesses = []
    for _ in range(0 if no_proposals or rng.random() < 0.1 else int(rng.integers(1, 25))):
        mask = rng.random(n) < 0.15
        label = int(rng.choice(CLASSES))
        things = sorted({(a, b) for a, b in zip(labels.tolist(), instance.tolist(), strict=True) if b >= 0})
        if things and rng.random() < 0.85:
            for a, b in [things[k] for k in rng.choice(len(things), rng.integers(1, 3))]:
                mask = mask | ((labels == a) & (instance == b)) if rng.random() < 0.9 else mask
                label = a if rng.random() < 0.8 else label
            # Sharp or frayed.
            mask = mask & (rng.random(n) < rng.choice([0.5, 0.8, 1.0]))
        if guesses and rng.random() < 0.2:
            mask = np.isin(np.arange(n), list(guesses[-1].points))
        guesses.append(
            Guess(label, round(float(rng.random()), int(rng.integers(1, 4))), frozenset(np.flatnonzero(mask)))
        )
    return Room(labels.tolist(), instance.tolist(), guesses, no_proposals)


def things_of(room: Room) -> dict[tuple[int, int], set[int]]:
    """True instances of a room: (label, id) -> points."""
    things: dict[tuple[int, int], set[int]] = {}
    for point, (label, number) in enumerate(zip(room.labels, room.instance, strict=True)):
        if label in CLASSES and number >= 0:
            things.setdefault((label, number), set()).add(point)
    return dict(sorted(things.items()))


def iou(a: set[int] | frozenset[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)


def precision_by_hand(rooms: list[Room], label: int, threshold: float, min_points: int, leave: bool) -> float:
    """Average precision of a class over rooms, NaN without a true instance that counts."""
    judged: list[tuple[float, bool]] = []
    missed = truths = guessed = 0
    for room in rooms:
        if leave and room.no_proposals:
            continue
        things = things_of(room)
        void = set(range(len(room.labels))) - set().union(*things.values())
        mine = [points for (of, _), points in things.items() if of == label]
        guesses = [g for g in room.guesses if g.label == label and len(g.points) >= min_points]
        guessed += len(guesses)
        used: set[int] = set()
        for points in mine:
            if len(points) < min_points:
                continue
            truths += 1
            holder: float | None = None
            for k, guess in enumerate(guesses):
                if k in used or not iou(guess.points, points) > threshold:
                    continue
                if holder is None:
                    holder = guess.score
                    used.add(k)
                else:
                    judged.append((min(holder, guess.score), False))
                    holder = max(holder, guess.score)
            if holder is None:
                missed += 1
            else:
                judged.append((holder, True))
        for guess in guesses:
            if any(iou(guess.points, points) > threshold for points in mine):
                continue
            excused = len(guess.points & void)
            excused += sum(len(guess.points & points) for points in mine if len(points) < min_points)
            if not excused / len(guess.points) > threshold:
                judged.append((guess.score, False))
    if not truths:
        return math.nan
    if not guessed:
        return 0.0
    curve = []
    for cut in sorted({score for score, _ in judged}):
        kept = [right for score, right in judged if score >= cut]
        curve.append((sum(kept) / len(kept), sum(kept) / truths))
    curve.append((1.0, 0.0))
    total = 0.0
    for k, (precision, _) in enumerate(curve):
        before = curve[max(k - 1, 0)][1]
        after = curve[k + 1][1] if k + 1 < len(curve) else 0.0
        total += precision * (before - after) / 2
    return total
