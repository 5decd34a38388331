"""Weights to apply: a result of ours, or a checkpoint of the original, and the row that says what they are."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from regionzoo.artifacts import sha256_file
from regionzoo.classes import class_set
from regionzoo.config import Params, load_params
from regionzoo.errors import UserError
from regionzoo.integrity import read_made, require_sealed
from regionzoo.models.network import RegionNet
from regionzoo.released.checkpoint_file import read_checkpoint
from regionzoo.released.convert import convert, network_like
from regionzoo.released.layouts import Layout
from regionzoo.settings.train import Classes, TrainSettings
from regionzoo.sparse.engine import EngineName
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable
from regionzoo.training.build import build_network
from regionzoo.training.checkpoint import TEXT_MATRIX

LEGACY = (".pth", ".pt")
INDOOR_CHANNELS = 6


@dataclass(frozen=True)
class Weights:
    """Weights and what is known of them.

    row: what they are asked as; settings: how they were trained; classes: what the row asks for, which for shared rows
    are not the classes of the training. state: every tensor under our names, on the CPU. encoder: specification of the
    text encoder whose space they live in. file, sha256: where they were read.
    """

    row: str
    settings: TrainSettings
    classes: Classes
    state: dict[str, Tensor]
    encoder: str
    file: Path
    sha256: str

    @property
    def text_matrix(self) -> np.ndarray:
        """float32 [classes, D]: the class vectors stored with the weights."""
        return self.state[TEXT_MATRIX].float().numpy()

    @property
    def dimension(self) -> int:
        """D of the text space."""
        return self.state[TEXT_MATRIX].shape[1]

    @property
    def own_vectors(self) -> np.ndarray | None:
        """The class vectors stored with the weights if they are of the row's classes, else None."""
        count = len(class_set(self.classes.set).names)
        return self.text_matrix if len(self.text_matrix) == count else None

    def network(self, engine: EngineName, vectors: np.ndarray | None = None) -> RegionNet:
        """The network on the CPU, in evaluation mode.

        vectors: float32 [classes, D] of the row's classes, which its instance head asks for; the heads that score
        points are given theirs anew (:mod:`regionzoo.apply.score`).
        """
        prompts = class_prompts(self.classes.set, self.settings.template)
        if vectors is None:
            vectors = np.zeros((len(prompts), self.dimension), np.float32)
        table = TextTable(tuple(prompts), vectors)
        with torch.random.fork_rng(devices=[]):
            network = build_network(self.settings, table, engine, self.classes)
        kept = {TEXT_MATRIX: network.state_dict()[TEXT_MATRIX]}
        try:
            network.load_state_dict(self.state | kept, strict=True)
        except RuntimeError as error:
            told = " ".join(str(error).split())[:300]
            raise UserError(f"{self.file}: not weights of row '{self.settings.row}' ({told})") from None
        return network.eval()


def load_weights(
    row: str | None, checkpoint: Path | None, params_file: Path, results: Path, layout: Layout | None = None
) -> Weights:
    """Read the weights of a row.

    row: None for what the weights' own config.json says. checkpoint: a ``.pth`` of the original, a ``.safetensors``
    (with the ``config.json`` of its training beside it, or else of the row's published network) or a folder with both;
    None for ``results/<row>``. layout: of the convolutions in a ``.pth``, where its shapes do not tell.
    :class:`UserError` of one line if anything is missing, damaged or of another row.
    """
    params = load_params(params_file)
    if row is not None and row not in params.all_rows:
        near = difflib.get_close_matches(row, params.all_rows, n=1)
        raise UserError(
            f"no row '{row}'; " + (f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(params.all_rows)}")
        )
    if checkpoint is None:
        if row is None:
            raise UserError("which weights? name a row with --row, or a file with --checkpoint")
        checkpoint = results / params.weights_of(row)
    if checkpoint.is_dir():
        checkpoint = checkpoint / "model.safetensors"
    if not checkpoint.is_file():
        told = f"build it with 'snakemake --cores all -- {checkpoint}', or name another file with --checkpoint"
        raise UserError(f"{checkpoint}: no such file; {told if row else 'name another with --checkpoint'}")
    config = checkpoint.with_name("config.json")
    if checkpoint.suffix != ".safetensors" and checkpoint.suffix not in LEGACY:
        raise UserError(f"{checkpoint}: expected a .pth of the original or a .safetensors")
    if checkpoint.suffix == ".safetensors" and config.is_file():
        weights = _trained(checkpoint, config, row, params)
    elif row is None:
        raise UserError(f"{checkpoint}: has no config.json beside it; say with --row which row it is of")
    else:
        weights = _published(checkpoint, row, params, layout)
    if weights.settings.network.in_channels != INDOOR_CHANNELS:
        raise UserError(
            f"row '{weights.row}': takes {weights.settings.network.in_channels} channels a point, not colour and place;"
            " only the ScanNet rows can be asked about scans"
        )
    return weights


def _trained(file: Path, config_file: Path, row: str | None, params: Params) -> Weights:
    """A result of ours, trained or imported."""
    require_sealed(file)
    config = read_made(config_file)
    identity = sha256_file(file)
    if not isinstance(config, dict) or config.get("weights_sha256") != identity:
        raise UserError(f"{file}: not the weights that {config_file} was written with; make both again")
    settings = TrainSettings.check(config.get("settings"), f"{config_file}: settings")
    # results/<row>+<tag> are runs of a row with other settings.
    trained = settings.row.partition("+")[0]
    row = row or trained
    if row in params.all_rows and params.weights_of(row) != trained:
        raise UserError(f"{file}: weights of row '{settings.row}', not of '{params.weights_of(row)}'")
    classes = params.predict(row).classes if row in params.shared_rows else settings.classes
    return Weights(row, settings, classes, _read(file), _encoder(row, settings.scale, params), file, identity)


def _published(file: Path, row: str, params: Params, layout: Layout | None) -> Weights:
    """A file without settings: the row's network at the published size."""
    paper = params.model_copy(update={"scale": "paper"})
    settings = paper.train(params.weights_of(row))
    if file.suffix in LEGACY:
        read = read_checkpoint(file)
        state, identity = read.state, read.sha256
    else:
        state, identity = _read(file), sha256_file(file)
    state = convert(file, state, network_like(settings), layout).state
    classes = paper.predict(row).classes
    return Weights(row, settings, classes, state, _encoder(row, "paper", paper), file, identity)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: cannot be read as safetensors ({error})") from None
    if TEXT_MATRIX not in state or state[TEXT_MATRIX].ndim != 2:
        raise UserError(f"{file}: has no {TEXT_MATRIX} [classes, D]; not the weights of a row")
    return state


def _encoder(row: str, scale: str, params: Params) -> str:
    """The encoder of the row's text table at the scale of the training."""
    if scale == "small" or row not in params.all_rows:
        return params.scales.small.text.encoder
    return params.text[params.all_rows[row].text].encoder
