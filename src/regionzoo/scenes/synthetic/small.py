"""Small things: a table of forms, sizes and colours, and ways to strew them over a surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.synthetic import palette
from regionzoo.scenes.synthetic.geometry import PATTERN, PLAIN, STRIPES, Color, Piece
from regionzoo.scenes.synthetic.palette import pick, shade

Range = tuple[float, float]


@dataclass(frozen=True)
class Small:
    """form: block, open (a block with a dark inside), can, cone (narrow top), pot (narrow foot), heap, screen.

    Sizes in metres: width, depth (0 = as wide as it is), height.
    """

    form: str
    width: Range
    depth: Range
    height: Range
    colors: Sequence[Color]
    texture: int = PLAIN


SAME = (0.0, 0.0)

SMALL: dict[str, Small] = {
    # on desks
    "monitor": Small("screen", (0.46, 0.62), (0.18, 0.22), (0.40, 0.50), palette.DARKS),
    "keyboard": Small("block", (0.40, 0.46), (0.14, 0.17), (0.025, 0.035), ((45, 45, 48), (190, 190, 186))),
    "mouse": Small("block", (0.06, 0.07), (0.10, 0.12), (0.03, 0.04), ((40, 40, 44), (200, 200, 198))),
    "laptop": Small("laptop", (0.32, 0.38), (0.24, 0.28), (0.20, 0.25), ((60, 62, 66), (170, 172, 176))),
    "telephone": Small("block", (0.18, 0.22), (0.18, 0.22), (0.07, 0.10), palette.DARKS),
    "printer": Small("block", (0.40, 0.52), (0.36, 0.44), (0.22, 0.34), ((205, 203, 196), (70, 70, 74))),
    "paper": Small("block", (0.21, 0.30), (0.28, 0.32), (0.012, 0.03), ((240, 240, 236),)),
    "book": Small("block", (0.16, 0.22), (0.22, 0.28), (0.03, 0.09), palette.BRIGHTS),
    "headphones": Small("can", (0.16, 0.19), SAME, (0.06, 0.09), palette.DARKS),
    "speaker": Small("block", (0.14, 0.22), (0.15, 0.22), (0.22, 0.36), palette.DARKS),
    "tissue box": Small("block", (0.12, 0.24), (0.12, 0.14), (0.09, 0.13), palette.BRIGHTS, PATTERN),
    "alarm clock": Small("block", (0.12, 0.18), (0.07, 0.09), (0.08, 0.12), palette.DARKS),
    "cd case": Small("block", (0.13, 0.15), (0.12, 0.14), (0.05, 0.14), palette.BRIGHTS),
    "candle": Small("can", (0.07, 0.10), SAME, (0.10, 0.16), ((230, 215, 180), (180, 60, 60))),
    "decoration": Small("cone", (0.10, 0.16), SAME, (0.18, 0.34), palette.BRIGHTS),
    "vase": Small("pot", (0.12, 0.16), SAME, (0.22, 0.34), ((190, 200, 210), (120, 70, 60))),
    "remote": Small("block", (0.05, 0.06), (0.16, 0.20), (0.02, 0.03), palette.DARKS),
    "magazine": Small("block", (0.21, 0.24), (0.27, 0.30), (0.012, 0.03), palette.BRIGHTS, PATTERN),
    "globe": Small("can", (0.24, 0.30), SAME, (0.32, 0.40), ((70, 120, 180),), PATTERN),
    # in kitchens
    "bottle": Small("bottle", (0.07, 0.09), SAME, (0.24, 0.32), ((40, 90, 60), (150, 200, 220), (120, 60, 30))),
    "water bottle": Small("bottle", (0.07, 0.09), SAME, (0.20, 0.26), ((90, 150, 210), (210, 225, 235))),
    "cup": Small("can", (0.08, 0.10), SAME, (0.09, 0.13), palette.CERAMICS),
    "bowl": Small("pot", (0.16, 0.24), SAME, (0.07, 0.10), ((230, 225, 215), (90, 130, 170))),
    "plate": Small("can", (0.22, 0.28), SAME, (0.02, 0.03), palette.CERAMICS),
    "microwave": Small("block", (0.46, 0.54), (0.34, 0.40), (0.27, 0.32), ((60, 60, 64), (215, 215, 212))),
    "toaster": Small("block", (0.27, 0.33), (0.17, 0.21), (0.18, 0.22), palette.METALS),
    "toaster oven": Small("block", (0.40, 0.46), (0.30, 0.34), (0.24, 0.28), palette.METALS),
    "coffee maker": Small("block", (0.18, 0.24), (0.22, 0.28), (0.32, 0.38), palette.DARKS),
    "coffee kettle": Small("cone", (0.18, 0.22), SAME, (0.20, 0.26), palette.METALS),
    "dish rack": Small("open", (0.38, 0.46), (0.30, 0.36), (0.12, 0.16), palette.METALS),
    "paper towel roll": Small("can", (0.11, 0.13), SAME, (0.26, 0.30), ((242, 242, 240),)),
    "tray": Small("open", (0.36, 0.44), (0.26, 0.32), (0.04, 0.05), palette.WOODS),
    "water pitcher": Small("pot", (0.14, 0.17), SAME, (0.24, 0.28), ((200, 215, 225),)),
    "cutting board": Small("block", (0.34, 0.42), (0.22, 0.28), (0.02, 0.03), palette.WOODS),
    # in bathrooms
    "soap dispenser": Small("bottle", (0.07, 0.09), SAME, (0.16, 0.20), ((230, 230, 225), (120, 180, 170))),
    "soap dish": Small("block", (0.11, 0.14), (0.08, 0.10), (0.03, 0.05), ((210, 220, 215),)),
    "hair dryer": Small("block", (0.20, 0.24), (0.08, 0.10), (0.09, 0.12), palette.DARKS),
    "toilet paper": Small("can", (0.11, 0.13), SAME, (0.10, 0.12), ((244, 244, 242),)),
    "plunger": Small("cone", (0.14, 0.17), SAME, (0.45, 0.55), ((140, 50, 40),)),
    "scale": Small("block", (0.30, 0.34), (0.30, 0.34), (0.04, 0.06), ((60, 60, 64), (220, 225, 228))),
    # on floors
    "trash can": Small("bucket", (0.24, 0.34), SAME, (0.28, 0.46), ((52, 52, 56), (120, 122, 126), (70, 84, 104))),
    "recycling bin": Small("bucket", (0.30, 0.38), SAME, (0.42, 0.60), ((40, 90, 170), (50, 110, 190))),
    "bin": Small("bucket", (0.26, 0.36), SAME, (0.30, 0.44), ((150, 140, 120), (90, 110, 90))),
    "trash bin": Small("bucket", (0.30, 0.40), SAME, (0.50, 0.70), ((60, 64, 60), (100, 104, 108))),
    "bucket": Small("bucket", (0.26, 0.32), SAME, (0.26, 0.34), palette.BRIGHTS),
    "laundry hamper": Small("bucket", (0.38, 0.46), SAME, (0.55, 0.70), palette.LINEN),
    "laundry basket": Small("open", (0.46, 0.56), (0.34, 0.42), (0.26, 0.34), ((240, 240, 240), (150, 190, 220))),
    "basket": Small("open", (0.34, 0.46), (0.28, 0.36), (0.20, 0.30), ((170, 126, 76), (140, 100, 60)), STRIPES),
    "box": Small("block", (0.28, 0.55), (0.24, 0.42), (0.18, 0.42), palette.CARDBOARD),
    "crate": Small("open", (0.36, 0.46), (0.30, 0.36), (0.26, 0.32), ((60, 110, 160), (150, 60, 60)), STRIPES),
    "storage bin": Small("block", (0.42, 0.56), (0.32, 0.40), (0.26, 0.36), ((120, 150, 180), (180, 190, 200))),
    "storage container": Small("block", (0.36, 0.50), (0.28, 0.36), (0.20, 0.30), ((200, 210, 215), (140, 170, 150))),
    "container": Small("can", (0.22, 0.30), SAME, (0.26, 0.38), ((210, 205, 190), (90, 130, 160))),
    "bag": Small("heap", (0.30, 0.44), (0.20, 0.28), (0.28, 0.40), palette.BRIGHTS),
    "backpack": Small("heap", (0.30, 0.36), (0.22, 0.28), (0.40, 0.50), ((40, 50, 80), (60, 60, 64), (120, 40, 44))),
    "purse": Small("heap", (0.26, 0.32), (0.12, 0.16), (0.22, 0.28), ((130, 70, 50), (50, 44, 44))),
    "paper bag": Small("open", (0.26, 0.32), (0.16, 0.20), (0.32, 0.40), palette.CARDBOARD),
    "suitcase": Small("block", (0.40, 0.50), (0.24, 0.30), (0.55, 0.72), ((50, 56, 70), (110, 40, 46), (70, 90, 80))),
    "luggage": Small("block", (0.45, 0.56), (0.26, 0.32), (0.60, 0.76), ((44, 44, 50), (60, 70, 96))),
    "shoe": Small("block", (0.20, 0.26), (0.28, 0.32), (0.09, 0.13), ((60, 50, 44), (220, 220, 220), (40, 44, 60))),
    "clothes": Small("heap", (0.40, 0.65), (0.36, 0.55), (0.14, 0.28), palette.FABRICS, PATTERN),
    "ball": Small("can", (0.20, 0.26), SAME, (0.20, 0.26), palette.BRIGHTS, PATTERN),
    "dumbbell": Small("block", (0.30, 0.38), (0.14, 0.18), (0.14, 0.18), palette.DARKS),
    "stuffed animal": Small("heap", (0.22, 0.34), (0.20, 0.28), (0.26, 0.40), ((170, 120, 80), (220, 200, 180))),
    "power strip": Small("block", (0.30, 0.42), (0.06, 0.08), (0.04, 0.05), ((230, 230, 226),)),
    "dustpan": Small("block", (0.24, 0.30), (0.24, 0.30), (0.06, 0.09), palette.BRIGHTS),
    "laundry detergent": Small("bottle", (0.14, 0.18), SAME, (0.28, 0.34), ((230, 120, 40), (40, 100, 190))),
    "case of water bottles": Small("block", (0.36, 0.42), (0.24, 0.28), (0.20, 0.24), ((170, 205, 230),), STRIPES),
    "fire extinguisher": Small("bottle", (0.15, 0.18), SAME, (0.45, 0.55), ((205, 30, 30),)),
    "computer tower": Small("block", (0.18, 0.22), (0.42, 0.50), (0.40, 0.48), palette.DARKS),
    "object": Small("block", (0.12, 0.26), (0.12, 0.24), (0.08, 0.22), palette.BRIGHTS),
    "hat": Small("cone", (0.26, 0.30), SAME, (0.10, 0.14), palette.FABRICS),
    "footrest": Small("block", (0.36, 0.44), (0.26, 0.34), (0.14, 0.20), palette.DARKS),
    "toy": Small("heap", (0.12, 0.20), (0.12, 0.18), (0.10, 0.18), palette.BRIGHTS),
}


def small(name: str, rng: np.random.Generator) -> Piece:
    """One thing of the table; its category is its name."""
    spec = SMALL[name]
    w, h = rng.uniform(*spec.width), rng.uniform(*spec.height)
    d = w if spec.depth == SAME else rng.uniform(*spec.depth)
    piece = Piece(w, d, h)
    solid = piece.new(name if name != "toy" else None)
    color, c, x = pick(rng, spec.colors), (0.0, d / 2), w / 2
    if spec.form == "block":
        solid.box((-x, 0, 0), (x, d, h), color, spec.texture)
    elif spec.form == "open":
        solid.box((-x, 0, 0), (x, d, h - 0.04), color, spec.texture)
        solid.quad((-x + 0.02, 0.02, h - 0.038), (w - 0.04, 0, 0), (0, d - 0.04, 0), shade(color, 0.55))
        for o, u in (
            ((-x, 0, 0.0), (w, 0, 0.0)),
            ((-x, d, 0.0), (w, 0, 0.0)),
            ((-x, 0, 0.0), (0, d, 0.0)),
            ((x, 0, 0.0), (0, d, 0.0)),
        ):
            solid.quad((o[0], o[1], h - 0.04), u, (0, 0, 0.04), color)
    elif spec.form == "can":
        solid.prism(c, 0, h, x, color, 8, texture=spec.texture)
    elif spec.form == "cone":
        solid.prism(c, 0, h, (x, 0.35 * x), color, 8)
    elif spec.form == "pot":
        solid.prism(c, 0, h, (0.6 * x, x), color, 8)
    elif spec.form == "bucket":
        solid.prism(c, 0, h, (0.8 * x, x), color, 8, cap=False, hollow=True)
        solid.disc((0, d / 2, h * 0.75), x * 0.94, shade(color, 0.5))
    elif spec.form == "bottle":
        solid.prism(c, 0, 0.7 * h, x, color, 8).prism(c, 0.7 * h, h, (0.8 * x, 0.4 * x), shade(color, 1.15), 6)
    elif spec.form == "heap":
        solid.box((-x, 0.05 * d, 0), (x, 0.95 * d, 0.6 * h), color, spec.texture)
        solid.box((-0.8 * x, 0.15 * d, 0.6 * h), (0.75 * x, 0.85 * d, h), shade(color, 1.08), spec.texture)
    elif spec.form == "screen":
        solid.box((-0.3 * x, 0.02, 0), (0.3 * x, d, 0.02), color)
        solid.box((-0.03, 0.05, 0.02), (0.03, 0.08, 0.3 * h), color)
        solid.box((-x, 0.08, 0.26 * h), (x, 0.12, h), color, bottom=True)
        solid.quad((x - 0.02, 0.124, 0.3 * h), (-w + 0.04, 0, 0), (0, 0, 0.66 * h), (70, 84, 110), two_sided=False)
    elif spec.form == "laptop":
        solid.box((-x, 0.04, 0), (x, d, 0.025), color)
        solid.box((-x, 0.03, 0.025), (x, 0.045, h), color, lean=(0, -0.03))
        solid.quad((x - 0.02, 0.05, 0.04), (-w + 0.04, 0, 0), (0, -0.028, h - 0.06), (90, 110, 150), two_sided=False)
    else:
        raise ValueError(spec.form)
    return piece


def strew(
    piece: Piece,
    rng: np.random.Generator,
    area: tuple[float, float, float, float],
    z: float,
    names: Sequence[str],
    count: int,
    room_above: float = 1.0,
) -> None:
    """Put up to ``count`` things of ``names`` on the rectangle ``area`` (x0, y0, x1, y1) at height ``z``."""
    x0, y0, x1, y1 = area
    taken: list[tuple[float, float, float, float]] = []
    for _ in range(count):
        thing = small(names[int(rng.integers(len(names)))], rng)
        w, d = thing.width, thing.depth
        if w > x1 - x0 or d > y1 - y0 or thing.height > room_above:
            continue
        for _ in range(6):
            x, y = rng.uniform(x0, x1 - w), rng.uniform(y0, y1 - d)
            if all(x + w < a or x > c or y + d < b or y > e for a, b, c, e in taken):
                taken.append((x - 0.02, y - 0.02, x + w + 0.02, y + d + 0.02))
                piece.put(thing, x + w / 2, y, z)
                break
