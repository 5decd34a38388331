"""Prompt templates."""

import pytest

from regionzoo.errors import UserError
from regionzoo.text.prompts import prompt


@pytest.mark.parametrize(
    ("name", "template", "expected"),
    [
        ("sofa", "identity", "sofa"),
        ("showercurtain", "identity", "showercurtain"),
        ("sofa", "lseg", "a sofa in a scene"),
        ("wall", "lseg", "wall"),
        ("floor", "lseg", "floor"),
        ("ceiling", "lseg", "ceiling"),
        ("otherfurniture", "lseg", "otherfurniture"),
        ("wall", "simple", "a photo of a wall."),
    ],
)
def test_prompt(name, template, expected):
    assert prompt(name, template) == expected


def test_unknown_template():
    with pytest.raises(UserError, match="identity, lseg, simple"):
        prompt("sofa", "clip")
