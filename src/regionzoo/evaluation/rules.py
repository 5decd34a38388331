"""Rules as versioned data: YAML lists of entries with an ``id``, of which a changed one gets a new version."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

import yaml

from regionzoo.errors import UserError
from regionzoo.settings.base import Settings


class Rule(Settings):
    """An entry. id: ``<name>/<version>``."""

    id: str


AnyRule = TypeVar("AnyRule", bound=Rule)


def parse_rules(kind: type[AnyRule], text: str, file: str) -> dict[str, AnyRule]:
    """Entries of a YAML list by id, in order; :class:`UserError` with the entry and the reason for a wrong or
    repeated one. file: its name, for messages."""
    found = [
        kind.check(entry, f"{file}: {entry.get('id', position) if isinstance(entry, dict) else position}")
        for position, entry in enumerate(yaml.safe_load(text))
    ]
    for identifier, times in Counter(entry.id for entry in found).items():
        if times > 1:
            raise UserError(f"{file}: {identifier}: {times} entries of this id; a changed rule gets a new version")
    return {entry.id: entry for entry in found}


def rule_of(known: Mapping[str, AnyRule], identifier: str, what: str) -> AnyRule:
    """The entry of an id; :class:`UserError` with the nearest id and the valid ones otherwise. what: its name."""
    if identifier in known:
        return known[identifier]
    near = difflib.get_close_matches(identifier, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UserError(f"no {what} '{identifier}'; {hint}valid: {', '.join(known)}")
