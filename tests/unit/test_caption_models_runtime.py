"""Batches that shrink when memory is short, with the errors that torch raises, and the device that is taken."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_captioners import BLUE, RED, SENTENCES, Still, picture, saved

from regionzoo.captions.models.image_captions import ImageCaptionSettings
from regionzoo.captions.models.runtime import Batches, ModelRuntime
from regionzoo.captions.models.sentences import FRAME_SEARCH, SentenceModelSettings
from regionzoo.errors import UserError


def full_of(limit, seen, error=None):
    """Doubles its items, as long as they are no more than ``limit``."""

    def call(part):
        seen.append(len(part))
        if len(part) > limit:
            raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")
        return [2 * item for item in part]

    return call


@pytest.mark.parametrize(
    ("size", "limit", "calls"),
    [
        (4, 9, [4, 4, 3]),
        (8, 4, [8, 4, 4, 3]),
        (8, 3, [8, 4, 2, 2, 2, 2, 2, 1]),
        (50, 1, [11, 5, 2, *[1] * 11]),
    ],
)
def test_halved_until_it_fits_and_kept_so(size, limit, calls):
    seen = []
    assert Batches(size).run(full_of(limit, seen), range(11)) == [2 * item for item in range(11)]
    assert seen == calls


def test_the_smaller_size_is_kept_for_later_runs():
    batches, seen = Batches(8), []
    batches.run(full_of(4, seen), range(8))
    batches.run(full_of(4, seen), range(8))
    assert (seen, batches.size) == ([8, 4, 4, 4, 4], 4)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_other_words_for_it(error):
    assert Batches(4).run(full_of(2, [], error), range(4)) == [0, 2, 4, 6]


def test_a_real_allocation_that_fails():
    def call(part):
        torch.empty(10**15 if len(part) > 2 else 1, dtype=torch.float64)
        return list(part)

    assert Batches(7).run(call, range(9)) == list(range(9))


def test_one_item_that_does_not_fit():
    with pytest.raises(UserError, match="out of memory with one image"):
        Batches(4).run(full_of(0, []), range(4))


def test_other_errors_are_not_hidden():
    with pytest.raises(RuntimeError, match="shapes"):
        Batches(4).run(full_of(2, [], RuntimeError("shapes cannot be multiplied")), range(4))


def test_nothing_to_do():
    assert Batches(4).run(full_of(0, []), []) == []


def test_a_captioner_goes_on_with_smaller_batches():
    settings = ImageCaptionSettings(SentenceModelSettings("blip", saved("blip"), FRAME_SEARCH), "frame")
    captioner = settings.make(ModelRuntime(batch_size=4))
    sizes = []

    def short_of_memory(module, arguments, named):
        sizes.append(len(named["pixel_values"]))
        if len(sizes) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    captioner._loaded.model.vision_model.register_forward_pre_hook(short_of_memory, with_kwargs=True)
    colors = [RED, BLUE, BLUE, RED, BLUE]
    frames = [Still(str(k), picture(color)) for k, color in enumerate(colors)]
    assert [regions[0].text for regions in captioner.describe_many(frames)] == [SENTENCES[color] for color in colors]
    assert sizes == [4, 2, 2, 1]
    assert (captioner.facts()["batch_size"], captioner.facts()["smallest_batch_size"]) == (4, 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu():
    assert ModelRuntime().torch_device().type == "cpu"
    assert ModelRuntime().float_name() == "float32"
    assert ModelRuntime(precision="float16").float_name() == "float16"
    with pytest.raises(UserError, match="torch finds no GPU"):
        ModelRuntime(device="cuda").torch_device()


def test_no_batch():
    with pytest.raises(UserError, match="batch_size is 0"):
        ModelRuntime(batch_size=0)


@pytest.mark.parametrize("damage", ["truncated", "missing parameter", "other shape", "tokenizer"])
def test_models_that_cannot_be_used(tmp_path, damage):
    folder = tmp_path / "blip"
    shutil.copytree(saved("blip"), folder)
    weights = folder / "model.safetensors"
    state = load_file(weights)
    key = "vision_model.encoder.layers.0.mlp.fc1.weight"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
        told = r"the model cannot be loaded \(.*\); fetch it again"
    elif damage == "missing parameter":
        del state[key]
        save_file(state, weights, {"format": "pt"})
        told = rf"weights of another model; .*: 1 \(first: {key}\)"
    elif damage == "other shape":
        config = json.loads((folder / "config.json").read_text())
        config["vision_config"]["intermediate_size"] *= 2
        (folder / "config.json").write_text(json.dumps(config))
        told = "blip: "
    else:
        (folder / "tokenizer.json").write_text("{")
        told = "no usable BlipProcessor"
    settings = ImageCaptionSettings(SentenceModelSettings("blip", str(folder), FRAME_SEARCH), "frame")
    with pytest.raises(UserError, match=told) as caught:
        settings.make().describe(Still("0", np.zeros((40, 50, 3), np.uint8)))
    assert "\n" not in str(caught.value)


def test_settings_cost_no_heavy_import():
    """Every stage that knows the captioners' settings starts with them."""
    script = (
        "import sys\nimport regionzoo.captions.models.build, regionzoo.captions.models.detected\n"
        "import regionzoo.captions.models.image_captions, regionzoo.captions.models.kosmos\n"
        "import regionzoo.captions.models.vocabulary\n"
        "print(*({'torch', 'torchvision', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
