"""Evaluation protocols: rules, as versioned data (``data/protocols.yaml``), by which predictions become scores."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal, Self

from pydantic import model_validator

from regionzoo.classes import CLASS_SETS, ClassSet, class_set
from regionzoo.evaluation.predictions import Variant, background
from regionzoo.evaluation.rules import Rule, parse_rules, rule_of
from regionzoo.models.settings import Partition

FILE = "data/protocols.yaml"


class Protocol(Rule):
    """How a table of numbers is made from ground truth and one set of predictions.

    id: ``<name>/<version>``. source: where the rule is from. class_sets: what it is defined for.
    kind: "base-novel": mean of base and of novel classes, their harmonic mean, and their mean weighted by the numbers
    of classes; "mean": mean over all classes that are not excluded.
    excluded: classes outside every mean: those that the row ignores ("ignored"), named ones, or "none".
    excluded_truth: points whose ground truth is excluded are "skipped", or "counted", so that what is predicted there
    is a false positive.
    train_only: classes without validation points leave the means too ("exclude") or not.
    prediction: which of the saved predictions is scored (:data:`regionzoo.evaluation.predictions.VARIANTS`).
    absent: a class without a point in ground truth and prediction scores "zero" (the original), or is left out of the
    means ("nan"); likewise the accuracy of a class without ground truth.
    unlabelled: points without ground truth are left out ("ignore"), or count as the class of this name.
    """

    title: str
    source: str
    class_sets: tuple[str, ...]
    kind: Literal["base-novel", "mean"]
    excluded: Literal["ignored", "none"] | tuple[str, ...]
    excluded_truth: Literal["skipped", "counted"]
    train_only: Literal["exclude", "include"]
    prediction: Variant
    absent: Literal["zero", "nan"]
    unlabelled: str

    @model_validator(mode="after")
    def _classes_exist(self) -> Self:
        named = () if isinstance(self.excluded, str) else self.excluded
        wrapped = () if self.unlabelled == "ignore" else (self.unlabelled,)
        for name in self.class_sets:
            if name not in CLASS_SETS:
                raise ValueError(f"class_sets: no class set '{name}'; valid: {', '.join(CLASS_SETS)}")
            for unknown in set(named + wrapped) - set(class_set(name).names):
                raise ValueError(f"no class '{unknown}' in {name}")
            if self.prediction == "foreground" and set(named) != set(background(name)):
                raise ValueError(f"prediction foreground leaves out {', '.join(background(name))}; excluded must too")
        return self

    def excluded_classes(self, roles: Partition, classes: ClassSet) -> tuple[int, ...]:
        """Positions of the excluded classes for a row's roles."""
        if self.excluded == "ignored":
            return roles.ignore_idx
        if self.excluded == "none":
            return ()
        return tuple(classes.index(name) for name in self.excluded)

    def averaged(self, roles: Partition, classes: ClassSet) -> dict[str, tuple[int, ...]]:
        """Positions of the classes of each mean: of "base" and "novel", or of "all"."""
        out = set(self.excluded_classes(roles, classes))
        if self.train_only == "exclude":
            out |= set(classes.train_only)
        means = (
            {"base": roles.base_idx, "novel": roles.novel_idx}
            if self.kind == "base-novel"
            else {"all": tuple(range(len(classes.names)))}
        )
        return {name: tuple(c for c in positions if c not in out) for name, positions in means.items()}

    def misfit(self, name: str, roles: Partition) -> str | None:
        """Why predictions for the class set ``name`` with these roles cannot be scored so; None if they can."""
        if name not in self.class_sets:
            return f"is for {' and '.join(self.class_sets)}, not {name}"
        if self.kind == "base-novel" and not (roles.base_idx and roles.novel_idx):
            return "needs base and novel classes, and this row was trained without annotation"
        return None


@cache
def protocols() -> dict[str, Protocol]:
    """Every protocol by id, in the order of the file."""
    return parse(files("regionzoo").joinpath(FILE).read_text())


def parse(text: str) -> dict[str, Protocol]:
    """Protocols of a YAML list, checked (:func:`regionzoo.evaluation.rules.parse_rules`)."""
    return parse_rules(Protocol, text, FILE)


def protocol(identifier: str) -> Protocol:
    """The protocol of an id; :class:`UserError` with the nearest id and the valid ones otherwise."""
    return rule_of(protocols(), identifier, "evaluation protocol")
