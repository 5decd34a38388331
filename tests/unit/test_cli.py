"""The command line teaches, refuses in one line, and records overrides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from regionzoo.errors import UserError
from regionzoo.overrides import overridden
from regionzoo.report.check import check_files

COMMANDS = (
    "raw", "preprocess", "regions", "fuse", "features", "text", "train", "predict-scenes", "evaluate", "tables",
    "released", "predict", "query", "published-files", "fetch", "export-checkpoint",
    "rows", "run", "score", "plot", "check", "sens-export",
)  # fmt: skip


def regionzoo(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "regionzoo", *arguments], capture_output=True, text=True, cwd=cwd, env=environment
    )


def test_help_names_every_command_and_needs_no_torch() -> None:
    done = regionzoo("--help")
    assert done.returncode == 0
    assert all(f" {command} " in done.stdout for command in COMMANDS)
    probe = """
import sys
sys.argv = ["regionzoo", "--help"]
import regionzoo.cli
try:
    regionzoo.cli.main()
except SystemExit:
    assert "torch" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    done = regionzoo(command, "--help")
    assert done.returncode == 0 and "Usage" in done.stdout and len(done.stdout.splitlines()) > 8


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    done = regionzoo("text", "--settings", '{"datset": 1}', "--captions", "x", "--out", str(tmp_path / "t"))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: --settings: ") and len(done.stderr.splitlines()) == 1
    assert "did you mean 'dataset'?" in done.stderr


def test_rows_lists_the_row(repository: Path) -> None:
    done = regionzoo("rows", cwd=repository)
    assert done.returncode == 0 and "scannet_b15n4" in done.stdout


@pytest.fixture
def workspace(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text((repository / "params.yaml").read_text())
    folder = tmp_path / "data" / "scannet"
    (folder / "scenes").mkdir(parents=True)
    (folder / "captions" / "detic-template_and_kosmos_iou20").mkdir(parents=True)
    (folder / "features" / "none").mkdir(parents=True)
    (folder / "text").mkdir()
    (folder / "text" / "detic-template_and_kosmos_iou20_clip-b16.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_overrides_are_typed_and_recorded(workspace: Path) -> None:
    one = overridden(Path("params.yaml"), "scannet_b15n4", "lr", ["lr=1e-3", "caption.novel_grad_only=false", "seed=3"])
    assert one.train.lr == 1e-3 and one.train.caption.novel_grad_only is False and one.train.seed == 3
    assert one.train.row == one.predict.row == one.evaluate.row == "scannet_b15n4+lr"
    assert one.train.overrides == {"lr": 1e-3, "caption.novel_grad_only": False, "seed": 3}
    assert one.inputs.scenes == Path("data/scannet/scenes")


@pytest.mark.parametrize(
    ("row", "tag", "change", "message"),
    [
        ("scannet_b15n4", "x", "recipe.epohcs=1", "did you mean 'recipe.epochs'?"),
        ("scannet_b15n4", "x", "lr=fast", "lr: input should be a valid number"),
        ("scannet_b15n4", "x", "lr", "expected KEY=VALUE"),
        ("scannet_b15n4", "x", "dataset=other", "no such setting"),
        ("scannet_b15n4", "a/b", "seed=1", "use letters"),
        ("scannet_b15n", "x", "seed=1", "did you mean 'scannet_b15n4"),
    ],
)
def test_bad_overrides(workspace: Path, row: str, tag: str, change: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        overridden(Path("params.yaml"), row, tag, [change])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_overrides_need_built_inputs(workspace: Path) -> None:
    (workspace / "data" / "scannet" / "text" / "detic-template_and_kosmos_iou20_clip-b16.safetensors").unlink()
    with pytest.raises(UserError, match="not built yet; first run: snakemake"):
        overridden(Path("params.yaml"), "scannet_b15n4", "x", [])


def test_check_compares_only_like_with_like(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promise = {"r": {"source": "synthetic-rooms", "scale": "small", "metrics": {"hIoU": [40.0, 60.0]}}}
    (tmp_path / "expected.yaml").write_text(yaml.safe_dump(promise))
    result = {"row": "r", "data": {"source": "synthetic-rooms", "scale": "small"}, "metrics": {"hIoU": 50.0}}
    path = tmp_path / "metrics.json"

    def outcome(**changes: object) -> bool:

        path.write_text(json.dumps(result | changes))
        return check_files([path], tmp_path / "expected.yaml")

    assert outcome()
    assert not outcome(metrics={"hIoU": 39.9})
    assert not outcome(data={"source": "scannet", "scale": "paper"})
    assert outcome(row="r+seed1", overrides={"seed": 1}, metrics={"hIoU": 0.0})
    with pytest.raises(UserError, match="nothing is promised for row q"):
        outcome(row="q")
