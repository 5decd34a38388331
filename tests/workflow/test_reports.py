"""What people look at: `snakemake --report`, `dvc plots`, `dvc metrics`, `dvc params`, all without network."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from project import INSTANCE_ROW, KEPT, ROW, Done, Project

from regionzoo.report.picture_page import LOUD

NAME = "scannet_b15n4"
TRAINED = [row for row in KEPT if row != "scannet200_zs_openscene_unet32"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SYNTHETIC = "not comparable with published scores"

NO_NETWORK = ("unshare", "--map-root-user", "--net")
"""Where this is not permitted, the pages' own addresses are still looked at."""


def cut_off() -> bool:
    """Whether commands can be run without any network here."""
    return bool(shutil.which("unshare")) and subprocess.run([*NO_NETWORK, "true"], capture_output=True).returncode == 0


def offline(project: Project, *command: str) -> Done:
    """Run a command without network, as far as this machine permits; it has to succeed."""
    done = project.run(*(NO_NETWORK if cut_off() else ()), *command)
    assert done.code == 0, done.text[-3000:]
    return done


class Loads(HTMLParser):
    """Addresses that a browser would fetch for a page, those inside the page left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "data", "poster", *(("href",) if tag == "link" else ()))
        self.found += [value for name, value in attrs if name in names and value and not value.startswith("data:")]


def variable(page: str, name: str) -> Any:
    """What a page assigns to a variable, read as JSON."""
    return json.JSONDecoder().raw_decode(page, re.search(rf"var {name} = (?=[{{\[\"])", page).end())[0]


def charts(page: str) -> dict[str, dict[str, Any]]:
    """Charts of DVC's page by title; those without data, which DVC leaves empty, are left out."""
    starts = [found.end() for found in re.finditer(r"var spec = (?=\{)", page)]
    specs = [json.JSONDecoder().raw_decode(page, start)[0] for start in starts]
    return {spec["title"]["text"]: spec for spec in specs if spec}


def plots(project: Project, *command: str) -> str:
    """The page that `dvc plots` writes; nothing in it may come from elsewhere."""
    shutil.rmtree(project.folder / "dvc_plots", ignore_errors=True)
    offline(project, "dvc", "plots", *command)
    page = (project.folder / "dvc_plots" / "index.html").read_text()
    assert all((project.folder / "dvc_plots" / address).is_file() for address in Loads(page).found)
    return page


