"""Saved predictions under any number of protocols, without the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regionzoo.artifacts import read_json
from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.evaluation.counting import Counts, count
from regionzoo.evaluation.predictions import PredictionFacts, load_facts
from regionzoo.evaluation.protocols import Protocol, protocol, protocols
from regionzoo.evaluation.record import percent
from regionzoo.evaluation.semantic import SemanticScores, binary_scores, semantic_scores


@dataclass(frozen=True)
class Score:
    """Scores under one protocol. metrics: in percent, as they are written. averaged: how many classes each mean has."""

    protocol: Protocol
    scores: SemanticScores
    metrics: dict[str, float]
    averaged: dict[str, int]


@dataclass(frozen=True)
class Scored:
    """Predictions scored.

    facts: what they are. manifest_sha256: their identity. counts: sums that the scores come from. by_protocol: scores
    by protocol id, in the order asked for.
    """

    facts: PredictionFacts
    manifest_sha256: str
    counts: Counts
    by_protocol: dict[str, Score]


def score(predictions: Path, scenes: Path, identifiers: Sequence[str] = ()) -> Scored:
    """Score a predictions folder on the validation scenes of a scene store.

    identifiers: protocols; none: every one that fits the predictions. Raises :class:`UserError` for an unknown protocol
    or one that does not fit, before anything is counted, and for missing or damaged files.
    """
    facts, files, identity = load_facts(predictions)
    roles = facts.classes.roles
    if identifiers:
        rules = [protocol(identifier) for identifier in dict.fromkeys(identifiers)]
    else:
        rules = [entry for entry in protocols().values() if entry.misfit(facts.classes.set, roles) is None]
    for entry in rules:
        why = entry.misfit(facts.classes.set, roles)
        if why:
            fitting = [known.id for known in protocols().values() if known.misfit(facts.classes.set, roles) is None]
            raise UserError(f"{facts.row}: protocol {entry.id} {why}; fitting: {', '.join(fitting)}")
    ids = sorted(read_json(scenes / "splits.json")["val"])
    variants = tuple(dict.fromkeys(entry.prediction for entry in rules))
    counts = count(predictions, files, scenes, ids, facts.classes.set, variants, f"score {facts.row}")
    return Scored(facts, identity, counts, {entry.id: _score(counts, facts, entry) for entry in rules})


def _score(counts: Counts, facts: PredictionFacts, rules: Protocol) -> Score:
    classes, roles = class_set(facts.classes.set), facts.classes.roles
    scores = semantic_scores(counts.pairs[rules.prediction], roles, classes, rules)
    values = dict(scores.summary)
    # The binary head takes part in the row's own predictions alone.
    if rules.kind == "base-novel" and rules.prediction == "row" and counts.binary is not None:
        values |= binary_scores(counts.binary, roles, classes, rules)
    averaged = {name: len(positions) for name, positions in rules.averaged(roles, classes).items()}
    return Score(rules, scores, {name: percent(value) for name, value in values.items()}, averaged)
