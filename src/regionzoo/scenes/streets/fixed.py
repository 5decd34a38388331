"""What stands in a street for good: trees, lamps, signs, lights, walls and houses."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.palette import (
    BARK,
    CONCRETE,
    DARK,
    GLASS,
    LAMP,
    REFLECTOR,
    STEEL,
    TAIL_LAMP,
    WOOD,
    bricks,
    leaves,
    paint,
    wall,
)
from regionzoo.scenes.streets.things import WINDOWS, Finish, Part, ball, box, post, rod

GRASS = Finish((84, 110, 54), 0.14)


def tree(rng: np.random.Generator) -> tuple[Part, ...]:
    """A tree with a round or a pointed crown."""
    if rng.random() < 0.2:
        high, wide = rng.uniform(5, 10), rng.uniform(1.1, 1.9)
        return (post((0, 0, 0), 0.16, 1.2, BARK), post((0, 0, 0.8), wide, high, leaves(rng), 0.95))
    trunk, high = rng.uniform(0.1, 0.28), rng.uniform(2.2, 4.2)
    crown = rng.uniform(2.2, 5.0)
    foliage = leaves(rng)
    parts = [post((0, 0, 0), trunk, high + 0.8, BARK, 0.3)]
    for _ in range(int(rng.integers(2, 5))):
        x, y, z = rng.normal(0, 0.22 * crown, 3)
        size = crown * rng.uniform(0.6, 1.0)
        parts.append(ball((x, y, high + 0.45 * crown + 0.5 * z), (size, size, 0.8 * size), foliage))
    return tuple(parts)


def bush(rng: np.random.Generator) -> tuple[Part, ...]:
    """A bush of one to three balls on the ground."""
    foliage = leaves(rng, 0.4)
    return tuple(
        ball((*rng.normal(0, 0.4, 2), 0.35), (*rng.uniform(0.8, 1.6, 2), rng.uniform(0.9, 1.7)), foliage)
        for _ in range(int(rng.integers(1, 4)))
    )


def hedge(rng: np.random.Generator, length: float) -> tuple[Part, ...]:
    """A clipped hedge along x."""
    high = rng.uniform(0.8, 1.6)
    return (box((0, 0, high / 2), (length, rng.uniform(0.6, 1.0), high), leaves(rng, 0.4)),)


def mound(rng: np.random.Generator) -> tuple[Part, ...]:
    """A bump of a meadow, most of it below the ground."""
    return (ball((0, 0, 0), (*rng.uniform(3, 9, 2), rng.uniform(0.2, 0.7)), GRASS),)


def lamp(rng: np.random.Generator) -> tuple[Part, ...]:
    """A street lamp; its arm reaches along y."""
    high, arm = rng.uniform(5.5, 8.5), rng.uniform(1.0, 2.2)
    return (
        post((0, 0, 0), 0.13, 1.0, STEEL),
        post((0, 0, 0), 0.08, high, STEEL, 0.3),
        rod((0, 0, high - 0.1), (0, arm, high + 0.15), 0.05, STEEL),
        box((0, arm, high + 0.12), (0.25, 0.6, 0.1), LAMP),
    )


def sign(rng: np.random.Generator) -> tuple[Part, ...]:
    """A traffic sign that faces along x."""
    high, size = rng.uniform(2.1, 2.7), rng.uniform(0.5, 0.75)
    finish = Finish(((205, 40, 40), (40, 80, 170), (230, 200, 60))[int(rng.integers(3))], 0.95)
    return (post((0, 0, 0), 0.035, high, STEEL), box((0.04, 0, high), (0.03, size, size), finish))


def traffic_light(rng: np.random.Generator, arm: float) -> tuple[Part, ...]:
    """A traffic light; its arm of ``arm`` metres reaches along y, 0 for none."""
    high = rng.uniform(5.2, 5.8) if arm else rng.uniform(3.0, 3.4)
    parts = [post((0, 0, 0), 0.1, high, STEEL), box((0.15, 0, 2.6), (0.25, 0.32, 0.85), DARK)]
    if arm:
        parts += [rod((0, 0, high - 0.1), (0, arm, high - 0.1), 0.07, STEEL)]
        parts += [box((0.1, share * arm, high - 0.3), (0.25, 0.35, 0.95), DARK) for share in (0.65, 0.97)]
        parts += [ball((0.23, share * arm, high), (0.08, 0.2, 0.2), TAIL_LAMP) for share in (0.65, 0.97)]
    return tuple(parts)


def bollard(rng: np.random.Generator) -> tuple[Part, ...]:
    """A bollard or a hydrant."""
    return (
        post(
            (0, 0, 0), rng.uniform(0.06, 0.12), rng.uniform(0.6, 0.95), (STEEL, TAIL_LAMP, DARK)[int(rng.integers(3))]
        ),
    )


def cabinet(rng: np.random.Generator) -> tuple[Part, ...]:
    """A switch cabinet, a litter bin that is fixed, or a bench."""
    style = int(rng.integers(3))
    if style == 0:
        return (box((0, 0, 0.65), (0.45, rng.uniform(0.7, 1.3), 1.3), CONCRETE),)
    if style == 1:
        return (post((0, 0, 0), 0.28, 0.95, DARK),)
    return (
        box((0, 0, 0.44), (0.45, 1.7, 0.07), WOOD),
        box((-0.22, 0, 0.72), (0.06, 1.7, 0.4), WOOD),
        *(box((0, s * 0.7, 0.2), (0.4, 0.08, 0.4), DARK) for s in (-1, 1)),
    )


def shelter(rng: np.random.Generator) -> tuple[Part, ...]:
    """A bus shelter, open towards -y."""
    long = rng.uniform(3.2, 4.6)
    return (
        box((0, 0, 2.5), (long, 1.6, 0.12), DARK),
        box((0, 0.7, 1.25), (long, 0.04, 2.1), GLASS),
        *(post((s * (long / 2 - 0.1), y, 0), 0.05, 2.45, STEEL) for s in (-1, 1) for y in (-0.65, 0.7)),
        box((0.1, 0.45, 0.45), (0.6 * long, 0.4, 0.08), WOOD),
        box((-long / 2, 0.1, 1.3), (0.12, 1.2, 1.8), REFLECTOR),
    )


def garden_wall(rng: np.random.Generator, length: float) -> tuple[Part, ...]:
    """A wall or a fence along x."""
    high = rng.uniform(0.8, 2.2)
    if rng.random() < 0.5:
        return (box((0, 0, high / 2), (length, 0.25, high), bricks(rng)),)
    bars = Finish((118, 124, 128), 0.15, 0, 0.01)
    posts = np.linspace(-length / 2, length / 2, max(2, int(length / 3)) + 1).tolist()
    return (
        box((0, 0, high / 2), (length, 0.03, high), bars),
        *(post((x, 0, 0), 0.04, high + 0.05, STEEL) for x in posts),
    )


def house(rng: np.random.Generator, length: float, depth: float) -> tuple[Part, ...]:
    """A house of 2 to 9 floors whose front, at y = 0, looks towards -y."""
    floors = int(rng.choice([2, 3, 4, 5, 7, 9], p=(0.2, 0.25, 0.2, 0.15, 0.1, 0.1)))
    high, front = 3.1 * floors + rng.uniform(0.2, 1.2), wall(rng)
    parts = [box((0, depth / 2, high / 2), (length, depth, high), front)]
    plinth = Finish(bricks(rng).color, 0.2)
    parts.append(box((0, depth / 2, 0.3), (length + 0.1, depth + 0.1, 0.6), plinth))
    parts.append(box((0, depth / 2, high + 0.1), (length + 0.5, depth + 0.5, 0.3), plinth))
    style = rng.random()
    if style < 0.35:
        columns = max(1, int(length / 5))
        for floor in range(1, min(floors, 4)):
            for k in range(columns):
                x = (k + 0.5) / columns * length - length / 2
                parts.append(box((x, -0.55, 3.1 * floor + 0.5), (2.4, 1.1, 1.0), plinth))
    elif style < 0.7:
        parts.append(box((rng.uniform(-0.2, 0.2) * length, -0.8, 2.9), (0.6 * length, 1.6, 0.15), paint(rng)))
    if rng.random() < 0.5:
        shift = rng.uniform(-0.25, 0.25) * length
        part = 0.4 * length
        parts.append(box((shift, depth / 2, high + 1.5), (part, 0.6 * depth, 3.0), Finish(front.color, 0.25, WINDOWS)))
    return tuple(parts)


def island(length: float, width: float) -> tuple[Part, ...]:
    """A traffic island, as high as a kerb."""
    return (box((0, 0, 0.07), (length, width, 0.14), Finish((150, 144, 136), 0.12)),)
