"""The table of protocols: what it says of each row, what it refuses, and that a version never changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from regionzoo.classes import class_set
from regionzoo.config import load_params
from regionzoo.errors import UserError
from regionzoo.evaluation.instance_protocols import instance_protocol, instance_protocols
from regionzoo.evaluation.predictions import background
from regionzoo.evaluation.protocols import Protocol, parse, protocol, protocols
from regionzoo.models.settings import Partition
from regionzoo.training.labels import partition_of

# What a version says, for ever. A changed rule is a new entry with the next number; extend this table for it.
VERSIONS = {
    "regionplc-base/1": "1c8f80828911",
    "regionplc-base-wrapped/1": "ea96e0ddd065",
    "regionplc-free/1": "82f636b3aefe",
    "regionplc-free-wrapped/1": "ece923303711",
    "all-20/1": "1c74254a7176",
    "all-200/1": "20878cbd5aea",
    "foreground-17/1": "a1eb05ab26ee",
    "foreground-197/1": "a07e0042d927",
    "nuscenes-lidarseg/1": "cbe1f6ce3977",
}

# The published tables' own numbers of classes.
AVERAGED = {
    "scannet_b15n4": {"base": 15, "novel": 4},
    "scannet_b12n7": {"base": 12, "novel": 7},
    "scannet_b10n9": {"base": 10, "novel": 9},
    "scannet200_b170n30": {"base": 159, "novel": 30},
    "scannet200_b150n50": {"base": 139, "novel": 50},
    "scannet_zs_unet16": {"all": 17},
    "scannet_zs_unet32": {"all": 17},
    "scannet_zs_openscene_unet16": {"all": 17},
    "scannet_zs_openscene_unet32": {"all": 17},
    "scannet200_zs_unet32": {"all": 186},
    "scannet200_zs_openscene_unet32": {"all": 186},
    # Without wall and floor, which have no instances.
    "scannet_inst_b13n4": {"base": 13, "novel": 4},
    "scannet_inst_b10n7": {"base": 10, "novel": 7},
    "scannet_inst_b8n9": {"base": 8, "novel": 9},
}
FREE20 = Partition((), tuple(range(2, 19)), (0, 1, 19))
B1N19 = Partition((0,), tuple(range(1, 20)))


def rule(identifier: str) -> str:
    """Digest of what moves numbers: all but the words."""
    kept = protocol(identifier).model_copy(update={"title": "", "source": "", "class_sets": ()})
    return hashlib.sha256(kept.canonical().encode()).hexdigest()[:12]


def test_a_published_version_never_changes() -> None:
    assert {identifier: rule(identifier) for identifier in protocols()} == VERSIONS


def test_means_of_every_row_are_over_the_published_numbers_of_classes(repository: Path) -> None:
    params = load_params(repository / "params.yaml")
    found = {}
    for row in params.all_rows:
        settings, classes = params.evaluate(row), params.predict(row).classes
        roles = partition_of(classes)
        asked = (settings.protocol, *settings.also)
        for identifier in asked:
            known = instance_protocol if identifier in instance_protocols() else protocol
            assert known(identifier).misfit(classes.set, roles) is None, (row, identifier)
        of_instances = set(asked) & set(instance_protocols())
        assert bool(of_instances) == (row in params.instance_rows)
        if settings.protocol in of_instances:
            means = instance_protocol(settings.protocol).averaged(roles, classes.set)
        else:
            means = protocol(settings.protocol).averaged(roles, class_set(classes.set))
        found[row] = {name: len(positions) for name, positions in means.items()}
    assert {row: found[row] for row in AVERAGED} == AVERAGED


@pytest.mark.parametrize(
    ("identifier", "name", "count"),
    [("all-20/1", "scannet20", 20), ("all-200/1", "scannet200", 189),
     ("foreground-17/1", "scannet20", 17), ("foreground-197/1", "scannet200", 197)],
)  # fmt: skip
def test_other_protocols_average_the_same_classes_for_every_row(identifier: str, name: str, count: int) -> None:
    n = len(class_set(name).names)
    for roles in (Partition((), tuple(range(n))), Partition((), tuple(range(1, n)), (0,))):
        assert len(protocol(identifier).averaged(roles, class_set(name))["all"]) == count


def test_mosaic3d_background_is_by_name() -> None:
    for name in ("scannet20", "scannet200"):
        names = class_set(name).names
        assert background(name) == tuple(c for c in names if c in ("wall", "floor", "ceiling") or "other" in c)


def test_the_wrapped_class_is_where_the_look_up_wraps_to() -> None:
    assert class_set("scannet200").names[range(256)[-100]] == "hair dryer"
    for identifier in ("regionplc-base", "regionplc-free"):
        plain, wrapped = protocol(f"{identifier}/1"), protocol(f"{identifier}-wrapped/1")
        assert wrapped.unlabelled == "hair dryer" and wrapped.class_sets == ("scannet200",)
        same = {"id", "title", "source", "class_sets", "unlabelled"}
        assert plain.model_dump(exclude=same) == wrapped.model_dump(exclude=same)


def test_an_unknown_protocol_names_the_nearest_and_the_valid_ones() -> None:
    with pytest.raises(UserError, match=r"'regionplc-bse/1'; did you mean 'regionplc-base/1'\? valid: .*all-20/1"):
        protocol("regionplc-bse/1")
    with pytest.raises(UserError, match=r"no evaluation protocol 'x'; valid: regionplc-base/1"):
        protocol("x")


def test_misfits_are_named() -> None:
    assert protocol("all-200/1").misfit("scannet20", FREE20) == "is for scannet200, not scannet20"
    assert "without annotation" in (protocol("regionplc-base/1").misfit("scannet20", FREE20) or "")
    assert protocol("regionplc-free/1").misfit("scannet20", FREE20) is None
    assert protocol("regionplc-base/1").misfit("scannet20", B1N19) is None


def entry(**changes: object) -> str:
    plain = protocol("foreground-17/1").model_dump(mode="json")
    return yaml.safe_dump([plain | changes])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (entry(asbent="nan"), "foreground-17/1: asbent: unknown key; did you mean 'absent'"),
        (entry(absent="nil"), "foreground-17/1: absent"),
        (entry(class_sets=["scannet21"]), "no class set 'scannet21'; valid: scannet20, scannet200"),
        (entry(excluded=["wall", "sky"], prediction="all"), "no class 'sky' in scannet20"),
        (entry(unlabelled="hair dryer"), "no class 'hair dryer' in scannet20"),
        (entry(excluded=["wall"]), "prediction foreground leaves out wall, floor, otherfurniture; excluded must too"),
        (entry() + entry(), "foreground-17/1: 2 entries of this id; a changed rule gets a new version"),
        ("- 3\n", "protocols.yaml: 0: "),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_table_can_be_read_back() -> None:
    every = [rules.model_dump(mode="json") for rules in protocols().values()]
    assert parse(yaml.safe_dump(every)) == protocols()
    assert all(isinstance(rules, Protocol) and rules.id.split("/")[1].isdigit() for rules in protocols().values())
