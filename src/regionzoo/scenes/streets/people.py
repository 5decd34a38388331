"""People on foot and in the saddle."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.palette import ORANGE, REFLECTOR, YELLOW, cloth, skin
from regionzoo.scenes.streets.things import Finish, Part, ball, box, post, rod


def adult(rng: np.random.Generator, walking: bool) -> tuple[Part, ...]:
    """A grown-up, sometimes with a bag."""
    parts = _person(rng, rng.uniform(1.55, 1.9), walking, cloth(rng), cloth(rng))
    if rng.random() < 0.3:
        parts += (box((-0.2, 0, 1.18), (0.18, 0.3, 0.42), cloth(rng)),)
    return parts


def child(rng: np.random.Generator, walking: bool) -> tuple[Part, ...]:
    """A child."""
    return _person(rng, rng.uniform(0.95, 1.35), walking, cloth(rng), cloth(rng))


def worker(rng: np.random.Generator, walking: bool) -> tuple[Part, ...]:
    """A construction worker with a safety vest and a helmet."""
    height = rng.uniform(1.62, 1.86)
    vest = ORANGE if rng.random() < 0.6 else YELLOW
    parts = _person(rng, height, walking, vest, cloth(rng))
    return (
        *parts,
        ball((0, 0, 0.955 * height), (0.27, 0.24, 0.17), YELLOW),
        box((0, 0, 0.62 * height), (0.3, 0.43, 0.06), REFLECTOR),
    )


def officer(rng: np.random.Generator, walking: bool) -> tuple[Part, ...]:
    """A police officer."""
    uniform = Finish((28, 34, 60), 0.15)
    height = rng.uniform(1.65, 1.88)
    return (*_person(rng, height, walking, uniform, uniform), post((0, 0, 0.97 * height), 0.13, 0.06, uniform))


def _person(rng: np.random.Generator, height: float, walking: bool, top: Finish, trousers: Finish) -> tuple[Part, ...]:
    broad = rng.uniform(0.9, 1.15) * height / 1.75
    stride = rng.uniform(0.16, 0.3) * height / 1.75 if walking else rng.uniform(0, 0.05)
    hip, neck, leg = 0.49 * height, 0.84 * height, 0.075 * broad
    hand = 0.5 * height
    swing = stride * 0.9
    return (
        rod((0, 0.09 * broad, hip), (stride, 0.1 * broad, 0.04), leg, trousers),
        rod((0, -0.09 * broad, hip), (-stride, -0.1 * broad, 0.04), leg, trousers),
        box((stride + 0.05, 0.1 * broad, 0.04), (0.25, 0.1, 0.08), trousers),
        box((-stride + 0.05, -0.1 * broad, 0.04), (0.25, 0.1, 0.08), trousers),
        ball((0, 0, (hip + neck) / 2), (0.27 * broad, 0.44 * broad, 1.25 * (neck - hip)), top),
        rod((0, 0.23 * broad, neck - 0.06), (-swing, 0.28 * broad, hand), 0.05 * broad, top),
        rod((0, -0.23 * broad, neck - 0.06), (swing, -0.28 * broad, hand), 0.05 * broad, top),
        ball((0.01, 0, 0.92 * height), (0.2, 0.17, 0.16 * height), skin(rng)),
    )


def rider(
    rng: np.random.Generator, seat: tuple[float, float], grip: tuple[float, float], foot: tuple[float, float]
) -> tuple[Part, ...]:
    """A person in the saddle; seat, grip and foot are (x, z)."""
    top, trousers = cloth(rng), cloth(rng)
    lean = 0.25 * (grip[0] - seat[0])
    shoulder = (seat[0] + lean, seat[1] + 0.5)
    knee = ((seat[0] + foot[0]) / 2 + 0.2, (seat[1] + foot[1]) / 2 + 0.1)
    helmet = Finish((40, 40, 44), 0.15) if rng.random() < 0.5 else YELLOW
    parts = [
        ball(((seat[0] + shoulder[0]) / 2, 0, seat[1] + 0.27), (0.3, 0.42, 0.68), top),
        ball((shoulder[0] + 0.06, 0, shoulder[1] + 0.24), (0.24, 0.21, 0.27), helmet),
    ]
    for side in (-1, 1):
        parts += [
            rod((shoulder[0], side * 0.2, shoulder[1]), (grip[0], side * 0.27, grip[1]), 0.05, top),
            rod((seat[0], side * 0.1, seat[1]), (knee[0], side * 0.17, knee[1]), 0.08, trousers),
            rod((knee[0], side * 0.17, knee[1]), (foot[0], side * 0.14, foot[1]), 0.06, trousers),
        ]
    return tuple(parts)
