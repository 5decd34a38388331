"""Words of the simulated captioner of streets: nouns of things, phrases of stuff, captions of windows.

Kinds of things are classes of nuscenes16, or raw categories for what these 16 do not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from regionzoo.captions.wording import NUMBERS, listed, with_article


class Thing(NamedTuple):
    """bare: what a detector calls it. nouns: (one, many) pairs, at least one. phrases: of one, for grounded boxes."""

    bare: str
    nouns: tuple[tuple[str, str], ...]
    phrases: tuple[str, ...] = ()


class Stuff(NamedTuple):
    """phrases: of a part of it. place: where a thing is that lies on it or before it. narrow: phrases of a part that is
    much higher than wide."""

    phrases: tuple[str, ...]
    place: str
    narrow: tuple[str, ...] = ()


THINGS = {
    "barrier": Thing(
        "barrier",
        (("barrier", "barriers"), ("street barrier", "street barriers"), ("safety barrier", "safety barriers")),
        ("a row of barriers",),
    ),
    "bicycle": Thing("bicycle", (("bicycle", "bicycles"), ("bike", "bikes")), ("a parked bicycle",)),
    "bus": Thing("bus", (("bus", "buses"), ("city bus", "city buses")), ("a bus driving down the street",)),
    "car": Thing("car", (("car", "cars"), ("parked car", "parked cars")), ("a car driving on the road",)),
    "construction_vehicle": Thing(
        "construction vehicle",
        (
            ("construction vehicle", "construction vehicles"),
            ("excavator", "excavators"),
            ("bulldozer", "bulldozers"),
        ),
    ),
    "motorcycle": Thing(
        "motorcycle",
        (("motorcycle", "motorcycles"), ("motorbike", "motorbikes")),
        ("a parked motorcycle", "a motorcycle on the road"),
    ),
    "pedestrian": Thing(
        "person",
        (("pedestrian", "pedestrians"), ("person", "people")),
        ("a pedestrian walking", "a man crossing the street", "a man and a woman"),
    ),
    "traffic_cone": Thing(
        "traffic cone",
        (("traffic cone", "traffic cones"), ("orange traffic cone", "orange traffic cones")),
        ("an orange cone", "a traffic cone on the road"),
    ),
    "trailer": Thing("trailer", (("trailer", "trailers"), ("semi trailer", "semi trailers"))),
    "truck": Thing(
        "truck",
        (("truck", "trucks"), ("pickup truck", "pickup trucks"), ("delivery truck", "delivery trucks")),
        ("a truck on the road",),
    ),
    "animal": Thing("animal", (("animal", "animals"),)),
    "human.pedestrian.personal_mobility": Thing("kick scooter", (("kick scooter", "kick scooters"),)),
    "human.pedestrian.stroller": Thing("stroller", (("stroller", "strollers"),)),
    "human.pedestrian.wheelchair": Thing("wheelchair", (("wheelchair", "wheelchairs"),)),
    "movable_object.debris": Thing("debris", (("pile of debris", "piles of debris"),)),
    "movable_object.pushable_pullable": Thing("garbage bin", (("garbage bin", "garbage bins"),)),
    "static_object.bicycle_rack": Thing("bicycle rack", (("bicycle rack", "bicycle racks"),)),
    "vehicle.emergency.ambulance": Thing("ambulance", (("ambulance", "ambulances"),)),
    "vehicle.emergency.police": Thing("police car", (("police car", "police cars"),)),
}

STUFF = {
    "driveable_surface": Stuff(("the road", "the street", "a road", "an empty street"), "on the road"),
    "sidewalk": Stuff(("the sidewalk", "a sidewalk", "a paved sidewalk", "a concrete sidewalk"), "on the sidewalk"),
    "terrain": Stuff(("grass", "a grassy area", "a patch of grass", "grass and soil"), "on the grass"),
    "manmade": Stuff(
        ("a building", "the building", "buildings", "a building and a wall"),
        "in front of a building",
        ("a pole", "a street sign", "a traffic light"),
    ),
    "vegetation": Stuff(("trees", "several trees", "a tree", "bushes", "trees and bushes"), "in front of trees"),
}
"""other_flat is left out: nobody says so."""

NARROW = 3.0
"""Height by width from which on a part of a stuff is narrow."""

PLURAL_SHARE, PHRASE_SHARE, DEFINITE_SHARE = 0.15, 0.25, 0.15
"""Shares of grounded boxes of a thing with a number ("two cars", if the image has more of them), with one of its
phrases, and with "the"."""


def thing_phrase(kind: str, count: int, rng: np.random.Generator) -> str:
    """What a grounded captioner says of a box: "a truck", "several pedestrians", "a man crossing the street".

    count: how many of the kind the image has. One such phrase with a number stands for several boxes, each a region.
    """
    words = THINGS[kind]
    one, many = words.nouns[rng.integers(len(words.nouns))]
    form = rng.random()
    if form < PLURAL_SHARE:
        return _counted(one, many, count)
    form -= PLURAL_SHARE
    if form < PHRASE_SHARE and words.phrases:
        return words.phrases[rng.integers(len(words.phrases))]
    return f"the {one}" if form >= 1 - PLURAL_SHARE - DEFINITE_SHARE else with_article(one)


def stuff_phrase(kind: str, height_by_width: float, rng: np.random.Generator) -> str:
    """What it says of a part of a stuff: "the road", "several trees", "a pole"."""
    words = STUFF[kind]
    phrases = words.narrow if words.narrow and height_by_width >= NARROW else words.phrases
    return phrases[rng.integers(len(phrases))]


def window_caption(things: Sequence[tuple[str, int]], stuff: Sequence[str], rng: np.random.Generator) -> str:
    """What an image captioner says of a window with some kinds of things, each with their number, and of stuff:
    "a car and two pedestrians on the road", "trees and a building". At least one of both must be given.
    """
    if not things:
        return listed([stuff_phrase(kind, 0.0, rng) for kind in stuff])
    said = []
    for kind, count in things:
        nouns = THINGS[kind].nouns
        one, many = nouns[rng.integers(len(nouns))]
        said.append(_counted(one, many, count))
    return f"{listed(said)} {STUFF[stuff[0]].place}" if stuff else listed(said)


def _counted(one: str, many: str, count: int) -> str:
    return with_article(one) if count == 1 else f"{NUMBERS.get(count, 'several')} {many}"
