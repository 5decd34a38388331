"""Passenger cars."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.palette import DARK, GLASS, LAMP, PLATE, RUBBER, TAIL_LAMP, paint
from regionzoo.scenes.streets.things import Finish, Part, box, wheel


def wheels(axles: tuple[float, ...], width: float, radius: float, broad: float) -> tuple[Part, ...]:
    """A pair of wheels on each axle, flush with the sides of a body of ``width``."""
    return tuple(
        wheel((x, side * (width / 2 - broad / 2), radius), radius, broad, RUBBER) for x in axles for side in (-1, 1)
    )


def car(rng: np.random.Generator) -> tuple[Part, ...]:
    """A saloon, hatchback, off-roader or people carrier."""
    style = int(rng.choice(4, p=(0.35, 0.3, 0.25, 0.1)))
    length = rng.uniform(*((4.4, 4.95), (3.7, 4.3), (4.4, 5.0), (4.6, 5.2))[style])
    width = rng.uniform(1.68, 1.95)
    height = rng.uniform(*((1.4, 1.5), (1.42, 1.56), (1.62, 1.85), (1.75, 2.0))[style])
    color = paint(rng)
    floor, radius = (0.2, 0.32) if style != 2 else (0.27, 0.37)
    waist = floor + 0.55 * (height - floor)
    # Where the roof starts and ends, as shares of the length from the middle.
    front, back = ((0.14, -0.27), (0.16, -0.42), (0.15, -0.44), (0.24, -0.46))[style]
    roof = (front - back) * length
    return (
        box((0, 0, (floor + waist) / 2), (length, width, waist - floor), color),
        box(
            ((front + back) / 2 * length, 0, (waist + height - 0.06) / 2),
            (roof, 0.84 * width, height - 0.06 - waist),
            GLASS,
        ),
        box(((front + back) / 2 * length, 0, height - 0.05), (0.94 * roof, 0.82 * width, 0.1), color),
        *_screens(front * length, back * length, waist, height, width, style),
        *wheels((0.3 * length, -0.3 * length), width + 0.02, radius, 0.22),
        *_ends(length, width, floor, waist),
    )


def _screens(front: float, back: float, waist: float, height: float, width: float, style: int) -> tuple[Part, ...]:
    rise = height - waist - 0.04

    def screen(x: float, lean: float, sign: int) -> Part:
        # A slab whose upper edge meets the roof and whose lower edge stands ``lean`` metres farther out.
        length = float(np.hypot(rise, lean))
        return box(
            (x + sign * lean / 2, 0, waist + rise / 2),
            (length, 0.8 * width, 0.05),
            GLASS,
            0.0,
            sign * float(np.arctan2(rise, lean)),
        )

    return (screen(front, 0.55, 1), screen(back, 0.6 if style == 0 else 0.15, -1))


def _ends(length: float, width: float, floor: float, waist: float) -> tuple[Part, ...]:
    """Plates and lamps, which lie a centimetre before the body."""
    lamp, z = 0.22 * width, waist - 0.14
    parts = []
    for sign, light in ((1, LAMP), (-1, TAIL_LAMP)):
        x = sign * (length / 2 + 0.005)
        parts.append(box((x, 0, floor + 0.2), (0.01, 0.46, 0.11), PLATE))
        parts += [box((x, side * (width - lamp) / 2, z), (0.01, lamp, 0.14), light) for side in (-1, 1)]
    return tuple(parts)


def plain_wheelbase(length: float) -> tuple[float, float]:
    """Axles of a body of ``length``."""
    return (0.32 * length, -0.3 * length)


def bumper(x: float, width: float, finish: Finish = DARK) -> Part:
    """A bumper at ``x``."""
    return box((x, 0, 0.5), (0.16, width, 0.24), finish)
