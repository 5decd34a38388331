"""The string that stands for each class."""

from __future__ import annotations

from regionzoo.classes import class_set
from regionzoo.text.prompts import prompt


def class_prompts(classes: str, template: str) -> list[str]:
    """Prompts of a class set ("scannet20", "scannet200") under a template, in class order."""
    return [prompt(name, template) for name in class_set(classes).prompts]