@pytest.fixture(scope="module")
def kept(recorded, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """All rows, built and committed, and then one row scored under another protocol."""
    project = recorded.project.copy(tmp_path_factory.mktemp("reports") / "regionzoo")
    project.set(f"rows.{NAME}.evaluate.protocol", "foreground-17/1")
    done = project.snakemake("tables")
    assert done.code == 0 and done.jobs == {"evaluate": 1, "tables": 1}, done.text[-3000:]
    project.commit("another protocol")
    return project


@pytest.fixture(scope="module")
def clone(kept: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """What somebody else gets from git alone: no weights, no data, nothing that git ignores."""
    return kept.clone(tmp_path_factory.mktemp("clone") / "regionzoo")


def test_a_clone_makes_the_report_without_network(clone: Project) -> None:
    done = offline(clone, "snakemake", "--report", "report.html")
    assert "Missing metadata" not in done.text
    path = clone.folder / "report.html"
    page = path.read_text()
    assert Loads(page).found == [] and not re.search(r"@import|url\(\s*['\"]?(https?:)?//", page.split("<script>")[0])
    assert 2e6 < path.stat().st_size < 8e6
    assert SYNTHETIC in variable(page, "workflow_desc")
    results = variable(page, "results")
    assert {"results/tables/semantic_base_annotated.html", "results/tables/instance.csv"} <= set(results)
    assert {f"results/tables/{NAME}_per_class.png", f"results/tables/{NAME}_history.png"} <= set(results)
    assert {"results/tables/instance.html", "results/tables/instance.png"} <= set(results)
    require_pictures(clone, results)
    files = {f"results/{row}/{name}" for row in KEPT for name in ("metrics.json", "per_class.csv")}
    assert files | {f"results/{row}/history.csv" for row in TRAINED} <= set(results)
    for path, entry in results.items():
        assert "synthetic scenes are not comparable" in entry["caption"], path
        tables = path.startswith(("results/tables/semantic_", "results/tables/instance."))
        assert tables or SYNTHETIC in entry["labels"]["data"], path
        assert "{" not in entry["caption"] and "system-message" not in entry["caption"], path
    categories = variable(page, "categories")
    assert set(categories) == {"Rows", "Tables"} and set(categories["Rows"]) == set(KEPT)
    # Seconds of the jobs come from Snakemake's records, which git holds.
    assert {entry["rule"] for entry in variable(page, "runtimes_spec")["data"]["values"]} >= {"train", "evaluate"}


def require_pictures(project: Project, results: dict[str, Any]) -> None:
    """The pictures of found instances are in the report as they were drawn, and say that the rooms are synthetic."""
    drawn = sorted((project.folder / "results" / INSTANCE_ROW / "instances").glob("*.png"))
    assert len(drawn) == 2
    for path in drawn:
        entry = results[f"results/tables/{INSTANCE_ROW}_instances_{path.name}"]
        assert base64.b64decode(entry["data_uri"].split("base64,")[1]) == path.read_bytes()
        assert path.stem in entry["labels"]["what"] and "its annotated instances" in entry["caption"]
        # Below the title a line in a colour that nothing else has.
        head = np.asarray(Image.open(path).convert("RGB"))[50:80]
        assert (head == LOUD).all(-1).sum() > 100


def test_one_built_row_is_reported_alone(copy: Project) -> None:
    offline(copy, "snakemake", "--report", "report.html", ROW)
    results = variable((copy.folder / "report.html").read_text(), "results")
    assert set(results) == {f"results/{NAME}/{name}" for name in ("metrics.json", "per_class.csv", "history.csv")}


def test_plots_hold_what_the_files_hold(kept: Project) -> None:
    page = plots(kept, "show")
    for table in ("semantic_base_annotated", "semantic_annotation_free", "instance"):
        assert any(f"{table}.png" in address for address in Loads(page).found)
    found = charts(page)
    assert set(found) == {f"{row}: score of each class" for row in KEPT} | {
        f"{row}: training losses and learning rate" for row in TRAINED
    }
    for title, spec in found.items():
        row = title.split(":")[0]
        name = "per_class.csv" if "class" in title else "history.csv"
        with open(kept.folder / "results" / row / name) as file:
            written = list(csv.DictReader(file))
        drawn = [{key: line[key] for key in written[0]} for line in spec["data"]["values"]]
        assert drawn == written and len(written) >= 1
        assert "synthetic scenes" in spec["title"]["subtitle"]


def test_plots_of_two_revisions_hold_both(kept: Project) -> None:
    found = charts(plots(kept, "diff", "HEAD~1", "HEAD"))
    spec = found[f"{NAME}: score of each class"]
    for revision in ("HEAD~1", "HEAD"):
        text = kept.run("git", "show", f"{revision}:results/{NAME}/per_class.csv").out
        written = list(csv.DictReader(text.splitlines()))
        lines = [line for line in spec["data"]["values"] if line["rev"] == revision]
        assert [{key: line[key] for key in written[0]} for line in lines] == written
    assert len({line["rev"] for line in spec["data"]["values"]}) == 2


def test_charts_are_really_drawn_and_tables_without_the_library(clone: Project) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no chromium here")
    library = clone.folder / ".dvc" / "tmp" / "vega.js"
    library.unlink(missing_ok=True)
    count = len(charts(plots(clone, "show")))
    page = (clone.folder / "dvc_plots" / "index.html").as_uri()
    look = (browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom", page)
    shown = offline(clone, *look).out
    assert shown.count("<table>") == count and "<canvas" not in shown and "wall" in shown
    offline(clone, "regionzoo", "plots-offline")
    shown = offline(clone, *look).out
    assert shown.count("<canvas") == count and "<table>" not in shown


def test_metrics_fit_on_a_screen_and_say_what_they_are(kept: Project) -> None:
    lines = offline(kept, "dvc", "metrics", "show").out.strip().splitlines()
    assert len(lines) == 1 + len(KEPT) and max(map(len, lines)) < 250
    for line in lines[1:]:
        assert SYNTHETIC in line and ("synthetic-streets" if "nuscenes" in line else "synthetic-rooms") in line
    shown = json.loads(offline(kept, "dvc", "metrics", "show", "--json").out)[""]["data"]
    for row in KEPT:
        full = json.loads((kept.folder / "results" / row / "metrics.json").read_text())
        scores = shown[f"results/{row}/scores.json"]["data"]
        own = {"hAP50", "AP50_base", "AP50_novel"} if row == INSTANCE_ROW else {"mIoU", "allAcc"}
        assert own | {"data", "protocol"} <= set(scores)
        assert scores.pop("data").startswith(full["data"]["source"])
        assert scores.pop("protocol") == full["protocol"]["id"]
        assert scores == {name: full["metrics"][name] for name in scores}


def test_differences_name_the_one_change(kept: Project) -> None:
    revisions = ("HEAD~1", "HEAD")
    params = json.loads(offline(kept, "dvc", "params", "diff", *revisions, "--json").out)
    assert params == {
        "params.yaml": {
            f"rows.{NAME}.evaluate.protocol": {"old": "regionplc-base/1", "new": "foreground-17/1"},
        }
    }
    metrics = json.loads(offline(kept, "dvc", "metrics", "diff", *revisions, "--json").out)
    assert set(metrics) == {f"results/{NAME}/scores.json"}
    change = metrics[f"results/{NAME}/scores.json"]
    assert change["protocol"] == {"old": "regionplc-base/1", "new": "foreground-17/1"}
    assert "mIoU" in change and "data" not in change


def test_nothing_built_is_no_error(tmp_path: Path) -> None:
    project = Project.new(tmp_path / "regionzoo")
    assert charts(plots(project, "show")) == {}
    assert offline(project, "dvc", "metrics", "show").code == 0
