"""A small random CLIP model, known to open_clip in this process and saved to a local file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VISION = {"image_size": 64, "layers": 3, "width": 128, "patch_size": 16}
DIMENSION = 24


def config(**changes: Any) -> dict[str, Any]:
    """An open_clip configuration; ``changes`` go to its image side."""
    return {"embed_dim": DIMENSION, "vision_cfg": VISION | changes, "text_cfg": TEXT}


def save_tiny_clip(folder: Path, name: str, change: Any = None, **changes: Any) -> str:
    """Write configuration and weights of model ``name`` and return its specification.

    ``change`` may edit the model before it is saved.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    (folder / f"{name}.json").write_text(json.dumps(config(**changes)))
    open_clip.add_model_config(folder / f"{name}.json")
    torch.manual_seed(0)
    model = open_clip.CLIP(**config(**changes))
    with torch.no_grad():
        # Larger than the initial values, so that every part of the network shows in the result.
        model.visual.positional_embedding.normal_(std=0.5)
        for block in model.visual.transformer.resblocks:
            block.attn.in_proj_bias.normal_(std=0.3)
            block.attn.out_proj.bias.normal_(std=0.3)
        model.visual.ln_post.bias.normal_(std=0.3)
        if change is not None:
            change(model)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / f"{name}.safetensors")
    return f"open_clip:{name}/{folder / name}.safetensors"
