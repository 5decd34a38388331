"""What the native engine asks of a GPU, and whether it can be had there."""

from __future__ import annotations

import warnings
from functools import cache

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from regionzoo.sparse.engine import NormConv
from regionzoo.sparse.fused.autograd import Convolve, NormReluConvolve, ResidualUnits
from regionzoo.sparse.fused.search import site_keys
from regionzoo.sparse.fused.sites import Convolution, SiteMaps
from regionzoo.sparse.pyramid import Pyramid

_WIDTH = 16
"""Widths are multiples of it: the smallest side of a matrix product, and rows of whole 32-byte sectors."""

_TYPES = (torch.float16, torch.bfloat16, torch.float32)


def works_for(feats: Tensor) -> bool:
    """Whether kernels run where these features are; without a GPU only Triton's interpreter runs them."""
    if feats.is_cuda:
        return works_on(feats.get_device())
    if isinstance(site_keys, triton.JITFunction):
        raise ValueError("path 'fused' is for features on a GPU")
    return True


@cache
def works_on(device: int) -> bool:
    """Whether kernels can be compiled for this GPU and run; says why not, once."""
    if torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:
        with torch.cuda.device(device), torch.no_grad():
            if computes_right(torch.device("cuda", device)):
                return True
            reason = "its results are wrong"
    except Exception as error:  # a missing C compiler, an unknown GPU, a full disk: anything, and PyTorch alone will do
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    warnings.warn(f"Triton cannot be used on this GPU, all will be slower: {reason}", stacklevel=2)
    return False


def computes_right(device: torch.device) -> bool:
    """Whether a small convolution comes out right: when its kernels are compiled, and when they are launched again."""
    coords = torch.cartesian_prod(*[torch.arange(5)] * 4)[::7].int().to(device)
    pyramid = Pyramid(coords, (5, 5, 5), 1)
    count, table = len(coords), pyramid.level(0).table.long()
    feats = torch.linspace(-1, 1, count * _WIDTH, device=device).sin().view(count, _WIDTH)
    weight = torch.linspace(-1, 1, _WIDTH * 27 * _WIDTH, device=device).cos().view(_WIDTH, 3, 3, 3, _WIDTH)
    exact = F.pad(feats, (0, 0, 0, 1)).double()[table].flatten(1) @ weight.double().flatten(1).t()
    for _ in range(2):
        out = convolve(feats, weight, SiteMaps(pyramid).submanifold(0))
        if not torch.allclose(out.double(), exact, rtol=1e-4, atol=1e-4):
            return False
    return True


def suits(feats: Tensor, *weights: Tensor) -> bool:
    """Whether these can be convolved here: some rows, half or single precision, float32 weights."""
    return len(feats) > 0 and feats.dtype in _TYPES and all(weight.dtype == torch.float32 for weight in weights)


def suits_units(*units: NormConv) -> bool:
    """Whether these can be fused: widths of whole blocks; norms in float32 with gain, bias and running statistics."""
    return all(
        weight.shape[0] % _WIDTH == 0
        and weight.shape[-1] % _WIDTH == 0
        and weight.shape[-1] == norm.num_features
        and norm.affine
        and norm.weight.dtype == torch.float32
        and norm.running_mean is not None
        and norm.momentum is not None
        for norm, weight in units
    )


def site_maps(pyramid: Pyramid) -> SiteMaps:
    """The tables of a pyramid, kept as long as it lives."""
    maps = pyramid.cache.get("fused")
    if maps is None:
        with torch.cuda.device_of(pyramid.coords):
            maps = pyramid.cache["fused"] = SiteMaps(pyramid)
    return maps


def _check(feats: Tensor, weight: Tensor, conv: Convolution) -> None:
    """``ValueError`` unless the sizes fit: the kernels would read beyond the end."""
    rows, channels = feats.shape
    if rows != conv.back.count or channels != weight.shape[-1] or weight.shape[1] ** 3 != conv.ahead.kernel:
        sizes = f"features {tuple(feats.shape)} and weight {tuple(weight.shape)}"
        raise ValueError(f"{sizes} for {conv.back.count} sites and {conv.ahead.kernel} offsets")


def typed(feats: Tensor) -> Tensor:
    """The features in the type that autocast would multiply them in."""
    device = feats.device.type
    if torch.is_autocast_enabled(device):
        feats = feats.to(torch.get_autocast_dtype(device))
    return feats.contiguous()


def convolve(feats: Tensor, weight: Tensor, conv: Convolution) -> Tensor:
    """One convolution of any widths."""
    _check(feats, weight, conv)
    columns, channels = weight.shape[0], weight.shape[-1]
    spare_in, spare_out = -channels % _WIDTH, -columns % _WIDTH
    if spare_in:
        feats = F.pad(feats, (0, spare_in))
    if spare_in or spare_out:
        weight = F.pad(weight, (0, spare_in, 0, 0, 0, 0, 0, 0, 0, spare_out))
    out = Convolve.apply(feats, weight, conv)
    return out[:, :columns] if spare_out else out


def norm_relu_convolve(feats: Tensor, unit: NormConv, conv: Convolution) -> Tensor:
    """One convolution of relu(norm(feats))."""
    norm, weight = unit
    _check(feats, weight, conv)
    return NormReluConvolve.apply(feats, norm.weight, norm.bias, weight, norm, conv)


def residual_units(feats: Tensor, first: NormConv, second: NormConv, skip: Tensor | None, conv: Convolution) -> Tensor:
    """Two units plus the features, or their image under ``skip`` [out, 1, 1, 1, in]."""
    (one, weight), (other, last) = first, second
    _check(feats, weight, conv)
    columns = weight.shape[0]
    through = feats.shape[1] if skip is None else skip.shape[0]
    if not columns == last.shape[0] == last.shape[-1] == other.num_features == through:
        raise ValueError(f"units of {columns} and {last.shape[0]} channels after a skip of {through}")
    if skip is not None:
        skip = skip.flatten(1).to(feats.dtype)
    parameters = (one.weight, one.bias, weight, other.weight, other.bias, last, skip)
    return ResidualUnits.apply(feats, *parameters, one, other, conv)
