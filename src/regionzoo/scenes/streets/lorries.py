"""Trucks, trailers, buses and machines of building sites."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.cars import bumper, plain_wheelbase, wheels
from regionzoo.scenes.streets.palette import CHROME, DARK, EARTH, GLASS, LAMP, PLATE, RUBBER, STEEL, YELLOW, paint
from regionzoo.scenes.streets.things import Finish, Part, Triple, ball, box, moved, rod, wheel


def truck(rng: np.random.Generator) -> tuple[Part, ...]:
    """A pick-up, a box truck or a tipper."""
    style = int(rng.choice(3, p=(0.25, 0.45, 0.3)))
    color = paint(rng)
    if style == 0:
        return _pick_up(rng, color)
    length, width = rng.uniform(6.2, 9.5), rng.uniform(2.3, 2.55)
    cab = rng.uniform(1.8, 2.2)
    parts = [
        *_cab(length / 2, cab, width, rng.uniform(2.5, 3.0), color),
        box((0, 0, 0.8), (length - 0.2, 1.1, 0.3), DARK),
    ]
    bed = length - cab - 0.25
    x = -length / 2 + bed / 2
    if style == 1:
        high = rng.uniform(2.0, 2.7)
        side = Finish((225, 225, 222), 0.35) if rng.random() < 0.5 else paint(rng)
        parts.append(box((x, 0, 0.98 + high / 2), (bed, width, high), side))
    else:
        parts += _tub(x, bed, width, rng.uniform(0.7, 1.2), color)
    parts += wheels((length / 2 - 1.2, -length / 2 + 1.3, -length / 2 + 2.4), width, 0.48, 0.34)
    parts.append(box((-length / 2 - 0.005, 0, 0.75), (0.01, 0.5, 0.12), PLATE))
    return tuple(parts)


def _cab(front: float, deep: float, width: float, height: float, color: Finish) -> tuple[Part, ...]:
    x = front - deep / 2
    return (
        box((x, 0, (0.55 + height) / 2), (deep, width, height - 0.55), color),
        box((front + 0.005, 0, 0.68 * height), (0.02, 0.9 * width, 0.32 * height), GLASS),
        *(
            box((x + 0.1 * deep, s * (width / 2 + 0.005), 0.7 * height), (0.6 * deep, 0.02, 0.25 * height), GLASS)
            for s in (-1, 1)
        ),
        *(box((front - 0.1, s * (width / 2 + 0.14), 0.7 * height), (0.12, 0.2, 0.45), DARK) for s in (-1, 1)),
        *(box((front + 0.01, s * 0.38 * width, 0.85), (0.02, 0.3, 0.2), LAMP) for s in (-1, 1)),
        bumper(front - 0.02, width),
    )


def _pick_up(rng: np.random.Generator, color: Finish) -> tuple[Part, ...]:
    length, width, height = rng.uniform(5.2, 5.9), rng.uniform(1.85, 2.05), rng.uniform(1.78, 1.95)
    back = -0.06 * length
    return (
        box((0.25 * length, 0, 0.7), (0.5 * length, width, 0.7), color),
        box((-0.25 * length, 0, 0.5), (0.5 * length, width, 0.3), color),
        *(box((-0.27 * length, s * (width / 2 - 0.05), 0.87), (0.46 * length, 0.1, 0.46), color) for s in (-1, 1)),
        box((-length / 2 + 0.05, 0, 0.87), (0.1, width, 0.46), color),
        box((back + 0.13 * length, 0, (1.05 + height) / 2), (0.28 * length, 0.86 * width, height - 1.05), GLASS),
        box((back + 0.13 * length, 0, height), (0.26 * length, 0.82 * width, 0.08), color),
        *wheels(plain_wheelbase(length), width + 0.02, 0.4, 0.26),
        box((-length / 2 - 0.005, 0, 0.6), (0.01, 0.46, 0.11), PLATE),
    )


def _tub(x: float, length: float, width: float, high: float, color: Finish) -> list[Part]:
    z = 1.0 + high / 2
    return [
        box((x, 0, 1.02), (length, width, 0.1), DARK),
        *(box((x, s * (width / 2 - 0.04), z), (length, 0.08, high), color) for s in (-1, 1)),
        *(box((x + s * (length / 2 - 0.04), 0, z), (0.08, width, high), color) for s in (-1, 1)),
        ball((x, 0, 1.0 + 0.7 * high), (0.9 * length, 0.85 * width, 0.9 * high), EARTH),
    ]


def trailer(rng: np.random.Generator) -> tuple[Part, ...]:
    """A semi-trailer without its tractor: closed, or flat with a load."""
    length, width = rng.uniform(7.5, 12.5), rng.uniform(2.4, 2.6)
    back = -length / 2
    parts = [
        box((0, 0, 1.08), (length, width, 0.2), DARK),
        *(box((length / 2 - 2.2, s * 0.8, 0.5), (0.12, 0.12, 1.0), STEEL) for s in (-1, 1)),
        *wheels((back + 1.2, back + 2.4), width, 0.48, 0.36),
        box((back - 0.005, 0, 0.85), (0.01, 0.5, 0.12), PLATE),
    ]
    if rng.random() < 0.65:
        high = rng.uniform(2.3, 2.8)
        side = Finish((228, 228, 226), 0.35) if rng.random() < 0.6 else paint(rng)
        parts.append(box((0, 0, 1.18 + high / 2), (length, width, high), side))
        parts.append(box((back - 0.01, 0, 0.55), (0.06, width, 0.12), STEEL))
    else:
        parts.append(box((length / 2 - 0.05, 0, 1.75), (0.1, width, 1.2), STEEL))
        for k in range(int(rng.integers(1, 4))):
            high = rng.uniform(0.5, 1.5)
            parts.append(box((back + 1.5 + 2.4 * k, 0, 1.18 + high / 2), (1.9, 0.8 * width, high), paint(rng)))
    return tuple(parts)


def tractor(rng: np.random.Generator) -> tuple[Part, ...]:
    """The truck that pulls a trailer."""
    width = 2.5
    return (
        *_cab(2.9, 2.2, width, rng.uniform(3.0, 3.6), paint(rng)),
        box((-0.4, 0, 0.85), (5.0, 1.0, 0.3), DARK),
        box((-1.5, 0, 1.1), (1.2, 1.0, 0.14), STEEL),
        *wheels((1.8, -1.0, -2.1), width, 0.5, 0.36),
    )


def bus(rng: np.random.Generator) -> tuple[Part, ...]:
    """A city bus, now and then with two decks."""
    high = rng.uniform(4.1, 4.4) if rng.random() < 0.2 else rng.uniform(2.9, 3.3)
    return _coach(rng.uniform(10.0, 12.4), high, paint(rng), True)


def bendy_bus(rng: np.random.Generator) -> tuple[tuple[Part, ...], tuple[Part, ...], float]:
    """An articulated bus, a box for each section as annotators have it: front, rear, and how far behind the rear is."""
    color, high = paint(rng), rng.uniform(2.95, 3.25)
    front, rear = rng.uniform(9.2, 10.4), rng.uniform(6.6, 7.4)
    folds = tuple(
        box((rear / 2 + 0.15 + 0.3 * k, 0, (0.4 + high) / 2), (0.2, 2.35, high - 0.5), RUBBER) for k in range(3)
    )
    return _coach(front, high, color, True), (*_coach(rear, high, color, False), *folds), (front + rear) / 2 + 1.0


def _coach(length: float, height: float, color: Finish, has_front: bool) -> tuple[Part, ...]:
    width = 2.52
    parts = [box((0, 0, (0.32 + height) / 2), (length, width, height - 0.32), color)]
    bands = (1.75,) if height < 3.6 else (1.6, 3.35)
    for z in bands:
        parts += [box((-0.02 * length, s * (width / 2 + 0.004), z), (0.9 * length, 0.02, 0.85), GLASS) for s in (-1, 1)]
    if has_front:
        parts.append(box((length / 2 + 0.005, 0, 1.85), (0.02, 0.92 * width, 1.3), GLASS))
        parts += [box((length / 2 + 0.1, s * (width / 2 + 0.1), 2.2), (0.12, 0.2, 0.4), DARK) for s in (-1, 1)]
    parts.append(box((-length / 2 - 0.005, 0, 0.7), (0.01, 0.5, 0.12), PLATE))
    parts += wheels((0.32 * length, -0.27 * length), width + 0.01, 0.48, 0.3)
    return tuple(parts)


def digger(rng: np.random.Generator) -> tuple[Part, ...]:
    """An excavator on tracks, its arm before it."""
    reach, lift = rng.uniform(2.6, 3.6), rng.uniform(1.6, 2.6)
    elbow = (1.2 + reach * 0.55, 0.0, 1.5 + lift)
    hand = (1.2 + reach, 0.0, 1.0)
    return (
        *(box((0, s * 0.95, 0.42), (3.0, 0.5, 0.6), DARK) for s in (-1, 1)),
        *(wheel((x, s * 0.95, 0.42), 0.4, 0.5, DARK) for x in (-1.5, 1.5) for s in (-1, 1)),
        box((-0.2, 0, 1.35), (2.9, 2.3, 0.9), YELLOW),
        box((-1.3, 0, 1.95), (0.9, 2.2, 0.4), YELLOW),
        box((0.7, 0.65, 2.15), (1.3, 0.95, 1.3), GLASS),
        box((0.7, 0.65, 2.85), (1.35, 1.0, 0.1), YELLOW),
        rod((1.0, -0.3, 1.5), (elbow[0], -0.3, elbow[2]), 0.2, YELLOW),
        rod((elbow[0], -0.3, elbow[2]), (hand[0], -0.3, hand[2]), 0.15, YELLOW),
        box((hand[0] - 0.1, -0.3, 0.75), (0.7, 1.0, 0.6), STEEL),
    )


def loader(rng: np.random.Generator) -> tuple[Part, ...]:
    """A wheel loader with its shovel low."""
    return (
        box((-1.2, 0, 1.35), (2.6, 1.9, 1.0), YELLOW),
        box((0.6, 0, 1.1), (1.6, 1.2, 0.7), YELLOW),
        box((-0.3, 0, 2.4), (1.3, 1.4, 1.3), GLASS),
        box((-0.3, 0, 3.1), (1.4, 1.5, 0.12), YELLOW),
        *wheels((-1.4, 1.3), 2.4, 0.7, 0.55),
        *(rod((0.6, s * 0.55, 1.5), (2.6, s * 0.55, 0.7), 0.11, YELLOW) for s in (-1, 1)),
        box((3.0, 0, 0.55), (0.9, 2.5, float(rng.uniform(0.8, 1.0))), STEEL),
    )


def roller(rng: np.random.Generator) -> tuple[Part, ...]:
    """A road roller."""
    roof = float(rng.uniform(2.5, 2.8))
    return (
        *(wheel((x, 0, 0.6), 0.6, 1.6, CHROME) for x in (-1.3, 1.3)),
        box((0, 0, 1.15), (2.6, 1.4, 0.7), YELLOW),
        *(box((x, s * 0.6, (1.5 + roof) / 2), (0.08, 0.08, roof - 1.5), DARK) for x in (-0.6, 0.5) for s in (-1, 1)),
        box((-0.05, 0, roof), (1.5, 1.5, 0.1), YELLOW),
        *moved((box((0, 0, 0), (0.5, 0.6, 0.5), DARK),), -0.3, 0.0, 1.7),
    )


def any_machine(rng: np.random.Generator) -> tuple[Part, ...]:
    """A machine of a building site, small enough to stand in a strip for parking."""
    parts = (digger, loader, roller)[int(rng.integers(3))](rng)
    scale = float(rng.uniform(0.78, 0.86))
    return tuple(
        Part(p.kind, _scaled(p.centre, scale), _scaled(p.half, scale), p.finish, p.rotation, p.taper) for p in parts
    )


def _scaled(values: Triple, scale: float) -> Triple:
    return (values[0] * scale, values[1] * scale, values[2] * scale)
