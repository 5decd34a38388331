"""Scans, weights and a network computed by hand, for the tests of own scans."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
import yaml
from raw_scene import RawScene, ply_bytes
from tiny_clip import save_tiny_clip
from tiny_rooms import REPOSITORY, tiny_settings

from regionzoo.apply.clouds import Cloud
from regionzoo.apply.grid import make_voxels
from regionzoo.apply.weights import Weights, load_weights
from regionzoo.artifacts import sha256_file, write_json
from regionzoo.config import load_params
from regionzoo.models.batch import Batch
from regionzoo.models.network import RegionNet
from regionzoo.settings.train import TrainSettings
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.encoders import make_encoder
from regionzoo.text.table import TextTable
from regionzoo.training.build import build_network
from regionzoo.training.checkpoint import save_model

PARAMS = REPOSITORY / "params.yaml"
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Points:
    """coords float32 [N, 3], colors uint8 [N, 3]."""

    coords: np.ndarray
    colors: np.ndarray

    def ply(self, path: Path) -> Path:
        """Write the points as a scanner does, through a writer that the package does not know."""
        count = len(self.coords)
        raw = RawScene(path.stem, self.coords, self.colors, np.zeros(count), np.zeros(count))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ply_bytes(raw, labelled=False))
        return path


def room(count: int = 1500, size: tuple[float, float, float] = (2.9, 1.1, 0.6), seed: int = 0) -> Points:
    """A floor with boxes of several colours, somewhere in the world; points in random order."""
    rng = np.random.default_rng([seed, count])
    places = rng.random((count, 3)) * size
    floor = rng.random(count) < 0.6
    places[floor, 2] = 0
    box = (places[:, 0] // 0.5).astype(int)
    colors = np.where(floor[:, None], 120, np.stack([40 * box, 255 - 40 * box, 90 + 0 * box], 1) % 256)
    colors = np.clip(colors + rng.normal(0, 12, (count, 3)), 0, 255)
    return Points((places + np.array([3.2, -1.7, 0.4])).astype(np.float32), colors.astype(np.uint8))


def awake(network: RegionNet, seed: int = 1) -> RegionNet:
    """The same network with statistics of a room and random scales, so that every part of it shows in the result."""
    rng = torch.Generator().manual_seed(seed)
    norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm1d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.7, 1.5, generator=rng)
            norm.bias.normal_(0, 0.3, generator=rng)
            norm.momentum = 1.0
        points = room(seed=9)
        voxels = make_voxels(Cloud("", points.coords, points.colors), 0.02)
        sites = torch.cat([voxels.coords.new_zeros((len(voxels), 1)), voxels.coords], 1)
        v2p = torch.from_numpy(voxels.v2p).long()
        network.train().encode(Batch(sites, voxels.extent, voxels.feats, v2p, torch.tensor([0, len(v2p)])))
        if network.binary_head is not None:
            network.binary_head.binary_classifier[2].weight.mul_(4)
            network.binary_head.binary_classifier[2].bias.zero_()
        if network.inst_head is not None:
            network.inst_head.offset_linear[3].weight.mul_(1e-4)  # centimetres, not tens of metres
    return network.eval()


def small(settings: TrainSettings, voxel_size: float = 0.02) -> TrainSettings:
    """Two levels and fine voxels."""
    network = settings.network.model_copy(update={"widths": (4, 6)})
    recipe = settings.recipe.model_copy(update={"voxel_size": voxel_size})
    return settings.model_copy(update={"network": network, "recipe": recipe})


def encoder_spec(folder: Path) -> str:
    """A tiny CLIP of 24 dimensions."""
    return save_tiny_clip(folder, f"apply-{folder.name}")


def save_result(folder: Path, settings: TrainSettings, spec: str | None) -> Path:
    """A row's folder as the training leaves it; its class vectors are those of the encoder, or else random."""
    prompts = class_prompts(settings.classes.set, settings.template)
    if spec is None:
        vectors = np.random.default_rng(5).standard_normal((len(prompts), 24)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    else:
        vectors = make_encoder(spec).encode(prompts)
    network = awake(build_network(settings, TextTable(tuple(prompts), vectors), "native"))
    save_model(folder / "model.safetensors", network, {"row": settings.row})
    identity = sha256_file(folder / "model.safetensors")
    write_json(folder / "config.json", {"weights_sha256": identity, "settings": settings.model_dump(mode="json")}, True)
    return folder


def load(folder: Path, row: str | None = None) -> Weights:
    """Weights of a result folder."""
    return load_weights(row, folder, PARAMS, Path("results"))


def tiny_result(folder: Path, spec: str | None = None) -> Weights:
    """Weights of the shipped base-annotated row at two levels of 4 and 6 channels."""
    return load(save_result(folder, small(tiny_settings()), spec))


def tiny_paper(folder: Path) -> tuple[Path, TrainSettings]:
    """A table of rows whose published networks are tiny, and the settings of scannet_b15n4 there."""
    plain = yaml.safe_load(PARAMS.read_text())
    for model in plain["models"].values():
        model["widths"] = [4, 6]
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path, load_params(path).model_copy(update={"scale": "paper"}).train("scannet_b15n4")


# -- the network by hand: Python dictionaries and float64 ------------------------------------------------------------


def hand_cells(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """float32 [N, 3] centred points and their cells of 2 cm, point by point, in the original's float32."""
    mean = np.zeros(3, np.float32)
    for point in points.coords:
        mean += point
    mean /= np.float32(len(points.coords))
    centred = np.array([point - mean for point in points.coords])
    scaled = np.array([point * np.float32(50) for point in centred])
    low = np.array([min(column) for column in scaled.T], np.float32)
    return centred, np.array([[int(value) for value in row - low] for row in scaled])


@dataclass
class HandNet:
    """Evaluates a ``state_dict`` of the original's names on voxels in a dictionary; no module of ours takes part."""

    state: State
    levels: int

    def weight(self, key: str) -> np.ndarray:
        return self.state[key].double().numpy()

    def norm(self, key: str, feats: np.ndarray) -> np.ndarray:
        mean, var, weight, bias = (
            self.weight(f"{key}.{part}") for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (feats - mean) / np.sqrt(var + 1e-4) * weight + bias

    def conv(self, key: str, feats: np.ndarray, level: int) -> np.ndarray:
        weight, sites = self.weight(key), self.sites[level]
        out = np.zeros((len(sites), weight.shape[0]))
        for (x, y, z), row in sites.items():
            for i, j, k in product(range(3), repeat=3):
                other = sites.get((x + i - 1, y + j - 1, z + k - 1))
                if other is not None:
                    out[row] += weight[:, i, j, k] @ feats[other]
        return out

    def down(self, key: str, feats: np.ndarray, level: int) -> np.ndarray:
        weight = self.weight(key)
        out = np.zeros((len(self.sites[level + 1]), weight.shape[0]))
        for (x, y, z), row in self.sites[level].items():
            parent = self.sites[level + 1].get((x // 2, y // 2, z // 2))
            if parent is not None:
                out[parent] += weight[:, x % 2, y % 2, z % 2] @ feats[row]
        return out

    def up(self, key: str, feats: np.ndarray, level: int) -> np.ndarray:
        weight = self.weight(key)
        out = np.zeros((len(self.sites[level]), weight.shape[0]))
        for (x, y, z), row in self.sites[level].items():
            parent = self.sites[level + 1].get((x // 2, y // 2, z // 2))
            if parent is not None:
                out[row] = weight[:, x % 2, y % 2, z % 2] @ feats[parent]
        return out

    def residual(self, key: str, feats: np.ndarray, level: int) -> np.ndarray:
        inner = self.conv(f"{key}.conv_branch.2.weight", relu(self.norm(f"{key}.conv_branch.0", feats)), level)
        inner = self.conv(f"{key}.conv_branch.5.weight", relu(self.norm(f"{key}.conv_branch.3", inner)), level)
        skip = f"{key}.i_branch.0.weight"
        return inner + (feats @ self.weight(skip)[:, 0, 0, 0].T if skip in self.state else feats)

    def blocks(self, key: str, feats: np.ndarray, level: int) -> np.ndarray:
        number = 0
        while f"{key}.block{number}.conv_branch.2.weight" in self.state:
            feats = self.residual(f"{key}.block{number}", feats, level)
            number += 1
        return feats

    def rise(self, key: str, lateral: np.ndarray, deeper: np.ndarray, level: int) -> np.ndarray:
        raised = self.up(f"{key}.deconv.2.weight", relu(self.norm(f"{key}.deconv.0", deeper)), level)
        return self.blocks(f"{key}.blocks_tail", np.concatenate([lateral, raised], 1), level)

    def unet(self, key: str, feats: np.ndarray, level: int, encoded: list[np.ndarray]) -> np.ndarray:
        feats = self.blocks(f"{key}.blocks", feats, level)
        encoded.append(feats)
        if level == self.levels - 1:
            return feats
        lower = self.down(f"{key}.conv.2.weight", relu(self.norm(f"{key}.conv.0", feats)), level)
        return self.rise(key, feats, self.unet(f"{key}.u", lower, level + 1, encoded), level)

    def decoder(self, key: str, encoded: list[np.ndarray], level: int) -> np.ndarray:
        if level == self.levels - 1:
            return encoded[level]
        return self.rise(key, encoded[level], self.decoder(f"{key}.u", encoded, level + 1), level)

    def __call__(self, points: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each point: adapter features [N, D], scores [N, classes] and the logit of "base" [N]."""
        centred, cells = hand_cells(points)
        feats = np.concatenate([points.colors / 127.5 - 1, centred], 1)
        members: dict[tuple[int, ...], list[int]] = {}
        for n, cell in enumerate(map(tuple, cells.tolist())):
            members.setdefault(cell, []).append(n)
        extent = np.maximum(cells.max(0) + 1, 128)
        self.sites = [{cell: row for row, cell in enumerate(members)}]
        for _ in range(self.levels - 1):
            extent = extent // 2
            parents = dict.fromkeys(tuple(v // 2 for v in cell) for cell in self.sites[-1])
            kept = [cell for cell in parents if all(v < top for v, top in zip(cell, extent, strict=True))]
            self.sites.append({cell: row for row, cell in enumerate(kept)})
        x = np.array([feats[rows].mean(0) for rows in members.values()])
        encoded: list[np.ndarray] = []
        x = self.unet("backbone_3d.unet", self.conv("backbone_3d.input_conv.0.weight", x, 0), 0, encoded)
        x = relu(self.norm("backbone_3d.output_layer.0", x))
        for at in (0, 3):
            key = f"adapter.adapter.{at}"
            x = x @ self.weight(f"{key}.weight").T + self.weight(f"{key}.bias")
            x = relu(self.norm(f"adapter.adapter.{at + 1}", x))
        head = "binary_head.binary_classifier"
        b = relu(self.norm(f"{head}.0", self.decoder("binary_head.binary_encoder", encoded, 0)))
        b = (b @ self.weight(f"{head}.2.weight").T + self.weight(f"{head}.2.bias"))[:, 0]
        of_point = np.array([self.sites[0][cell] for cell in map(tuple, cells.tolist())])
        return x[of_point], (x @ self.weight("task_head.cls_head.weight").T)[of_point], b[of_point]


def relu(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)


def hand_probabilities(logits: np.ndarray, b: np.ndarray, base: list[int], novel: list[int]) -> np.ndarray:
    """Calibrated probabilities, point by point."""
    out = np.zeros_like(logits)
    for row, (z, own) in enumerate(zip(logits, b, strict=True)):
        share = 1 / (1 + np.exp(-own))
        for classes, factor in ((base, share), (novel, 1 - share)):
            weights = np.exp(z[classes] - z[classes].max())
            out[row, classes] = factor * weights / weights.sum()
    return out
