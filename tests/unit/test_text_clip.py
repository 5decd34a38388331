"""CLIP's text tower through open_clip, on small random models saved to local files."""

import json

import numpy as np
import pytest
from safetensors.torch import save_file

from regionzoo.artifacts import sha256_file
from regionzoo.errors import UserError
from regionzoo.text import clip_weights
from regionzoo.text.encoders import make_encoder

open_clip = pytest.importorskip("open_clip")
torch = pytest.importorskip("torch")

STRINGS = ["sofa", "a brown couch", "two chairs", "a wooden desk with a monitor", "showercurtain"]
SMALL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Configurations small-16, its QuickGELU twin and small-32, and weights of the first."""
    folder = tmp_path_factory.mktemp("clip")
    configs = {
        "small-16": SMALL,
        "small-16-quickgelu": SMALL | {"quick_gelu": True},
        "small-32": SMALL | {"vision_cfg": SMALL["vision_cfg"] | {"patch_size": 32}},
        "small-wide": SMALL | {"text_cfg": SMALL["text_cfg"] | {"width": 64}},
        "small-deep": SMALL | {"text_cfg": SMALL["text_cfg"] | {"layers": 3}},
        "small-hf": SMALL | {"text_cfg": SMALL["text_cfg"] | {"hf_tokenizer_name": "bert-base-uncased"}},
    }
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / f"{name}.json")
    model = reference(folder)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "small.safetensors")
    return folder


def reference(folder, quick_gelu=False):
    torch.manual_seed(0)
    return open_clip.CLIP(**SMALL, quick_gelu=quick_gelu).eval()


def by_the_library(folder, strings, quick_gelu=False):
    """open_clip's own way, with the whole context of 77 tokens."""
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("small-16")(strings)
        return reference(folder, quick_gelu).encode_text(tokens, normalize=True).numpy()


def spec(folder, model="small-16", file="small.safetensors"):
    return f"open_clip:{model}/{folder / file}"


def test_local_file_equals_open_clip(folder):
    encoder = make_encoder(spec(folder))
    vectors = encoder.encode(STRINGS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, 24) == (5, encoder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors, by_the_library(folder, STRINGS), atol=2e-6)
    assert encoder.encode([]).shape == (0, 24)
    assert encoder.identity == spec(folder)
    assert encoder.facts == {
        "encoder": spec(folder),
        "weights_sha256": sha256_file(folder / "small.safetensors"),
        "quick_gelu": "false",
    }


def test_quick_gelu_is_a_matter_of_the_model(folder):
    encoder = make_encoder(spec(folder, "small-16-quickgelu"))
    assert encoder.facts["quick_gelu"] == "true"
    vectors = encoder.encode(STRINGS)
    np.testing.assert_allclose(vectors, by_the_library(folder, STRINGS, quick_gelu=True), atol=2e-6)
    assert np.abs(vectors - by_the_library(folder, STRINGS)).max() > 1e-4


def test_long_strings_are_cut_and_counted(folder):
    encoder = make_encoder(spec(folder))
    fits, cut = " ".join(["chair"] * 75), " ".join(["chair"] * 75 + ["toilet"] * 5)
    assert encoder.count_truncated([fits, cut, "sofa"]) == 1
    np.testing.assert_allclose(*encoder.encode([fits, cut]), atol=1e-6)
    np.testing.assert_allclose(encoder.encode([cut]), by_the_library(folder, [cut]), atol=2e-6)


def test_declared_hash_is_checked(folder):
    found = sha256_file(folder / "small.safetensors")
    assert make_encoder(f"{spec(folder)}#sha256={found}").dimension == 24
    with pytest.raises(UserError, match=f"sha256 is {found}, expected {'0' * 64}"):
        make_encoder(f"{spec(folder)}#sha256={'0' * 64}")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("small-32", "weights for patches of 16 pixels, the model has 32"),
        ("small-wide", "weights of another model"),
        ("small-deep", "first differing parameter: transformer.resblocks.2"),
        ("small-hf", "only models with CLIP's own tokenizer"),
        ("small-17", "open_clip has no model 'small-17'"),
    ],
)
def test_weights_of_another_model(folder, model, reason):
    with pytest.raises(UserError, match=reason):
        make_encoder(spec(folder, model))


