"""Bicycles and motorcycles, standing or with a rider."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.palette import CHROME, DARK, LAMP, PLATE, RUBBER, paint
from regionzoo.scenes.streets.people import rider
from regionzoo.scenes.streets.things import Part, ball, box, rod, wheel


def bicycle(rng: np.random.Generator, ridden: bool) -> tuple[Part, ...]:
    """A bicycle."""
    base, radius = rng.uniform(0.5, 0.55), rng.uniform(0.31, 0.35)
    color = paint(rng)
    seat, grip, crank = (-0.22, 0.92), (0.42, 1.02), (0.0, 0.3)
    parts = (
        wheel((base, 0, radius), radius, 0.045, RUBBER),
        wheel((-base, 0, radius), radius, 0.045, RUBBER),
        rod((crank[0], 0, crank[1]), (seat[0], 0, seat[1]), 0.025, color),
        rod((crank[0], 0, crank[1]), (0.36, 0, 0.82), 0.025, color),
        rod((-0.2, 0, 0.8), (0.36, 0, 0.84), 0.025, color),
        rod((-base, 0, radius), (-0.2, 0, 0.8), 0.02, color),
        rod((base, 0, radius), (grip[0] - 0.04, 0, grip[1]), 0.025, color),
        rod((grip[0], -0.29, grip[1]), (grip[0], 0.29, grip[1]), 0.022, CHROME),
        box((seat[0], 0, seat[1] + 0.03), (0.26, 0.15, 0.07), DARK),
    )
    if rng.random() < 0.35:
        parts += (box((0.62, 0, 0.85), (0.3, 0.36, 0.24), DARK),)
    return parts + (rider(rng, (seat[0], seat[1] + 0.05), grip, (0.02, 0.18)) if ridden else ())


def motorcycle(rng: np.random.Generator, ridden: bool) -> tuple[Part, ...]:
    """A motorcycle or a scooter."""
    return _scooter(rng, ridden) if rng.random() < 0.4 else _motorcycle(rng, ridden)


def _motorcycle(rng: np.random.Generator, ridden: bool) -> tuple[Part, ...]:
    base, radius = rng.uniform(0.66, 0.76), rng.uniform(0.29, 0.33)
    color = paint(rng)
    seat, grip = (-0.3, 0.8), (0.42, 1.05)
    parts = (
        wheel((base, 0, radius), radius, 0.14, RUBBER),
        wheel((-base, 0, radius), radius, 0.18, RUBBER),
        box((0.0, 0, 0.42), (0.6, 0.36, 0.42), DARK),
        ball((0.18, 0, 0.82), (0.62, 0.36, 0.36), color),
        box((-0.4, 0, 0.77), (0.7, 0.28, 0.14), DARK),
        box((-0.82, 0, 0.78), (0.24, 0.2, 0.2), color),
        *(rod((base, s * 0.1, radius), (0.45, s * 0.1, 0.98), 0.035, CHROME) for s in (-1, 1)),
        rod((grip[0], -0.38, grip[1]), (grip[0], 0.38, grip[1]), 0.03, DARK),
        ball((0.58, 0, 0.92), (0.2, 0.22, 0.22), LAMP),
        rod((-0.75, -0.2, 0.4), (0.0, -0.2, 0.34), 0.055, CHROME),
        box((-0.96, 0, 0.6), (0.02, 0.2, 0.16), PLATE),
    )
    return parts + (rider(rng, (seat[0], seat[1] + 0.06), grip, (-0.1, 0.32)) if ridden else ())


def _scooter(rng: np.random.Generator, ridden: bool) -> tuple[Part, ...]:
    color = paint(rng)
    parts = (
        wheel((0.62, 0, 0.23), 0.23, 0.11, RUBBER),
        wheel((-0.6, 0, 0.23), 0.23, 0.12, RUBBER),
        ball((-0.45, 0, 0.5), (0.9, 0.4, 0.5), color),
        box((-0.38, 0, 0.77), (0.72, 0.3, 0.12), DARK),
        box((0.05, 0, 0.27), (0.55, 0.36, 0.1), color),
        box((0.4, 0, 0.62), (0.1, 0.44, 0.68), color),
        rod((0.62, 0, 0.25), (0.38, 0, 1.0), 0.04, DARK),
        rod((0.36, -0.34, 1.02), (0.36, 0.34, 1.02), 0.03, DARK),
        ball((0.46, 0, 0.98), (0.14, 0.18, 0.16), LAMP),
        box((-0.88, 0, 0.5), (0.02, 0.2, 0.16), PLATE),
    )
    if rng.random() < 0.4:
        parts += (box((-0.85, 0, 0.98), (0.42, 0.42, 0.4), paint(rng)),)
    return parts + (rider(rng, (-0.25, 0.84), (0.34, 1.02), (0.12, 0.36)) if ridden else ())
