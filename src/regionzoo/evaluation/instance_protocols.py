"""Protocols of instance scores: rules as versioned data (``data/instance_protocols.yaml``)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal, Self

from pydantic import model_validator

from regionzoo.classes import CLASS_SETS, class_set
from regionzoo.evaluation.rules import Rule, parse_rules, rule_of
from regionzoo.models.settings import Partition
from regionzoo.settings.base import Count

FILE = "data/instance_protocols.yaml"


class InstanceProtocol(Rule):
    """How predicted instances are scored.

    id: ``<name>/<version>``. source: where the rule is from. class_sets: what it is defined for. excluded: classes
    without instances; those that a row ignores have none either. min_points: predictions with fewer points are dropped,
    true instances with fewer are neither found nor missed. no_proposals: true instances of scenes in which the network
    proposed nothing are "skipped", as the original does, or "counted" as missed.
    """

    title: str
    source: str
    class_sets: tuple[str, ...]
    excluded: tuple[str, ...]
    min_points: Count
    no_proposals: Literal["skipped", "counted"]

    @model_validator(mode="after")
    def _classes_exist(self) -> Self:
        for name in self.class_sets:
            if name not in CLASS_SETS:
                raise ValueError(f"class_sets: no class set '{name}'; valid: {', '.join(CLASS_SETS)}")
            for unknown in set(self.excluded) - set(class_set(name).names):
                raise ValueError(f"no class '{unknown}' in {name}")
        return self

    def averaged(self, roles: Partition, name: str) -> dict[str, tuple[int, ...]]:
        """Positions, in the class set ``name``, of the "base" and "novel" classes that have instances."""
        out = {class_set(name).index(entry) for entry in self.excluded}
        return {
            side: tuple(c for c in positions if c not in out)
            for side, positions in (("base", roles.base_idx), ("novel", roles.novel_idx))
        }

    def misfit(self, name: str, roles: Partition) -> str | None:
        """Why predictions for the class set ``name`` with these roles cannot be scored so; None if they can."""
        if name not in self.class_sets:
            return f"is for {' and '.join(self.class_sets)}, not {name}"
        if not (roles.base_idx and roles.novel_idx):
            return "needs base and novel classes, and this row was trained without annotation"
        return None


@cache
def instance_protocols() -> dict[str, InstanceProtocol]:
    """Every protocol by id, in the order of the file."""
    return parse(files("regionzoo").joinpath(FILE).read_text())


def parse(text: str) -> dict[str, InstanceProtocol]:
    """Protocols of a YAML list, checked (:func:`regionzoo.evaluation.rules.parse_rules`)."""
    return parse_rules(InstanceProtocol, text, FILE)


def instance_protocol(identifier: str) -> InstanceProtocol:
    """The protocol of an id; :class:`UserError` with the nearest id and the valid ones otherwise."""
    return rule_of(instance_protocols(), identifier, "protocol of instance scores")
