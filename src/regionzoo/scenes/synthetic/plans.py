"""What stands in which kind of room: tables of wishes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.synthetic import bathroom, bedroom, household, kitchen, office, seating, storage, tables
from regionzoo.scenes.synthetic.geometry import Piece

Maker = Callable[[np.random.Generator], Piece]


@dataclass(frozen=True)
class Wish:
    """Something a theme wants: ``where`` is wall, free (away from walls) or floor (under everything).

    ``chance`` above 1 repeats it: 1.5 means one for sure and a second in half of the rooms. ``front``: metres that
    stay free before it. ``fallback``: what to try when it fits nowhere.
    """

    make: Maker
    where: str
    chance: float
    front: float = 0.4
    fallback: Maker | None = None


def _dining(rng: np.random.Generator) -> Piece:
    return tables.table_with_chairs(rng, "dining table" if rng.random() < 0.5 else "table")


BASE: dict[str, tuple[Wish, ...]] = {
    "bedroom": (
        Wish(tables.rug, "floor", 0.4),
        Wish(bedroom.bed_with_nightstands, "wall", 1.0, 0.3, bedroom.bed),
        Wish(bedroom.bed, "wall", 0.3, 0.3),
        Wish(storage.wardrobe, "wall", 0.6),
        Wish(storage.dresser, "wall", 0.8),
        Wish(seating.armchair, "wall", 0.3),
        Wish(seating.chair, "wall", 0.3),
        Wish(bedroom.lamp_floor, "wall", 0.25, 0.0),
        Wish(household.radiator, "wall", 0.35, 0.1),
        Wish(seating.ottoman, "free", 0.2),
    ),
    "bathroom": (
        Wish(tables.rug, "floor", 0.6),
        Wish(bathroom.bathtub, "wall", 0.8, 0.35),
        Wish(bathroom.toilet_with_paper, "wall", 1.0, 0.4),
        Wish(bathroom.washbasin, "wall", 1.0, 0.4),
        Wish(bathroom.shower, "wall", 0.5, 0.3),
        Wish(storage.cabinet, "wall", 0.3, 0.3),
        Wish(household.radiator, "wall", 0.25, 0.1),
    ),
    "living": (
        Wish(tables.rug, "floor", 0.6),
        Wish(seating.sofa, "wall", 1.25, 0.35),
        Wish(office.tv_stand, "wall", 0.7),
        Wish(storage.bookshelf, "wall", 0.9),
        Wish(tables.coffee_table, "free", 0.85),
        Wish(seating.armchair, "wall", 0.8, 0.3),
        Wish(tables.end_table, "wall", 0.8, 0.1),
        Wish(household.plant, "wall", 0.5, 0.0),
        Wish(bedroom.lamp_floor, "wall", 0.5, 0.0),
        Wish(household.fireplace, "wall", 0.2),
        Wish(household.piano, "wall", 0.2),
        Wish(household.guitar, "wall", 0.2, 0.0),
        Wish(storage.cabinet, "wall", 0.3),
        Wish(seating.ottoman, "free", 0.3),
        Wish(household.radiator, "wall", 0.3, 0.1),
    ),
    "office": (
        Wish(office.desk_with_chair, "wall", 1.9, 0.1),
        Wish(storage.bookshelf, "wall", 0.9),
        Wish(storage.file_cabinet, "wall", 0.9),
        Wish(storage.cabinet, "wall", 0.4),
        Wish(office.printer_stand, "wall", 0.4),
        Wish(seating.chair, "wall", 0.6, 0.2),
        Wish(tables.table, "free", 0.3),
        Wish(household.radiator, "wall", 0.4, 0.1),
        Wish(household.plant, "wall", 0.3, 0.0),
        Wish(household.coat_rack, "wall", 0.25, 0.0),
        Wish(household.water_cooler, "wall", 0.15),
        Wish(household.fan, "wall", 0.15, 0.0),
    ),
    "kitchen": (
        Wish(kitchen.kitchen_row, "wall", 1.2, 0.6),
        Wish(kitchen.refrigerator, "wall", 1.0, 0.5),
        Wish(_dining, "free", 0.9),
        Wish(storage.cabinet, "wall", 0.4),
        Wish(seating.stool, "wall", 0.6, 0.1),
        Wish(seating.bench, "wall", 0.15, 0.2),
        Wish(household.cart, "wall", 0.2, 0.1),
    ),
    "dining": (
        Wish(tables.rug, "floor", 0.3),
        Wish(_dining, "free", 1.5),
        Wish(storage.cabinet, "wall", 0.7),
        Wish(seating.bench, "wall", 0.5, 0.2),
        Wish(seating.sofa, "wall", 0.4, 0.3),
        Wish(storage.bookshelf, "wall", 0.4),
        Wish(household.plant, "wall", 0.6, 0.0),
        Wish(storage.storage_shelf, "wall", 0.4),
    ),
    "storage": (
        Wish(kitchen.washing_machine, "wall", 0.8),
        Wish(storage.storage_shelf, "wall", 1.5),
        Wish(storage.cabinet, "wall", 0.6),
        Wish(storage.wardrobe, "wall", 0.3),
        Wish(seating.bench, "wall", 0.3, 0.2),
        Wish(household.bicycle, "wall", 0.25, 0.0),
        Wish(household.ladder, "wall", 0.4, 0.0),
        Wish(household.ironing_board, "wall", 0.3, 0.0),
        Wish(household.broom, "wall", 0.4, 0.0),
        Wish(household.vacuum_cleaner, "wall", 0.4, 0.0),
        Wish(bedroom.mattress, "wall", 0.2, 0.0),
        Wish(seating.folded_chair, "wall", 0.4, 0.0),
        Wish(kitchen.mini_fridge, "wall", 0.3),
    ),
}
"""What each theme wants, most important first: later wishes take what room is left."""


EXTRA: dict[str, Wish] = {
    "desk": Wish(office.desk_with_chair, "wall", 1.0, 0.1),
    "bookshelf": Wish(storage.bookshelf, "wall", 1.0),
    "sofa": Wish(seating.sofa, "wall", 1.0, 0.3),
    "bed": Wish(bedroom.bed_with_nightstands, "wall", 1.0, 0.3, bedroom.bed),
    "fridge": Wish(kitchen.mini_fridge, "wall", 1.0),
    "refrigerator": Wish(kitchen.refrigerator, "wall", 1.0, 0.4),
    "kitchen": Wish(kitchen.kitchen_row, "wall", 1.0, 0.5),
    "table": Wish(_dining, "free", 1.0),
}


HANGINGS: dict[str, tuple[tuple[str, float], ...]] = {
    "bedroom": (("picture", 1.4), ("mirror", 0.5), ("poster", 0.4), ("tv", 0.3), ("calendar", 0.15)),
    "bathroom": (("towel", 1.2), ("picture", 0.4), ("paper towel dispenser", 0.2), ("vent", 0.2)),
    "living": (("picture", 1.8), ("tv", 0.35), ("clock", 0.4), ("mirror", 0.3), ("poster", 0.2)),
    "office": (
        ("whiteboard", 0.8),
        ("picture", 0.7),
        ("bulletin board", 0.4),
        ("calendar", 0.3),
        ("clock", 0.4),
        ("projector screen", 0.15),
        ("poster", 0.4),
        ("fire alarm", 0.2),
    ),
    "kitchen": (("clock", 0.5), ("picture", 0.5), ("calendar", 0.3), ("towel", 0.3)),
    "dining": (("picture", 1.2), ("whiteboard", 0.3), ("clock", 0.3), ("blackboard", 0.2), ("sign", 0.2), ("tv", 0.3)),
    "storage": (("sign", 0.3), ("vent", 0.3), ("clock", 0.2), ("fire alarm", 0.3), ("picture", 0.3)),
}


CLUTTER: dict[str, tuple[str, ...]] = {
    "bedroom": (
        "shoe",
        "shoe",
        "clothes",
        "backpack",
        "suitcase",
        "laundry hamper",
        "trash can",
        "bag",
        "box",
        "basket",
        "luggage",
        "stuffed animal",
        "dumbbell",
        "purse",
        "laundry basket",
        "fan",
    ),
    "bathroom": ("trash can", "scale", "bin", "laundry basket", "basket", "plunger", "bucket", "clothes", "shoe"),
    "living": ("box", "basket", "bag", "backpack", "trash can", "shoe", "ball", "toy", "magazine", "speaker", "laptop"),
    "office": (
        "trash can",
        "trash can",
        "recycling bin",
        "box",
        "backpack",
        "bag",
        "power strip",
        "paper",
        "fire extinguisher",
        "footrest",
        "shoe",
        "computer tower",
    ),
    "kitchen": (
        "trash can",
        "recycling bin",
        "trash bin",
        "box",
        "paper bag",
        "case of water bottles",
        "bottle",
        "bag",
        "bucket",
    ),
    "dining": ("trash can", "recycling bin", "bag", "backpack", "box", "basket", "fire extinguisher"),
    "storage": (
        "box",
        "box",
        "storage bin",
        "storage container",
        "container",
        "crate",
        "bucket",
        "bag",
        "laundry basket",
        "laundry hamper",
        "laundry detergent",
        "case of water bottles",
        "dustpan",
        "ball",
        "luggage",
        "trash bin",
        "shoe",
        "dumbbell",
        "object",
    ),
}


PLANS: tuple[tuple[str, tuple[str, ...], str | None, str], ...] = (
    ("bedroom", ("desk",), "bathroom", "Bedroom / Hotel"),
    ("living", (), None, "Living room / Lounge"),
    ("office", (), None, "Office"),
    ("kitchen", ("table",), None, "Kitchen"),
    ("bathroom", (), "storage", "Bathroom"),
    ("bedroom", ("desk", "bookshelf"), None, "Apartment"),
    ("living", ("desk",), None, "Living room / Lounge"),
    ("kitchen", ("sofa",), "bathroom", "Apartment"),
    ("office", ("sofa",), None, "Office"),
    ("storage", ("bookshelf",), "bathroom", "Storage/Basement/Garage"),
    ("dining", ("sofa", "bookshelf"), None, "Lobby"),
    ("bedroom", ("sofa", "fridge"), "bathroom", "Bedroom / Hotel"),
    ("living", ("kitchen", "refrigerator"), "bathroom", "Apartment"),
    ("office", ("table", "bookshelf"), None, "Conference Room"),
    ("bedroom", ("bookshelf",), "bathroom", "Bedroom / Hotel"),
    ("living", ("bed", "desk", "refrigerator"), None, "Apartment"),
)
"""Main theme, pieces that it surely wants besides, theme of a second zone, scene type of the text file."""


FIRST = 3
"""How many wishes of a theme come before everything else."""


DAYLIGHT = ("living", "office", "dining", "bedroom")
"""Themes that may have a second window."""
