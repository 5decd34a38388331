"""Dense CLIP features on small random models, against open_clip's own layers and slow loops."""

import json

import numpy as np
import pytest
from PIL import Image
from raw_scene import truncate
from tiny_clip import DIMENSION, config, save_tiny_clip

from regionzoo.artifacts import sha256_file
from regionzoo.errors import UserError
from regionzoo.features.clip_dense import DenseClip, DenseClipSettings

open_clip = pytest.importorskip("open_clip")
torch = pytest.importorskip("torch")

PATCH, GRID, WIDTH = 16, 4, 128
NORMALISED = (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clip")


@pytest.fixture(scope="module")
def spec(folder):
    return save_tiny_clip(folder, "dense-16")


@pytest.fixture(scope="module")
def dense(spec):
    return DenseClipSettings(spec).make()


def picture(height, width, seed=0):
    """Smooth colours, so that resizing matters little."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def library_model(folder, name):
    model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=str(folder / f"{name}.safetensors"))
    return model.eval(), preprocess


def last_block_by_hand(visual, x):
    """float64 loops over patches: layer norm, values, output projection, layer norm, projection, unit length."""
    last = visual.transformer.resblocks[-1]

    def numbers(tensor):
        return tensor.detach().double().numpy()

    def layer_norm(vector, layer):
        centred = vector - vector.mean()
        return centred / np.sqrt((centred**2).mean() + layer.eps) * numbers(layer.weight) + numbers(layer.bias)

    rows = []
    for token in numbers(x[0, 1:]):
        y = layer_norm(token, last.ln_1)
        value = numbers(last.attn.in_proj_weight)[2 * WIDTH :] @ y + numbers(last.attn.in_proj_bias)[2 * WIDTH :]
        out = numbers(last.attn.out_proj.weight) @ value + numbers(last.attn.out_proj.bias)
        feature = layer_norm(out, visual.ln_post) @ numbers(visual.proj)
        rows.append(feature / np.sqrt((feature**2).sum()))
    return np.array(rows)


def test_square_image_against_loops_and_the_library(folder, dense):
    """open_clip's own preprocessing, embedding and blocks up to the last; then the loops."""
    image = picture(GRID * PATCH, GRID * PATCH)
    model, preprocess = library_model(folder, "dense-16")
    with torch.inference_mode():
        pixels = preprocess(Image.fromarray(image))[None]
        before = model.visual.forward_intermediates(
            pixels, indices=[1], intermediates_only=True, output_fmt="NLC", output_extra_tokens=True
        )
        x = torch.cat([before["image_intermediates_prefix"][0], before["image_intermediates"][0]], dim=1)
        expected = last_block_by_hand(model.visual, x)
        # A second oracle: the library's attention, in which each token may look at itself alone.
        last = model.visual.transformer.resblocks[-1]
        alone = torch.full((x.shape[1], x.shape[1]), -torch.inf).fill_diagonal_(0)
        mixed = last.attn(*[last.ln_1(x)] * 3, attn_mask=alone, need_weights=False)[0]
        second = torch.nn.functional.normalize(model.visual.ln_post(mixed) @ model.visual.proj, dim=-1)[0, 1:]
    found = dense.describe_image(image)
    assert (found.shape, found.dtype) == ((GRID, GRID, DIMENSION), np.float32)
    np.testing.assert_allclose(found.reshape(-1, DIMENSION), expected, atol=2e-5)
    np.testing.assert_allclose(found.reshape(-1, DIMENSION), second.numpy(), atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, atol=1e-5)
    # Patches differ, and so would features with attention.
    assert np.abs(found - found[0, 0]).max() > 0.1


@pytest.mark.parametrize(
    ("size", "grid"),
    [((64, 64), (4, 4)), ((968, 1296), (4, 5)), ((480, 640), (4, 5)), ((200, 100), (8, 4)), ((30, 41), (4, 5))],
)
def test_grid(dense, size, grid):
    """The shorter side has the model's number of patches, the other the nearest whole number."""
    assert dense.describe_image(picture(*size)).shape == (*grid, DIMENSION)


def cubic(distance, a=-0.75):
    """Keys' kernel with the constant that torch uses."""
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def resample(length, size):
    """[size, length]: weights of a bicubic resampling along one axis, centres aligned, edges repeated."""
    weights = np.zeros((size, length))
    for row in range(size):
        position = (row + 0.5) * length / size - 0.5
        for source in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
            weights[row, min(max(source, 0), length - 1)] += cubic(position - source)
    return weights


def test_positions_of_a_wide_image(folder, dense):
    """A model whose own grid is the wide one, with positions resampled by hand, sees the same."""
    rows, columns = 4, 6
    visual = library_model(folder, "dense-16")[0].visual
    token, grid = np.split(visual.positional_embedding.detach().numpy(), [1])
    wide = np.einsum(
        "rs,ct,std->rcd", resample(GRID, rows), resample(GRID, columns), grid.reshape(GRID, GRID, -1).astype(float)
    )
    image = picture(rows * PATCH, columns * PATCH)
    with torch.inference_mode():
        visual.positional_embedding = torch.nn.Parameter(
            torch.from_numpy(np.concatenate([token, wide.reshape(rows * columns, -1)]).astype(np.float32))
        )
        mean, std = (torch.tensor(value)[:, None, None] for value in NORMALISED)
        x = visual._embeds(((torch.from_numpy(image.copy()).permute(2, 0, 1) / 255 - mean) / std)[None])
        for block in visual.transformer.resblocks[:-1]:
            x = block(x)
        expected = last_block_by_hand(visual, x)
    np.testing.assert_allclose(dense.describe_image(image).reshape(-1, DIMENSION), expected, atol=5e-5)


def test_a_uniform_image_is_uniform_without_positions(folder, dense):
    """Patches of one colour differ by their position alone."""
    gray = np.full((64, 96, 3), 120, np.uint8)
    with_positions = dense.describe_image(gray)
    assert np.abs(with_positions - with_positions[0, 0]).max() > 0.01

    def no_positions(model):
        model.visual.positional_embedding.zero_()

    found = DenseClip(save_tiny_clip(folder, "dense-flat", no_positions)).describe_image(gray)
    np.testing.assert_allclose(found, np.broadcast_to(found[0, 0], found.shape), atol=1e-5)


def test_identity_and_hash(folder, spec, dense):
    found = sha256_file(folder / "dense-16.safetensors")
    assert dense.dimension == DIMENSION
    assert dense.identity == {
        "provider": "open_clip",
        "model": "dense-16",
        "weights_sha256": found,
        "quick_gelu": False,
        "dense": "values of the last block (MaskCLIP)",
    }
    assert DenseClip(f"{spec}#sha256={found}").dimension == DIMENSION
    with pytest.raises(UserError, match=f"sha256 is {found}, expected {'0' * 64}"):
        DenseClip(f"{spec}#sha256={'0' * 64}")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layers": 2}, "not the weights of this model .*visual.transformer.resblocks.2"),
        ({"layers": 4}, "not the weights of this model .*visual.transformer.resblocks.3"),
        ({"width": 64}, "weights of another model"),
        ({"patch_size": 32}, "weights of another model"),
        ({"ls_init_value": 0.1}, "only models with CLIP's own ViT"),
        ({"layers": [1, 1, 1, 1]}, "only models with CLIP's own ViT"),
    ],
)
def test_another_model(folder, spec, changes, reason):
    (folder / "dense-other.json").write_text(json.dumps(config(**changes)))
    open_clip.add_model_config(folder / "dense-other.json")
    with pytest.raises(UserError, match=reason):
        DenseClip(spec.replace("dense-16/", "dense-other/"))


def test_what_is_not_there(folder, spec):
    with pytest.raises(UserError, match="open_clip has no model 'dense-17'"):
        DenseClip(spec.replace("dense-16/", "dense-17/"))
    with pytest.raises(UserError, match="no such weights file"):
        DenseClip("open_clip:dense-16//nowhere/w.safetensors")
    with pytest.raises(UserError, match="expected open_clip:<model>"):
        DenseClip("minilm")


def test_text_tower_alone_or_damaged(folder, spec):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "dense-16.safetensors")
    path = folder / "dense-text.safetensors"
    save_file({key: value for key, value in state.items() if not key.startswith("visual.")}, path)
    with pytest.raises(UserError, match="holds no image tower"):
        DenseClip(f"open_clip:dense-16/{path}")
    truncate(path, 0.5)
    with pytest.raises(UserError, match="damaged"):
        DenseClip(f"open_clip:dense-16/{path}")
