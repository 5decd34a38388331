"""Names of parameters in checkpoints of the original's predecessors, which its loader can map to today's names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, get_args

Remap = Literal["3dlang", "no-adapter", "kd-adapter", "lai"]
"""Which predecessor: the original's switches REMAP_FROM_3DLANG, _NOADAPTER, _KDADAPTER and _LAI."""
REMAPS: tuple[Remap, ...] = get_args(Remap)

_THREE_D_LANG = {
    **{name: f"backbone_3d.{name}" for name in ("input_conv", "unet", "output_layer")},
    "semantic_linear": "task_head.cls_head",
    "blinear": "binary_head.binary_encoder",
    "blinear_outputlayer": "binary_head.binary_classifier",
    "blinear_final": "binary_head.binary_classifier.2",
    "adapter": "adapter.adapter",
    **{
        name: f"inst_head.{name}"
        for name in ("tiny_unet", "tiny_unet_outputlayer", "mask_linear", "iou_score_linear", "offset_linear")
    },
    "caption_logit_scale": "caption_head.caption_logit_scale",
}


def renamed(key: str, remap: Remap) -> str | None:
    """Today's name of a parameter; None if the original drops it."""
    first, _, rest = key.partition(".")
    if remap == "3dlang":
        now = _THREE_D_LANG.get(first)
        return now and (f"{now}.{rest}" if rest else now)
    if remap == "no-adapter":
        return re.sub(r"^task_head\.adapter\.", "adapter.adapter.", key)
    if remap == "kd-adapter":
        return re.sub(r"^kd_head\.kd_adapter\.[^.]+\.", "adapter.adapter.", key)
    key = re.sub(r"^module\.linear\.", "task_head.cls_head.", key)
    return re.sub(r"^module\.", "backbone_3d.", key)


def renamed_all(keys: Iterable[str], remap: Remap) -> dict[str, list[str]]:
    """For each of today's names the names in the file that become it: one, unless the file is not what it was taken
    for."""
    names: dict[str, list[str]] = {}
    for key in keys:
        now = renamed(key, remap)
        if now is not None:
            names.setdefault(now, []).append(key)
    return names
