"""Where a model's files come from: refused pickles, absent models, and the hub's real client with a hub made here."""

import json
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_hub import find_model_from, serving

from regionzoo.captions.models.files import find_model
from regionzoo.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """A model's folder with one weights file."""
    folder = tmp_path / "blip-large"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "blip"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "preprocessor_config.json").write_text("{}")
    save_file({"weight": torch.ones(3)}, folder / "model.safetensors")
    return folder


def find(folder, model_type="blip"):
    return find_model(str(folder), model_type, "blip")


def test_a_folder(folder):
    files = find(folder)
    assert (files.name, files.folder) == ("blip-large", folder)
    assert list(files.sha256) == ["model.safetensors"]
    assert len(files.sha256["model.safetensors"]) == 64


def test_the_fingerprint_is_of_the_content(folder, tmp_path):
    before = find(folder).fingerprint
    moved = folder.rename(tmp_path / "elsewhere")
    assert find(moved).fingerprint == before
    (moved / "README.md").write_text("hello")
    assert find(moved).fingerprint == before
    (moved / "tokenizer.json").write_text('{"version": "2"}')
    assert find(moved).fingerprint != before
    (moved / "tokenizer.json").write_text("{}")
    save_file({"weight": torch.zeros(3)}, moved / "model.safetensors")
    assert find(moved).fingerprint != before


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.ckpt"])
def test_pickled_weights_are_refused(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(UserError, match=rf"are pickled \({name}\).* refused; convert them to model\.safetensors"):
        find(folder)


def test_pickled_weights_beside_safe_ones_are_not_used(folder):
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert [path.name for path in find(folder).weights] == ["model.safetensors"]


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors in .*blip-large"):
        find(folder)


def test_shards(folder):
    for number in (1, 2):
        save_file({f"weight{number}": torch.ones(3)}, folder / f"part-{number}.safetensors")
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"weight2": "part-2.safetensors", "weight1": "part-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert list(find(folder).sha256) == ["part-1.safetensors", "part-2.safetensors"]
    (folder / "part-2.safetensors").unlink()
    with pytest.raises(UserError, match=r"part-2\.safetensors is missing; fetch the model again"):
        find(folder)
    for bad in ("../elsewhere.safetensors", "part-1.bin"):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"weight1": bad}}))
        with pytest.raises(UserError, match="expected safetensors files beside it"):
            find(folder)
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(UserError, match="is no index of weights"):
        find(folder)


def test_another_model(folder):
    with pytest.raises(UserError, match=r"config\.json says model type 'blip', this captioner needs 'owlv2'"):
        find(folder, "owlv2")
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is no valid JSON"):
        find(folder)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json is missing"):
        find(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor_config.json"])
def test_parts_that_transformers_would_make_up(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=r"no (tokenizer|preprocessor) in .*blip-large .*fetch the whole model"):
        find(folder)


ABSENT = ["/nowhere/blip", "./blip", "blip", "models/large/blip", "~/no-such-blip", "owner/", "a/b@"]


@pytest.mark.parametrize("spec", ABSENT)
def test_no_such_folder(spec):
    with pytest.raises(UserError, match="no such folder, and no name like owner/model on the hub"):
        find(spec)


def test_offline():
    """The tests run with HF_HUB_OFFLINE."""
    with pytest.raises(UserError) as caught:
        find_model("microsoft/kosmos-2-patch14-224", "kosmos-2", "kosmos2")
    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith("captioner kosmos2: model 'microsoft/kosmos-2-patch14-224': neither a folder here nor")
    assert "hf download microsoft/kosmos-2-patch14-224 --include '*.json'" in told
    assert "--local-dir kosmos-2-patch14-224 (older clients: huggingface-cli download)" in told
    assert told.endswith("then set model to that folder")


def test_the_hub(folder, tmp_path):
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with serving("owner/blip-large", folder) as (address, asked):
        fetched = find_model_from(address, tmp_path / "cache", "owner/blip-large").split()
        assert "neither a folder here nor a model on the hub" in find_model_from(address, tmp_path / "cache", "a/b")
    assert fetched[1] == "owner/blip-large"
    assert not any(path.endswith(".bin") for path in asked)
    assert find(fetched[0]).fingerprint == find(folder).fingerprint
    # The hub is gone: what was fetched is used, and what was not is told about.
    assert find_model_from(address, tmp_path / "cache", "owner/blip-large").split() == fetched
    told = find_model_from(address, tmp_path / "cache", "owner/blip-base@refs/pr/3")
    assert "the hub cannot be reached (Connect" in told
    assert "hf download owner/blip-base --revision refs/pr/3 --include" in told


def test_the_command_that_converts_pickled_weights(folder, repository):
    (command,) = re.findall(
        r'^    python -c "(.*)"$', (repository / "docs" / "captioners.md").read_text(), re.MULTILINE
    )
    tied = torch.arange(6.0).reshape(2, 3)
    state = {"embeddings": tied, "head": tied, "turned": torch.arange(6.0).reshape(2, 3).T}
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    subprocess.run([sys.executable, "-c", command], cwd=folder, check=True)
    converted = load_file(find(folder).weights[0])
    assert set(converted) == set(state)
    assert all(torch.equal(converted[name], state[name]) for name in state)
