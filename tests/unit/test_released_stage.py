"""The stage that makes a row's weights of a published checkpoint, and the commands around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_clip
from released_files import small_state, write
from typer.testing import CliRunner

from regionzoo.artifacts import read_json, sha256_file
from regionzoo.cli import app
from regionzoo.config import Params, load_params
from regionzoo.errors import UserError
from regionzoo.released.lock import read_lock
from regionzoo.released.manifest import UNKNOWN
from regionzoo.settings.released import ReleasedFile, ReleasedSettings
from regionzoo.stages import released
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.encoders import make_encoder
from regionzoo.text.table import TextTable
from regionzoo.training.build import build_network
from regionzoo.training.checkpoint import stored_text

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(REPOSITORY / "params.yaml")


def narrow(params: Params, row: str, file: Path, **changes: object) -> ReleasedSettings:
    """What the workflow tells of a row, with two narrow levels."""
    told = params.released_weights(row)
    network = told.train.network.model_copy(update={"widths": (4, 6)})
    train = told.train.model_copy(update={"network": network})
    return told.model_copy(update={"train": train, "file": ReleasedFile(checkpoint=str(file)), **changes})


def checkpoint(settings: ReleasedSettings, path: Path) -> Path:
    """A file of the original for these settings, with random class vectors of the training's classes."""
    prompts = class_prompts(settings.train.classes.set, settings.train.template)
    vectors = np.random.default_rng(2).standard_normal((len(prompts), 512)).astype(np.float32)
    return write(path, build_network(settings.train, TextTable(tuple(prompts), vectors), "native").state_dict())


def test_the_published_size_is_asked_for_whatever_the_scale(params: Params) -> None:
    small, asked = params.train("scannet_b15n4"), params.released_weights("scannet_b15n4").train
    assert (small.scale, asked.scale, asked.network.widths[-1]) == ("small", "paper", 112)
    assert asked.source == small.source  # the scenes are what they are
    shared = params.released_weights("scannet200_zs_unet32")
    assert (shared.train.row, shared.train.classes.set, shared.classes.set) == (
        "scannet_zs_unet32",
        "scannet20",
        "scannet200",
    )


def test_own_vectors_of_a_checkpoint_are_kept(params: Params, tmp_path: Path) -> None:
    settings = narrow(params, "scannet_b15n4", tmp_path / "from.pth")
    checkpoint(settings, tmp_path / "from.pth")
    released.run(settings, tmp_path / "out", tmp_path / "kept", tmp_path / "lock.csv")
    config = read_json(tmp_path / "out" / "config.json")
    assert config["text"] == {"encoder": "class vectors of the checkpoint"}
    vectors = np.random.default_rng(2).standard_normal((20, 512)).astype(np.float32)
    np.testing.assert_array_equal(stored_text(tmp_path / "out" / "model.safetensors"), vectors)
    assert read_lock(tmp_path / "lock.csv")["scannet_b15n4"].sha256 == sha256_file(tmp_path / "from.pth")


def test_a_row_that_asks_for_other_classes_gets_vectors_of_its_encoder(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_clip, "DIMENSION", 512)
    encoder = tiny_clip.save_tiny_clip(tmp_path, "released-512")
    settings = narrow(params, "scannet200_zs_unet32", tmp_path / "from.pth", encoder=encoder)
    checkpoint(settings, tmp_path / "from.pth")
    released.run(settings, tmp_path / "out", tmp_path / "kept", tmp_path / "lock.csv")
    found = stored_text(tmp_path / "out" / "model.safetensors")
    prompts = class_prompts("scannet200", "identity")
    assert found.shape == (200, 512)
    np.testing.assert_allclose(found, make_encoder(encoder).encode(prompts), atol=1e-6)
    with pytest.raises(UserError, match="'minilm': its vectors have 384 numbers"):
        released.run(
            settings.model_copy(update={"encoder": "minilm"}),
            tmp_path / "other",
            tmp_path / "kept",
            tmp_path / "lock.csv",
        )
    assert not (tmp_path / "other").exists()


def test_a_file_that_cannot_be_read_is_not_remembered_as_the_published_one(params: Params, tmp_path: Path) -> None:
    settings = narrow(params, "scannet_b15n4", tmp_path / "from.pth")
    whole = checkpoint(settings, tmp_path / "from.pth").read_bytes()
    (tmp_path / "from.pth").write_bytes(whole[:-1000])
    with pytest.raises(UserError, match="truncated"):
        released.run(settings, tmp_path / "out", tmp_path / "kept", tmp_path / "lock.csv")
    assert not (tmp_path / "lock.csv").exists() and not (tmp_path / "kept" / "scannet_b15n4.pth").exists()
    (tmp_path / "from.pth").write_bytes(whole)
    released.run(settings, tmp_path / "out", tmp_path / "kept", tmp_path / "lock.csv")
    assert read_lock(tmp_path / "lock.csv").keys() == {"scannet_b15n4"}


def test_another_network_is_refused_and_leaves_nothing(params: Params, tmp_path: Path) -> None:
    settings = narrow(params, "scannet_b15n4", write(tmp_path / "from.pth", small_state()))
    with pytest.raises(UserError, match="not a checkpoint of this row"):
        released.run(settings, tmp_path / "out", tmp_path / "kept", tmp_path / "lock.csv")
    assert not (tmp_path / "out").exists()


def test_files_are_listed_fetched_and_listed_with_their_digest(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.pth", small_state())
    lock = ["--lock", str(tmp_path / "lock.csv")]
    before = CliRunner().invoke(app, ["published-files", *lock])
    assert UNKNOWN in before.output and "first taken here" not in before.output
    fetched = CliRunner().invoke(app, ["fetch", "scannet_b15n4", "--from", str(file), "--folder", str(tmp_path), *lock])
    assert fetched.exit_code == 0 and sha256_file(file) in fetched.output
    after = CliRunner().invoke(app, ["published-files", *lock])
    assert f"{sha256_file(file)[:12]}... (first taken here)" in after.output
