"""Bad settings and bad data end in one line and a non-zero exit, and need no cleaning up."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import ROW, Project


def test_misspelt_key(copy: Project) -> None:
    path = copy.folder / "params.yaml"
    text = path.read_text()
    path.write_text(text.replace("  ratio: ", "  ratoi: ").replace("ratio: 0.2", "ratoi: 0.2", 1))
    done = copy.snakemake(ROW)
    assert done.code != 0
    lines = [line for line in done.text.splitlines() if "ratoi" in line]
    assert len(lines) == 1 and "unknown key; did you mean 'ratio'?" in lines[0]
    assert "Traceback" not in done.text
    path.write_text(text)
    assert copy.snakemake(ROW).nothing


def test_absent_root(copy: Project) -> None:
    copy.set("data.scannet.root", "/nowhere/scannet")
    copy.set("scale", "small")
    done = copy.snakemake(ROW)
    assert done.code != 0
    lines = {line for line in done.text.splitlines() if line.startswith("error:")}
    assert len(lines) == 1 and "no such folder /nowhere/scannet" in lines.pop()
    assert "Traceback" not in done.text
    copy.set("data.scannet.root", None)
    copy.set("scale", "auto")
    assert copy.snakemake("data/scannet/raw.manifest.json").code == 0
    assert copy.snakemake("-n", ROW).nothing


def test_broken_scan_is_named_and_the_others_are_kept(copy: Project, tmp_path: Path) -> None:
    root = copy.folder / "data" / "scannet" / "synthetic"
    root = root.rename(tmp_path / "real")
    copy.set("data.scannet.root", str(root))
    copy.set("scale", "small")
    scene = sorted((root / "scans").iterdir())[1]
    mesh = scene / f"{scene.name}_vh_clean_2.ply"
    whole = mesh.read_bytes()
    mesh.write_bytes(whole[: len(whole) // 2])
    done = copy.snakemake(ROW)
    assert done.code != 0 and "Traceback" not in done.text
    told = {line for line in done.text.splitlines() if scene.name in line and mesh.name in line}
    assert len(told) == 1, told
    assert "1 of 5 scenes failed" in done.text
    # The others wait outside the declared outputs, nothing half-made is there.
    kept = {path.stem for path in (copy.folder / "runs").rglob("*.safetensors")}
    assert len(kept) == 4 and scene.name not in kept
    assert not (copy.folder / "data" / "scannet" / "scenes" / f"{scene.name}.safetensors").exists()
    mesh.write_bytes(whole)
    again = copy.snakemake("data/scannet/scenes.manifest.json")
    assert again.code == 0, again.text[-3000:]
    assert not list((copy.folder / "runs").rglob("*.safetensors"))


@pytest.mark.parametrize("value", [float("nan"), "0.004"])
def test_numbers_that_are_none(copy: Project, value: object) -> None:
    copy.set("rows.scannet_b15n4.train.lr", value)
    done = copy.snakemake("-n", ROW)
    assert done.code != 0 and "rows.scannet_b15n4.train.lr" in done.text