def test_text_tower_alone_is_enough(folder):
    state = {key: value for key, value in reference(folder).state_dict().items() if not key.startswith("visual.")}
    save_file({key: value.half().contiguous() for key, value in state.items()}, folder / "half.safetensors")
    vectors = make_encoder(spec(folder, file="half.safetensors")).encode(STRINGS)
    np.testing.assert_allclose(vectors, by_the_library(folder, STRINGS), atol=5e-3)


def test_bad_files(folder):
    with pytest.raises(UserError, match="no such weights file"):
        make_encoder(spec(folder, file="absent.safetensors"))
    (folder / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged"):
        make_encoder(spec(folder, file="broken.safetensors"))
    torch.save({"a": torch.zeros(1)}, folder / "pickled.pt")
    with pytest.raises(UserError, match=r"convert it to \.safetensors"):
        make_encoder(spec(folder, file="pickled.pt"))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_openai_archive(folder, monkeypatch):
    """The way of OpenAI's .pt files: known by hash, TorchScript, three extra numbers, QuickGELU switched on."""
    module = torch.nn.Module()
    for key, value in reference(folder).state_dict().items():
        parent = module
        *path, leaf = key.split(".")
        for name in path:
            if not hasattr(parent, name):
                parent.add_module(name, torch.nn.Module())
            parent = getattr(parent, name)
        parent.register_buffer(leaf, value.half())
    for name in ("input_resolution", "context_length", "vocab_size"):
        module.register_buffer(name, torch.tensor(7))
    archive = folder / "ViT-B-16.pt"
    torch.jit.save(torch.jit.script(module), archive)
    with pytest.raises(UserError, match=r"neither a \.safetensors file nor OpenAI's"):
        make_encoder(spec(folder, file="ViT-B-16.pt"))
    monkeypatch.setitem(clip_weights.OPENAI_SHA256, "ViT-B-16.pt", sha256_file(archive))
    encoder = make_encoder(spec(folder, file="ViT-B-16.pt"))
    assert encoder.facts["quick_gelu"] == "true"
    np.testing.assert_allclose(encoder.encode(STRINGS), by_the_library(folder, STRINGS, quick_gelu=True), atol=5e-3)


def test_known_hashes_are_those_of_open_clip():
    for name, sha256 in clip_weights.OPENAI_SHA256.items():
        url = open_clip.pretrained.get_pretrained_cfg(name.removesuffix(".pt"), "openai")["url"]
        assert url.endswith(f"/{sha256}/{name}")


@pytest.mark.parametrize("bad", ["bert", "open_clip:", "open_clip:ViT-B-16", "open_clip:ViT-B-16/x#sha256=12"])
def test_specifications(bad):
    with pytest.raises(UserError, match=r"text encoder '.*': (unknown|expected)"):
        make_encoder(bad)


def test_parsing():
    assert clip_weights.parse_clip_spec("open_clip:ViT-B-16/openai") == ("ViT-B-16", "openai", None)
    parsed = clip_weights.parse_clip_spec(f"open_clip:ViT-B-16//data/w.pt#sha256={'a' * 64}")
    assert parsed == ("ViT-B-16", "/data/w.pt", "a" * 64)


def test_unknown_tag(folder):
    with pytest.raises(UserError, match="no such pretrained tag; tags of small-16: none"):
        make_encoder("open_clip:small-16/openai")


def test_tag_without_network(monkeypatch, tmp_path):
    """Weights that are neither cached nor to be had: one line that says what to fetch and how to use it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(UserError, match=r"fetch https://.*ViT-B-16\.pt elsewhere, then use open_clip:ViT-B-16//path"):
        make_encoder("open_clip:ViT-B-16/openai")
