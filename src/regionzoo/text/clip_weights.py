"""Where the weights of a CLIP text tower come from, and how they are read without running foreign code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from regionzoo.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

OPENAI_SHA256 = {
    "ViT-B-16.pt": "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    "ViT-B-32.pt": "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
}
"""OpenAI's own archives, the weights of the original: the hash is part of each file's published address."""

FILE_SUFFIXES = (".safetensors", ".pt")


def parse_clip_spec(spec: str) -> tuple[str, str, str | None]:
    """``open_clip:<model>/<tag or file>[#sha256=<hex>]`` -> (model, tag or file, expected hash or None).

    The first slash ends the model, so an absolute path gives two: ``open_clip:ViT-B-16//weights/ViT-B-16.pt``.
    """
    match = re.fullmatch(r"open_clip:([^/#]+)/([^#]+)(?:#sha256=([0-9a-f]{64}))?", spec)
    if match is None:
        raise UserError(
            f"text encoder '{spec}': expected open_clip:<model>/<tag or weights file>, optionally followed by "
            "#sha256=<64 hex digits>"
        )
    return match[1], match[2], match[3]


def is_openai(sha256: str) -> bool:
    """Whether these are the bytes of one of OpenAI's archives."""
    return sha256 in OPENAI_SHA256.values()


def find_weights(spec: str, model: str, weights: str) -> tuple[Path, bool]:
    """(local file, whether its tag asks for QuickGELU), downloading a tag's weights if they are not cached.

    For the tag ``openai`` that is OpenAI's archive, kept in ``~/.cache/clip`` as the original keeps it.
    """
    if "/" in weights or weights.endswith(FILE_SUFFIXES):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise UserError(f"{path}: no such weights file (text encoder '{spec}')")
        return path, False

    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    config = get_pretrained_cfg(model, weights)
    if not config:
        tags = ", ".join(list_pretrained_tags_by_model(model)) or "none"
        raise UserError(
            f"text encoder '{spec}': no such pretrained tag; tags of {model}: {tags}; or give a file with /"
        )
    quick_gelu = bool(config.get("quick_gelu", False))
    try:
        return _fetch(config), quick_gelu
    except Exception as error:  # the hub client raises its own, requests' and the system's errors
        base = spec.split("/", 1)[0]
        source = config.get("url") or f"https://huggingface.co/{config.get('hf_hub')}"
        raise UserError(
            f"text encoder '{spec}': weights are not on this machine and cannot be downloaded "
            f"({type(error).__name__}); fetch {source} elsewhere, then use {base}//path/to/file"
        ) from None


def _fetch(config: dict[str, Any]) -> Path:
    """OpenAI's archive (open_clip checks the hash that its address holds), or else open_clip's own choice."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip.pretrained import download_pretrained

    if Path(config.get("url", "")).name not in OPENAI_SHA256:
        return Path(download_pretrained(config))
    try:
        return Path(download_pretrained(config, prefer_hf_hub=False))
    except (URLError, RuntimeError):
        # Without a network the hub client would retry for most of a minute: look into its cache only.
        cached = try_to_load_from_cache(config["hf_hub"].rstrip("/"), "open_clip_model.safetensors")
        if isinstance(cached, str):
            return Path(cached)
        raise


def read_weights(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    """State dict of a .safetensors file, or of one of OpenAI's archives (TorchScript).

    Other .pt files are refused: reading them means trusting code in them.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise UserError(f"{path}: damaged ({error}); fetch the weights again") from None
    if is_openai(sha256):
        return torchscript_state(path)
    raise UserError(
        f"{path}: neither a .safetensors file nor OpenAI's ViT-B-16.pt or ViT-B-32.pt (sha256 {sha256}); convert it "
        "to .safetensors"
    )


def torchscript_state(path: Path) -> dict[str, torch.Tensor]:
    """Parameters of a TorchScript archive without the three numbers that OpenAI stores among them."""
    import torch

    state = torch.jit.load(path, map_location="cpu").state_dict()
    return {
        key: value for key, value in state.items() if key not in ("input_resolution", "context_length", "vocab_size")
    }


def load_exactly(tower: nn.Module, state: dict[str, torch.Tensor], path: Path, prefix: str = "") -> None:
    """Copy ``state`` into ``tower``; :class:`UserError` if a parameter is missing, left over or of another shape.

    prefix: what the parameters' names in the file begin with, for the message.
    """
    try:
        result = tower.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise UserError(f"{path}: weights of another model ({str(error).splitlines()[-1].strip()})") from None
    if result.missing_keys or result.unexpected_keys:
        wrong = (result.missing_keys + result.unexpected_keys)[0]
        raise UserError(f"{path}: not the weights of this model (first differing parameter: {prefix}{wrong})")
