"""Small movable things: cones, barriers, and what is left of a building site."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.palette import CONCRETE, DARK, EARTH, ORANGE, REFLECTOR, STEEL, STRIPED, WOOD, paint
from regionzoo.scenes.streets.things import Finish, Part, ball, box, post, rod, wheel


def cone(rng: np.random.Generator) -> tuple[Part, ...]:
    """A traffic cone, a barrel or a delineator post."""
    style = rng.random()
    if style < 0.75:
        high, foot = rng.uniform(0.5, 0.95), rng.uniform(0.34, 0.44)
        wide, cut = 0.42 * foot, 0.45
        band = wide * (1 - 0.85 * cut)
        return (
            box((0, 0, 0.02), (foot, foot, 0.04), ORANGE),
            post((0, 0, 0.04), wide, high, ORANGE, 0.85),
            post((0, 0, 0.04 + cut * high), band + 0.012, 0.22 * high, REFLECTOR, 0.22 * 0.85 * wide / band),
        )
    if style < 0.88:
        return (
            post((0, 0, 0), 0.34, 0.08, DARK),
            post((0, 0, 0.08), 0.29, 0.92, ORANGE, 0.15),
            post((0, 0, 0.5), 0.28, 0.15, REFLECTOR, 0.02),
        )
    return (
        post((0, 0, 0), 0.2, 0.06, DARK),
        post((0, 0, 0.06), 0.05, 0.95, ORANGE),
        post((0, 0, 0.7), 0.056, 0.16, REFLECTOR),
    )


def barrier(rng: np.random.Generator, style: int) -> tuple[Part, ...]:
    """A temporary barrier, its long side along y: 0 = block of plastic or concrete, 1 = planks, 2 = crowd fence."""
    long = rng.uniform(1.6, 2.1)
    if style == 0:
        finish = (ORANGE, CONCRETE, Finish((236, 236, 232), 0.4), STRIPED)[int(rng.integers(4))]
        return (
            box((0, 0, 0.16), (0.58, long, 0.32), finish),
            box((0, 0, 0.45), (0.36, long, 0.3), finish),
            box((0, 0, 0.8), (0.22, long, 0.44), finish),
        )
    if style == 1:
        ends = [s * 0.42 * long for s in (-1, 1)]
        return (
            box((0, 0, 0.92), (0.05, long, 0.24), STRIPED),
            box((0, 0, 0.5), (0.05, long, 0.2), STRIPED),
            *(rod((x, y, 0.02), (0, y, 1.08), 0.025, STEEL) for x in (-0.32, 0.32) for y in ends),
        )
    return (
        *(rod((0, -long / 2, z), (0, long / 2, z), 0.022, STEEL) for z in (0.18, 1.08)),
        *(rod((0, y, 0.12), (0, y, 1.08), 0.018, STEEL) for y in np.linspace(-long / 2, long / 2, 8).tolist()),
        *(box((0, s * 0.4 * long, 0.03), (0.6, 0.06, 0.06), STEEL) for s in (-1, 1)),
    )


def rubble(rng: np.random.Generator) -> tuple[Part, ...]:
    """A heap of earth or stones beside a trench."""
    wide = rng.uniform(0.9, 1.8)
    return (
        ball((0, 0, 0), (wide, 0.8 * wide, 0.9), EARTH),
        ball((0.4, 0.2, 0), (0.7 * wide, 0.7 * wide, 0.6), CONCRETE),
    )


def bag(rng: np.random.Generator) -> tuple[Part, ...]:
    """A full rubbish bag or a carton."""
    size = rng.uniform(0.35, 0.6)
    if rng.random() < 0.5:
        return (ball((0, 0, size / 2), (size, size, size), DARK),)
    return (box((0, 0, size / 2), (size, 0.8 * size, size), WOOD),)


def bin_on_wheels(rng: np.random.Generator) -> tuple[Part, ...]:
    """A wheeled bin."""
    finish = paint(rng)
    return (
        box((0, 0, 0.55), (0.6, 0.55, 0.9), finish),
        box((0, 0, 1.03), (0.66, 0.6, 0.08), finish),
        *(wheel((-0.28, s * 0.22, 0.1), 0.1, 0.05, DARK) for s in (-1, 1)),
    )


def dog(rng: np.random.Generator) -> tuple[Part, ...]:
    """A dog."""
    fur = Finish((120 + 60 * rng.random(), 90.0, 60.0), 0.25)
    return (
        ball((0, 0, 0.42), (0.7, 0.26, 0.3), fur),
        ball((0.38, 0, 0.58), (0.28, 0.18, 0.2), fur),
        *(post((x, s * 0.08, 0), 0.035, 0.36, fur) for x in (-0.22, 0.22) for s in (-1, 1)),
    )


def rack(rng: np.random.Generator) -> tuple[Part, ...]:
    """A rack with bicycles in it, all one thing to annotators."""
    from regionzoo.scenes.streets.cycles import bicycle

    parts: list[Part] = []
    count = int(rng.integers(2, 5))
    for k in range(count):
        y = (k - (count - 1) / 2) * 0.75
        parts += [
            rod((-0.35, y, 0), (-0.35, y, 0.8), 0.03, STEEL),
            rod((0.35, y, 0), (0.35, y, 0.8), 0.03, STEEL),
            rod((-0.35, y, 0.8), (0.35, y, 0.8), 0.03, STEEL),
        ]
        for part in bicycle(rng, False) if rng.random() < 0.7 else ():
            x, yy, z = part.centre
            parts.append(Part(part.kind, (x, yy + y + 0.2, z), part.half, part.finish, part.rotation, part.taper))
    return tuple(parts)
