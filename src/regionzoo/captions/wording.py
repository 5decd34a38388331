"""Words of the simulated captioner: nouns of NYU40 ids, sentence templates, grounded phrases and image captions."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from regionzoo.captions.captioner import Box
from regionzoo.classes import class_set

STRUCTURE = frozenset({1, 2, 22})
"""NYU40 ids of wall, floor and ceiling."""

UNNAMED = frozenset({38, 39, 40})
"""otherstructure, otherfurniture, otherprop: no word that a captioner would use."""

SYNONYMS = {
    "sofa": ("couch", "sofa"),
    "bookshelf": ("bookshelf", "bookcase"),
    "refrigerator": ("refrigerator", "fridge"),
    "cabinet": ("cabinet", "cupboard"),
    "picture": ("picture", "framed picture"),
    "counter": ("counter", "countertop"),
    "desk": ("desk", "office desk"),
    "curtain": ("curtain", "window curtain"),
    "bathtub": ("bathtub", "tub"),
    "sink": ("sink", "wash basin"),
    "tv": ("television", "tv"),
}

PLURAL_NOUNS = frozenset({"blinds", "clothes"})

# None says "picture" or "wall": those are names of classes.
TEMPLATES = (
    "a photo of {thing}.",
    "there {be} {thing} in the room.",
    "{thing} in a room.",
    "a view of {thing} in the room.",
    "an indoor scene with {thing}.",
)

SCENES = ("{things} in a room", "a room with {things}")

NUMBERS = {2: "two", 3: "three", 4: "four"}

Color = tuple[float, float, float]
"""RGB, 0..255 a channel."""


class Thing(NamedTuple):
    """A visible object: key (value of the instance image), NYU40 id, tight box."""

    key: int
    nyu40: int
    box: Box


@cache
def nouns() -> dict[int, str]:
    """NYU40 id -> noun: the ScanNet class of that id, or else the most frequent ScanNet200 class in it."""
    names: dict[int, str] = {}
    for classes in (class_set("scannet20"), class_set("scannet200")):
        for nyu40, name in zip(classes.nyu40_ids, classes.names, strict=True):
            names.setdefault(nyu40, name)
    return {nyu40: name for nyu40, name in names.items() if nyu40 not in UNNAMED}


def is_named(nyu40: int) -> bool:
    """Whether the captioner has a word for this id."""
    return nyu40 in nouns()


def class_name(nyu40: int) -> str:
    """The bare class name as a detector's vocabulary has it: lower case, words apart."""
    return nouns()[nyu40].replace("_", " ").lower()


def template_sentence(nyu40: int, rng: np.random.Generator) -> str:
    """The class name in one of a few sentences: what a detector with templates writes."""
    noun = nouns()[nyu40]
    template = TEMPLATES[rng.integers(len(TEMPLATES))]
    return template.format(thing=with_article(noun), be="are" if noun in PLURAL_NOUNS else "is")


def grounded_phrase(nyu40: int, thing: Thing, color: Color, things: Sequence[Thing], rng: np.random.Generator) -> str:
    """A short noun phrase as grounded captioners give for a box: "a brown couch", "two chairs", "a desk with a lamp".

    ``nyu40`` is the name to use, which naming noise may have taken from another object; ``color`` is the mean colour
    of ``thing``, count and neighbours are those of ``thing`` among ``things``.
    """
    noun = _synonym(nyu40, rng)
    form, colored = rng.random(2)
    if colored < 0.5:
        noun = f"{color_word(color)} {noun}"
    if nyu40 in STRUCTURE:
        return f"the {noun}"
    count = sum(other.nyu40 == nyu40 for other in things)
    if form < 0.15 and count > 1 and nyu40 == thing.nyu40 and not _is_plural(noun):
        return _counted(noun, count)
    phrase = with_article(noun)
    others = [other for other in things if other.nyu40 not in STRUCTURE | {nyu40, thing.nyu40}]
    if form >= 0.75 and others:
        nearest = min(others, key=lambda other: (_distance(thing.box, other.box), other.key))
        relation = "with" if _holds(thing.box, nearest.box) else "next to"
        phrase = f"{phrase} {relation} {with_article(nouns()[nearest.nyu40])}"
    return phrase


def image_caption(kinds: Sequence[tuple[int, int]], rng: np.random.Generator) -> str:
    """What an image captioner says of a picture with some kinds of things, each an NYU40 id and how many of it:
    "a couch and two tables in a room".
    """
    things = [_counted(_synonym(nyu40, rng), count) for nyu40, count in kinds]
    return SCENES[rng.integers(len(SCENES))].format(things=listed(things))


def surface_caption(surfaces: Sequence[tuple[int, Color]]) -> str:
    """What it says where there is nothing but walls, floors and ceilings: "a white wall and a brown floor"."""
    return listed([with_article(f"{color_word(color)} {nouns()[nyu40]}") for nyu40, color in surfaces])


def color_word(rgb: Color) -> str:
    """One of the eleven basic colour words, or beige, for a colour of 0..255 a channel."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in rgb))
    hue *= 360
    if value < 0.2:
        return "black"
    if saturation < 0.15:
        return "white" if value > 0.75 else "gray"
    if 15 <= hue < 50 and saturation < 0.4 and value > 0.65:
        return "beige"
    if (hue < 50 or hue >= 345) and value < 0.65 and (hue >= 15 or saturation < 0.5):
        return "brown"
    for limit, word in ((15, "red"), (45, "orange"), (70, "yellow"), (165, "green"), (255, "blue"), (290, "purple")):
        if hue < limit:
            return word
    return "pink" if hue < 345 else "red"


def _synonym(nyu40: int, rng: np.random.Generator) -> str:
    noun = nouns()[nyu40]
    synonyms = SYNONYMS.get(noun, (noun,))
    return synonyms[rng.integers(len(synonyms))]


def _counted(noun: str, count: int) -> str:
    if count == 1 or _is_plural(noun):
        return with_article(noun)
    return f"{NUMBERS.get(count, 'several')} {_plural(noun)}"


def listed(phrases: Sequence[str]) -> str:
    """The phrases as "a", "a and b", "a, b and c"."""
    *front, last = phrases
    return f"{', '.join(front)} and {last}" if front else last


def _is_plural(noun: str) -> bool:
    return noun.split()[-1] in PLURAL_NOUNS


def with_article(noun: str) -> str:
    """ "a chair", "an oven", "blinds"."""
    if _is_plural(noun):
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _plural(noun: str) -> str:
    if noun.endswith("shelf"):
        return noun.removesuffix("f") + "ves"
    return noun + ("es" if noun.endswith(("ch", "sh", "x", "s")) else "s")


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _distance(a: Box, b: Box) -> float:
    (x, y), (other_x, other_y) = _centre(a), _centre(b)
    return float(np.hypot(x - other_x, y - other_y))


def _holds(outer: Box, inner: Box) -> bool:
    x, y = _centre(inner)
    return outer[0] < x < outer[2] and outer[1] < y < outer[3]
