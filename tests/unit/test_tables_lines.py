"""What becomes of each published line: consistency of what is printed, comparability, seeds, damaged files."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from table_results import NAMES, REAL, ZOO, metrics_value, write_result, zoo_settings

from regionzoo.config import load_params
from regionzoo.report.comparable import comparable, mark
from regionzoo.report.consistency import check_harmonic
from regionzoo.report.lines import Line, build_lines
from regionzoo.report.results import Metrics
from regionzoo.report.tables import result_text

GOOD = {"hIoU": 69.0, "mIoU_base": 68.0, "mIoU_novel": 70.0}


def one_line_of(results: Path, row: str = "scannet_b15n4") -> tuple[Line, list[str]]:
    said: list[str] = []
    lines = build_lines(zoo_settings(), results, said.append)
    return next(line for table in lines.values() for line in table if line.row == row), said


# -- what is printed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for row, entry in ZOO.items() if len(entry[3]) == 3])
def test_printed_triples_agree(row: str) -> None:
    table, _, _, scores = ZOO[row]
    check = check_harmonic(dict(zip(NAMES[table], scores, strict=True)))
    assert check is not None
    h, b, n = scores
    assert check.recomputed == pytest.approx(2 * b * n / (b + n), abs=1e-9)
    assert check.low == pytest.approx(2 * (b - 0.05) * (n - 0.05) / (b + n - 0.1), abs=1e-9)
    assert check.high == pytest.approx(2 * (b + 0.05) * (n + 0.05) / (b + n + 0.1), abs=1e-9)
    # Two of the ten print another last digit than the rounded parts give.
    off = ("nuscenes_b10n5", "scannet_inst_b10n7")
    assert check.verdict == ("rounding" if row in off else "exact")
    assert (check.note() == "") == (row not in off)


def test_the_line_that_rounds_otherwise_is_explained() -> None:
    check = check_harmonic({"hIoU": 49.0, "mIoU_base": 75.8, "mIoU_novel": 36.3})
    assert check is not None and check.verdict == "rounding"
    assert check.note() == (
        "hIoU is printed as 49.0, while 2BN/(B+N) of the printed parts 75.8 and 36.3 is 49.0908. Rounding explains it: "
        "the parts before rounding allow anything between 49.0346 and 49.1470, and 48.95 to 49.05 is printed like that."
    )


def test_a_wrong_harmonic_mean_is_flagged() -> None:
    check = check_harmonic({"hAP50": 36.0, "AP50_base": 62.5, "AP50_novel": 37.4})
    assert check is not None and check.verdict == "inconsistent"
    assert "Rounding does not explain it" in check.note()


def test_zeros_and_lines_without_a_harmonic_mean() -> None:
    assert check_harmonic({"mIoU": 56.9, "mAcc": 75.6}) is None
    check = check_harmonic({"hIoU": 0.0, "mIoU_base": 0.0, "mIoU_novel": 0.0})
    assert check is not None and check.verdict == "exact"


def test_the_order_is_the_zoos(repository: Path, tmp_path: Path) -> None:
    for settings in (zoo_settings(), load_params(repository / "params.yaml").tables()):
        settings = type(settings).parse(settings.canonical())
        lines = build_lines(settings, tmp_path, print)
        assert [line.row for table in lines.values() for line in table] == list(ZOO)


# -- comparability --------------------------------------------------------------------------------------------------


def metrics(**changes: Any) -> Metrics:
    return Metrics.model_validate(metrics_value("scannet_b15n4", dict(GOOD), **changes))


@pytest.mark.parametrize(
    ("changes", "reason", "shown"),
    [
        ({}, "synthetic data, scale small, simulated captioner", "synthetic"),
        ({"data": REAL}, None, ""),
        ({"data": REAL | {"scale": "small"}}, "scale small", "not comparable"),
        (
            {"data": REAL | {"captions": {"on": True, "captioners": ["kosmos-2", "simulated (window)"]}}},
            "simulated captioner",
            "not comparable",
        ),
        ({"data": REAL | {"captions": {"on": True, "captioners": []}}}, "unknown captioner", "not comparable"),
        # Captions that are switched off take no part; who would have written them does not matter.
        ({"data": REAL | {"captions": {"on": False, "captioners": ["simulated (window)"]}}}, None, ""),
        ({"data": REAL | {"distill": 1.0, "features": {"provider": "openscene"}}}, None, ""),
        (
            {"data": REAL | {"distill": 1.0, "features": {"provider": "simulated"}}},
            "simulated features",
            "not comparable",
        ),
        ({"data": REAL | {"distill": 1.0, "features": {}}}, "unknown features", "not comparable"),
        ({"data": REAL | {"source": "my-rooms"}}, "unknown data source 'my-rooms'", "not comparable"),
        ({"data": REAL, "overrides": {"seed": 3}}, None, ""),
        ({"data": REAL, "overrides": {"lr": 0.1, "seed": 3}}, "changed settings lr", "not comparable"),
    ],
)
def test_comparable(changes: dict[str, Any], reason: str | None, shown: str) -> None:
    assert comparable(metrics(**changes)) == reason
    assert mark(metrics(**changes)) == shown


def test_a_comparable_row(tmp_path: Path) -> None:
    write_result(tmp_path, "scannet_b15n4", {"hIoU": 68.93, "mIoU_base": 68.0, "mIoU_novel": 69.7}, data=REAL)
    line, said = one_line_of(tmp_path)
    assert [line.difference(name) for name in GOOD] == [-0.47, -0.2, -1.0]
    assert line.outside() == () and result_text(line) == "inside" and said == []


def test_outside_names_the_scores(tmp_path: Path) -> None:
    write_result(tmp_path, "scannet_b15n4", {"hIoU": 68.4, "mIoU_base": 69.21, "mIoU_novel": 69.69}, data=REAL)
    line, _ = one_line_of(tmp_path)
    assert line.outside() == ("mIoU_base", "mIoU_novel")
    assert result_text(line) == "outside: mIoU(B), mIoU(N)"


def test_a_synthetic_row_has_no_difference(tmp_path: Path) -> None:
    write_result(tmp_path, "scannet_b15n4", dict(GOOD))
    line, _ = one_line_of(tmp_path)
    for name in GOOD:
        assert line.difference(name) is None and line.rebuilt(name) is None and line.apart(name) is not None
    assert line.outside() is None
    assert result_text(line) == "not comparable: synthetic data, scale small, simulated captioner"


def test_only_the_published_protocol_is_compared(tmp_path: Path) -> None:
    other = {"other/1": GOOD}
    write_result(tmp_path, "scannet_b15n4", dict(GOOD), data=REAL, protocol={"id": "other/1"}, protocols=other)
    line, _ = one_line_of(tmp_path)
    assert line.scores == {} and line.outside() is None and line.difference("hIoU") is None
    assert result_text(line) == "not scored under regionplc-base/1"
    # Files of before `protocols`: the row's own protocol is all there is.
    write_result(tmp_path, "scannet_b15n4", dict(GOOD), data=REAL, protocols={})
    assert one_line_of(tmp_path)[0].difference("hIoU") == -0.4
    # The row's own protocol is another one, but it was scored under the published one too.
    both = {"other/1": {"hIoU": 1.0}, "regionplc-base/1": GOOD}
    write_result(tmp_path, "scannet_b15n4", {"hIoU": 1.0}, data=REAL, protocol={"id": "other/1"}, protocols=both)
    assert one_line_of(tmp_path)[0].difference("hIoU") == -0.4


def test_an_undefined_score_is_no_pass(tmp_path: Path) -> None:
    write_result(tmp_path, "scannet_b15n4", GOOD | {"mIoU_novel": None}, data=REAL)
    line, _ = one_line_of(tmp_path)
    assert line.difference("hIoU") == -0.4 and line.outside() is None
    assert result_text(line) == "not scored under regionplc-base/1: mIoU(N)"


# -- states ---------------------------------------------------------------------------------------------------------


def test_rows_that_are_not_there(tmp_path: Path) -> None:
    line, said = one_line_of(tmp_path)
    assert result_text(line) == "not built yet: snakemake --cores all results/scannet_b15n4/metrics.json"
    line, _ = one_line_of(tmp_path, "nuscenes_b10n5")
    assert result_text(line) == "not part of this version" and said == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"row": "scan', "not valid JSON"),
        ("", "not valid JSON"),
        ("[]", "dictionary"),
        ("null", "dictionary"),
        (b"\xff\xfe", "not valid JSON"),
        ("9" * 5000, "cannot be read"),
        ("[" * 100000, "recursion"),
        (json.dumps(metrics_value("scannet_b12n7", dict(GOOD))), "holds the row 'scannet_b12n7'"),
        (json.dumps(metrics_value("scannet_b15n4", {"hIoU": float("nan")})), "metrics: hIoU: "),
        (json.dumps(metrics_value("scannet_b15n4", {"hIoU": "69.0"})), "metrics: hIoU: "),  # type: ignore[dict-item]
        (json.dumps(metrics_value("scannet_b15n4", dict(GOOD)) | {"data": {"source": "scannet"}}), "data: scale: "),
    ],
    ids=range(11),
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str | bytes, reason: str) -> None:
    folder = write_result(tmp_path, "scannet_b15n4", dict(GOOD))
    (folder / "metrics.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    write_result(tmp_path, "scannet_b12n7", dict(GOOD), data=REAL)
    line, said = one_line_of(tmp_path)
    assert result_text(line) == "damaged: results/scannet_b15n4/metrics.json"
    assert len(said) == 1 and str(folder / "metrics.json") in said[0] and reason in said[0] and "\n" not in said[0]
    assert one_line_of(tmp_path, "scannet_b12n7")[0].state == "built"


def test_scores_of_the_originals_own_weights_stand_in_a_note(tmp_path: Path) -> None:
    write_result(tmp_path / "released", "scannet_b15n4", dict(GOOD))
    line, _ = one_line_of(tmp_path)
    told = "The original's own weights score hIoU 69.00, mIoU_base 68.00, mIoU_novel 70.00 here (not comparable: "
    assert line.state == "missing" and line.notes[0].startswith(told) and "synthetic data" in line.notes[0]
    write_result(tmp_path / "released", "scannet_b15n4", dict(GOOD), data=REAL)
    assert one_line_of(tmp_path)[0].notes == (f"{told.partition(' (not')[0]}.",)
    (tmp_path / "released" / "scannet_b15n4" / "metrics.json").write_text("{")
    line, said = one_line_of(tmp_path)
    assert len(said) == 1 and "released" in said[0] and line.state == "missing"


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "scannet_b15n4" / "metrics.json").mkdir(parents=True)
    line, said = one_line_of(tmp_path)
    assert line.state == "damaged" and len(said) == 1


# -- seeds ----------------------------------------------------------------------------------------------------------


def seeds(results: Path, values: dict[str, float], **changes: Any) -> None:
    for tag, value in values.items():
        run = f"scannet_b15n4{tag}"
        seed = int(tag[-1]) if tag else 0
        own = {"seed": seed, "overrides": {"seed": seed} if tag else {}, "data": REAL} | (changes if tag else {})
        write_result(results, run, {"hIoU": value, "mIoU_base": 68.2, "mIoU_novel": 70.7}, **own)


def test_mean_and_spread_over_seeds(tmp_path: Path) -> None:
    values = {"": 69.0, "+s1": 69.5, "+seed2": 70.3}
    seeds(tmp_path, values)
    line, _ = one_line_of(tmp_path)
    score = line.rebuilt("hIoU")
    assert score is not None and line.seeds == (0, 1, 2)
    assert score.mean == round(sum(values.values()) / 3, 2) == 69.6
    assert score.spread == round(statistics.stdev(values.values()), 2) == 0.66
    assert score.text() == "69.60 ± 0.66" and line.difference("hIoU") == 0.2
    assert line.rebuilt("mIoU_base").text() == "68.20 ± 0.00"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": REAL | {"scenes_manifest_sha256": "b" * 64}}, "its data, captions or text"),
        ({"data": REAL | {"scale": "small"}}, "its data, captions or text"),
        ({"data": REAL | {"captions": {"on": True, "captioners": ["blip"]}}}, "its data, captions or text"),
        ({"protocol": {"id": "other/1"}}, "other protocols"),
        ({"classes": {"set": "scannet200"}}, "other classes"),
        ({"seed": 0}, "seed 0 is there already"),
        ({"overrides": {"seed": 1, "lr": 0.1}}, None),
        ({"overrides": {}}, None),
    ],
)
def test_what_is_no_repeat(tmp_path: Path, changes: dict[str, Any], why: str | None) -> None:
    seeds(tmp_path, {"": 69.0, "+s1": 50.0}, **changes)
    line, said = one_line_of(tmp_path)
    assert line.seeds == (0,) and line.rebuilt("hIoU").text() == "69.00" and said == []  # type: ignore[union-attr]
    assert (why is None and line.notes == ()) or (why is not None and why in line.notes[0])


def test_a_repeat_of_older_settings_is_left_out(tmp_path: Path) -> None:
    seeds(tmp_path, {"": 69.0, "+s1": 50.0})
    for run, epochs in (("scannet_b15n4", 128), ("scannet_b15n4+s1", 64)):
        config = {"settings": {"row": run, "seed": len(run), "overrides": {}, "recipe": {"epochs": epochs}}}
        (tmp_path / run / "config.json").write_text(json.dumps(config))
    line, _ = one_line_of(tmp_path)
    assert line.seeds == (0,) and "its training settings" in line.notes[0]
    (tmp_path / "scannet_b15n4+s1" / "config.json").write_text(json.dumps(config).replace("64", "128"))
    assert one_line_of(tmp_path)[0].seeds == (0, 1)


def test_a_damaged_repeat_leaves_the_others(tmp_path: Path) -> None:
    seeds(tmp_path, {"": 69.0, "+s1": 69.4, "+s2": 1.0})
    (tmp_path / "scannet_b15n4+s2" / "metrics.json").write_text("{")
    line, said = one_line_of(tmp_path)
    assert line.seeds == (0, 1) and len(said) == 1 and "scannet_b15n4+s2" in said[0] and "+s2" in line.notes[0]


def test_other_rows_with_a_like_name_are_no_repeats(tmp_path: Path) -> None:
    seeds(tmp_path, {"": 69.0})
    write_result(tmp_path, "scannet_b15n4_nocaption+s1", dict(GOOD), data=REAL, seed=1, overrides={"seed": 1})
    assert one_line_of(tmp_path)[0].seeds == (0,)


def test_hours_are_the_mean_of_the_runs(tmp_path: Path) -> None:
    seeds(tmp_path, {"": 69.0})
    cost = {"train_hours": 2.0, "device": "NVIDIA H100"}
    seeds(tmp_path, {"+s1": 69.0}, cost=cost)
    line, _ = one_line_of(tmp_path)
    assert line.hours("train_hours") == pytest.approx((0.1432 + 2) / 2)
    assert line.hours("predict_hours") is None
