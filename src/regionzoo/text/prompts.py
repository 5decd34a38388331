"""From class names to the strings that a text encoder gets."""

from __future__ import annotations

from typing import Literal, get_args

from regionzoo.errors import UserError

Template = Literal["identity", "lseg", "simple"]

BARE_IN_LSEG = frozenset({"wall", "floor", "ceiling", "otherfurniture"})


def prompt(name: str, template: Template) -> str:
    """The string to encode for a class.

    identity: the bare name (all rows but the OpenScene ones). lseg: "a <name> in a scene", except for wall, floor,
    ceiling and otherfurniture, which stay bare (OpenScene rows). simple: "a photo of a <name>." (no row).

    The original also offers CLIP's template sets, but only ever takes the first template of a set and averages
    nothing; so a template here is one string. Articles are fixed ("a otherprop"): the text is part of the recipe.
    """
    if template == "identity" or (template == "lseg" and name in BARE_IN_LSEG):
        return name
    if template == "lseg":
        return f"a {name} in a scene"
    if template == "simple":
        return f"a photo of a {name}."
    raise UserError(f"text template '{template}': unknown; valid: {', '.join(get_args(Template))}")
