"""The original's checkpoint layout from its pattern of names: an oracle that knows nothing of our modules."""

from __future__ import annotations

Shapes = dict[str, list[int]]


def norm(key: str, channels: int) -> Shapes:
    """A BatchNorm."""
    shapes: Shapes = {f"{key}.{part}": [channels] for part in ("weight", "bias", "running_mean", "running_var")}
    return shapes | {f"{key}.num_batches_tracked": []}


def block(key: str, a: int, b: int) -> Shapes:
    """A residual block a -> b; the skip has weights only if the widths differ."""
    skip: Shapes = {f"{key}.i_branch.0.weight": [b, 1, 1, 1, a]} if a != b else {}
    first = norm(f"{key}.conv_branch.0", a) | {f"{key}.conv_branch.2.weight": [b, 3, 3, 3, a]}
    return skip | first | norm(f"{key}.conv_branch.3", b) | {f"{key}.conv_branch.5.weight": [b, 3, 3, 3, b]}


def decoder(key: str, c: int, d: int) -> Shapes:
    """The way up of one level: inverse convolution d -> c and the blocks after the concatenation."""
    up = norm(f"{key}.deconv.0", d) | {f"{key}.deconv.2.weight": [c, 2, 2, 2, d]}
    return up | block(f"{key}.blocks_tail.block0", 2 * c, c) | block(f"{key}.blocks_tail.block1", c, c)


def unet(key: str, widths: tuple[int, ...], encoder: bool) -> Shapes:
    """A U-Net from one level down; without ``encoder`` only its way up (the binary head)."""
    c, deeper = widths[0], widths[1:]
    shapes: Shapes = {}
    if encoder:
        shapes |= block(f"{key}.blocks.block0", c, c) | block(f"{key}.blocks.block1", c, c)
    if not deeper:
        return shapes
    if encoder:
        shapes |= norm(f"{key}.conv.0", c) | {f"{key}.conv.2.weight": [deeper[0], 2, 2, 2, c]}
    return shapes | unet(f"{key}.u", deeper, encoder) | decoder(key, c, deeper[0])


def adapter(widths: tuple[int, ...], hidden: int, layers: int, last_norm: bool, dim: int = 512) -> Shapes:
    """The vision-language adapter."""
    key, c = "adapter.adapter", widths[0]
    shapes: Shapes = {}
    if layers == 2:
        shapes |= {f"{key}.0.weight": [hidden, c], f"{key}.0.bias": [hidden]} | norm(f"{key}.1", hidden)
        c, at = hidden, 3
    else:
        at = 0
    shapes |= {f"{key}.{at}.weight": [dim, c], f"{key}.{at}.bias": [dim]}
    return shapes | norm(f"{key}.{at + 1}", dim) if last_norm else shapes


def linear(key: str, out: int, inputs: int) -> Shapes:
    """A linear layer."""
    return {f"{key}.weight": [out, inputs], f"{key}.bias": [out]}


def instance_head(key: str, c: int) -> Shapes:
    """The head of the instance rows: offsets, a U-Net of two levels, masks and their quality."""
    shapes = linear(f"{key}offset_linear.0", c, c) | norm(f"{key}offset_linear.1", c)
    shapes |= linear(f"{key}offset_linear.3", 3, c)
    shapes |= unet(f"{key}tiny_unet", (c, 2 * c), encoder=True) | norm(f"{key}tiny_unet_outputlayer.0", c)
    shapes |= linear(f"{key}mask_linear.0", c, c) | linear(f"{key}mask_linear.2", 1, c)
    return shapes | linear(f"{key}iou_score_linear", 1, c)


def checkpoint(
    widths: tuple[int, ...],
    inputs: int,
    classes: int,
    binary: bool,
    hidden: int,
    layers: int,
    last_norm: bool,
    instances: bool = False,
) -> Shapes:
    """Every tensor of a row's checkpoint."""
    c = widths[0]
    shapes: Shapes = {"global_step": [1], "backbone_3d.input_conv.0.weight": [c, 3, 3, 3, inputs]}
    shapes |= unet("backbone_3d.unet", widths, encoder=True) | norm("backbone_3d.output_layer.0", c)
    shapes |= adapter(widths, hidden, layers, last_norm)
    if binary:
        shapes |= unet("binary_head.binary_encoder", widths, encoder=False)
        head = "binary_head.binary_classifier"
        shapes |= norm(f"{head}.0", c) | {f"{head}.2.weight": [1, c], f"{head}.2.bias": [1]}
    shapes |= {"task_head.cls_head.weight": [classes, 512], "caption_head.caption_logit_scale": []}
    return shapes | instance_head("inst_head.", c) if instances else shapes
