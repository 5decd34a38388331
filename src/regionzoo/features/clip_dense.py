"""A CLIP vector for each patch of an image, by the image towers (ViT) of open_clip as MaskCLIP uses them (Zhou 2022).

In the last block attention would mix the patches into the class token; here each patch keeps its own value vector, sent
through the output projection, the final layer norm and the projection into the space of the texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from regionzoo.artifacts import sha256_file
from regionzoo.errors import UserError
from regionzoo.features.provider import FeatureMap
from regionzoo.text.clip import PLAIN_MODEL
from regionzoo.text.clip_weights import find_weights, is_openai, load_exactly, parse_clip_spec, read_weights

if TYPE_CHECKING:
    import torch
    from open_clip.transformer import VisionTransformer

    from regionzoo.scenes.frames import Frame

PLAIN_VISION = frozenset({"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"})
"""Keys of an open_clip configuration whose image side is CLIP's own ViT."""

TOKEN_TEXT = {"context_length": 4, "vocab_size": 4, "width": 64, "heads": 1, "layers": 1}


@dataclass(frozen=True)
class DenseClipSettings:
    """spec: ``open_clip:<model>/<tag or file>[#sha256=<hex>]``. threads: of torch, 0 = its default."""

    spec: str
    threads: int = 0

    def make(self) -> DenseClip:
        """The loaded model."""
        if self.threads:
            import torch

            torch.set_num_threads(self.threads)
        return DenseClip(self.spec)


class DenseClip:
    """The image tower of a CLIP model of open_clip, float32, on the CPU.

    An image is resized (bicubic) to the model's size along its shorter side and to the nearest whole number of patches
    along the other; position embeddings are interpolated (bicubic) to that grid. QuickGELU is switched on as for the
    text tower (:class:`regionzoo.text.clip.OpenClip`).

    Raises :class:`UserError` for models that are no plain ViT and for weights that are absent, of another hash or of
    another model.
    """

    def __init__(self, spec: str) -> None:
        model, weights, sha256 = parse_clip_spec(spec)

        import open_clip
        from open_clip.pretrained import get_pretrained_cfg

        config = open_clip.get_model_config(model)
        if config is None:
            raise UserError(f"dense features '{spec}': open_clip has no model '{model}'; see open_clip.list_models()")
        vision = config["vision_cfg"]
        plain = not set(vision) - PLAIN_VISION and not set(config) - PLAIN_MODEL and "siglip" not in model.lower()
        if not plain or not all(isinstance(vision[key], int) for key in ("layers", "image_size", "patch_size")):
            raise UserError(
                f"dense features '{spec}': only models with CLIP's own ViT as image tower are supported, such as "
                "ViT-B-16"
            )
        path, tag_quick_gelu = find_weights(spec, model, weights)
        found = sha256_file(path)
        if sha256 is not None and found != sha256:
            raise UserError(
                f"{path}: sha256 is {found}, expected {sha256}; fetch the weights again or correct the hash"
            )
        quick_gelu = bool(config.get("quick_gelu", False) or tag_quick_gelu or is_openai(found))
        self.dimension: int = config["embed_dim"]
        self.identity: dict[str, Any] = {
            "provider": "open_clip",
            "model": model,
            "weights_sha256": found,
            "quick_gelu": quick_gelu,
            "dense": "values of the last block (MaskCLIP)",
        }
        # A file of weights does not tell how images were normalised; the tags of open_clip do.
        tag = get_pretrained_cfg(model, weights) or {}
        self._mean = np.float32(tag.get("mean", open_clip.OPENAI_DATASET_MEAN))
        self._std = np.float32(tag.get("std", open_clip.OPENAI_DATASET_STD))
        self._patch: int = vision["patch_size"]
        self._grid: int = vision["image_size"] // self._patch
        # Texts are never encoded here: a token text tower saves the time that the real one takes to build.
        clip = open_clip.CLIP(self.dimension, vision, TOKEN_TEXT, quick_gelu=quick_gelu)
        self._visual = _load_image_tower(clip.visual, path, found).eval()

    def describe(self, frame: Frame) -> FeatureMap:
        """A vector for each patch of the colour image."""
        return FeatureMap.dense(self.describe_image(frame.load_color()))

    def describe_image(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3], RGB -> float32 [h, w, D], vectors of length 1; h x w patches cover the image."""
        import torch

        height, width = image.shape[:2]
        scale = self._grid / min(height, width)
        rows, columns = max(self._grid, round(height * scale)), max(self._grid, round(width * scale))
        small = Image.fromarray(image).resize(
            (columns * self._patch, rows * self._patch), resample=Image.Resampling.BICUBIC
        )
        pixels = (np.asarray(small, np.float32) / 255 - self._mean) / self._std
        with torch.inference_mode():
            feats = self._patches(torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()), rows, columns)
        return feats.reshape(rows, columns, self.dimension).numpy()

    def _patches(self, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """float32 [1, 3, H, W] -> [rows * columns, D]."""
        import torch
        from torch.nn.functional import linear, normalize

        visual = self._visual
        x = visual.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(1, 1, -1), x], dim=1)
        x = visual.ln_pre(x + self._positions(rows, columns))
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            x = block(x)
        x = last.ln_1(x[0, 1:])
        width = x.shape[1]
        # The rows of queries, keys and values are stacked in this order.
        values = linear(x, last.attn.in_proj_weight[2 * width :], last.attn.in_proj_bias[2 * width :])
        return normalize(visual.ln_post(last.attn.out_proj(values)) @ visual.proj, dim=1)

    def _positions(self, rows: int, columns: int) -> torch.Tensor:
        """[1 + rows * columns, width]: position embeddings of the class token and of a grid of patches."""
        import torch
        from torch.nn.functional import interpolate

        token, grid = self._visual.positional_embedding[:1], self._visual.positional_embedding[1:]
        if (rows, columns) != (self._grid, self._grid):
            square = grid.reshape(1, self._grid, self._grid, -1).permute(0, 3, 1, 2)
            square = interpolate(square, (rows, columns), mode="bicubic", align_corners=False)
            grid = square.permute(0, 2, 3, 1).flatten(0, 2)
        return torch.cat([token, grid])


def _load_image_tower(visual: VisionTransformer, path: Path, sha256: str) -> VisionTransformer:
    """Copy the image side of a state dict; every parameter must be there and none be left over."""
    state = {
        key.removeprefix("visual."): value
        for key, value in read_weights(path, sha256).items()
        if key.startswith("visual.")
    }
    if not state:
        raise UserError(f"{path}: holds no image tower (no parameter visual.*); use weights of the whole model")
    load_exactly(visual, state, path, "visual.")
    return visual
