"""Writes small raw ScanNet trees byte by byte (independent of the readers under test), and damages them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = ["id", "raw_category", "category", "count", "nyu40id", "eigen13id", "nyuClass", "nyu40class", "eigen13class"]
COLUMNS += ["ModelNet40", "ModelNet10", "ShapeNetCore55", "synsetoffset", "wnsynsetid", "wnsynsetkey", "mpcat40"]
COLUMNS += ["mpcat40index"]

# raw category, id, nyu40id: as in the official table, plus 'shower walls' (a wall by NYU40 under another id).
CATEGORIES = [
    ("wall", 1, 1),
    ("chair", 2, 5),
    ("floor", 3, 2),
    ("books", 22, 23),
    ("table", 4, 7),
    ("couch", 6, 6),
    ("shower walls", 128, 1),
    ("rack", 50, 39),
    ("object", 1163, 40),
]


@dataclass
class RawScene:
    """Content of one scan; every field may be edited before it is written."""

    scene_id: str
    coords: np.ndarray
    colors: np.ndarray
    nyu40: np.ndarray
    segments: np.ndarray
    groups: list[dict] = field(default_factory=list)
    faces: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    alignment: np.ndarray | None = None

    def folder(self, root: Path, scans: str = "scans") -> Path:
        return root / scans / self.scene_id


def group(position: int, label: str, segments: list[int]) -> dict:
    return {"id": position, "objectId": position, "segments": segments, "label": label}


def random_scene(scene_id: str, seed: int = 0, points: int = 60, segments: int = 6) -> RawScene:
    """A scan with one object a segment, of random categories of the table; the last segment is not annotated."""
    rng = np.random.default_rng([seed, points])
    of_vertex = np.sort(rng.integers(0, segments, points))
    of_vertex[:segments] = np.arange(segments)
    roots = np.sort(rng.choice(points, segments, replace=False))
    picked = [CATEGORIES[i] for i in rng.integers(0, len(CATEGORIES), segments - 1)]
    nyu40 = np.array([row[2] for row in picked] + [0])[of_vertex]
    return RawScene(
        scene_id=scene_id,
        coords=rng.normal(size=(points, 3)).astype(np.float32),
        colors=rng.integers(0, 256, (points, 3)).astype(np.uint8),
        nyu40=nyu40.astype(np.uint16),
        segments=roots[of_vertex],
        groups=[group(i, row[0], [int(roots[i])]) for i, row in enumerate(picked)],
        faces=rng.integers(0, points, (2 * points, 3)).astype(np.int32),
        alignment=np.diag([-1.0, -1.0, 1.0, 1.0]),
    )


def ply_bytes(raw: RawScene, labelled: bool) -> bytes:
    header = ["ply", "format binary_little_endian 1.0", "comment VCGLIB generated", f"element vertex {len(raw.coords)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {channel}" for channel in ("red", "green", "blue", "alpha")]
    fields = [("xyz", "<f4", 3), ("rgba", "u1", 4)]
    if labelled:
        header.append("property ushort label")
        fields.append(("label", "<u2"))
    header += [f"element face {len(raw.faces)}", "property list uchar int vertex_indices", "end_header", ""]
    vertices = np.zeros(len(raw.coords), fields)
    vertices["xyz"] = raw.coords
    vertices["rgba"][:, :3] = raw.colors
    vertices["rgba"][:, 3] = 255
    if labelled:
        vertices["label"] = raw.nyu40
    faces = np.zeros(len(raw.faces), [("n", "u1"), ("ids", "<i4", 3)])
    faces["n"], faces["ids"] = 3, raw.faces
    return "\n".join(header).encode() + vertices.tobytes() + faces.tobytes()


def write_scene(root: Path, raw: RawScene, scans: str = "scans", annotated: bool = True) -> Path:
    """Write the five files (``annotated=False``: mesh and text file without axisAlignment, as in scans_test)."""
    folder, name = raw.folder(root, scans), raw.scene_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}_vh_clean_2.ply").write_bytes(ply_bytes(raw, labelled=False))
    text = ["colorHeight = 968", "sceneType = Bedroom / Hotel"]
    if annotated:
        (folder / f"{name}_vh_clean_2.labels.ply").write_bytes(ply_bytes(raw, labelled=True))
        segs = {"params": {"kThresh": "0.0001"}, "sceneId": name, "segIndices": raw.segments.tolist()}
        (folder / f"{name}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segs))
        aggregation = {"sceneId": f"scannet.{name}", "appId": "Aggregator.v2", "segGroups": raw.groups}
        (folder / f"{name}.aggregation.json").write_text(json.dumps(aggregation))
        if raw.alignment is not None:
            numbers = " ".join(f"{value:.6f}" for value in raw.alignment.reshape(-1))
            text.insert(0, f"axisAlignment = {numbers} ")
    (folder / f"{name}.txt").write_text("\n".join(text) + "\n")
    return folder


def write_table(root: Path, newline: str = "\r\n") -> Path:
    lines = ["\t".join(COLUMNS)]
    for name, raw_id, nyu40 in CATEGORIES:
        cells = dict.fromkeys(COLUMNS, "") | {"id": raw_id, "raw_category": name, "category": name, "nyu40id": nyu40}
        lines.append("\t".join(str(cells[column]) for column in COLUMNS))
    path = root / "scannetv2-labels.combined.tsv"
    path.write_bytes((newline.join(lines) + newline).encode())
    return path


def write_tree(root: Path, train: int = 3, val: int = 2, points: int = 60) -> dict[str, list[RawScene]]:
    """A raw folder with random scans; the lists are in descending order, like nothing sorted."""
    root.mkdir(parents=True, exist_ok=True)
    write_table(root)
    scenes = {
        "train": [random_scene(f"scene{i:04d}_00", i, points) for i in range(train)],
        "val": [random_scene(f"scene{i:04d}_01", i, points) for i in range(train, train + val)],
    }
    for split, of_split in scenes.items():
        for raw in of_split:
            write_scene(root, raw)
        names = [raw.scene_id for raw in reversed(of_split)]
        (root / f"scannetv2_{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return scenes


def write_frames(
    root: Path,
    scene_id: str,
    names: list[str],
    lost: tuple[str, ...] = (),
    plural: bool = True,
    color_shape: tuple[int, int] = (242, 324),
) -> Path:
    """A folder of frames with random images (depth 480 x 640 as in the format, colour smaller to save time)."""
    folder, rng = root / scene_id, np.random.default_rng(len(names))
    for kind in ("color", "depth", "pose", "label", "instance"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name in names:
        color = np.full((*color_shape, 3), rng.integers(0, 256), np.uint8)
        Image.fromarray(color).save(folder / "color" / f"{name}.jpg")
        depth = rng.integers(0, 60000, (48, 64)).astype(np.uint16).repeat(10, 0).repeat(10, 1)
        Image.fromarray(depth).save(folder / "depth" / f"{name}.png")
        label = rng.integers(0, 41, color_shape).astype(np.uint8)
        Image.fromarray(label).save(folder / "label" / f"{name}.png")
        Image.fromarray(label.astype(np.uint16) * 1000 + (label > 0)).save(folder / "instance" / f"{name}.png")
        pose = np.full((4, 4), -np.inf) if name in lost else np.eye(4) + np.diag([1.5, -2.0], 2)
        np.savetxt(folder / "pose" / f"{name}.txt", pose, fmt="%f")
    for kind, focal in (("depth", 577.870605), ("color", 1170.187988)):
        matrix = np.array([[focal, 0, 319.5, 0], [0, focal, 239.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        np.savetxt(folder / f"intrinsic{'s' if plural else ''}_{kind}.txt", matrix, fmt="%f")
    return folder


def truncate(path: Path, keep: float) -> None:
    """Keep this share of the file, as a broken download does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def flip_byte(path: Path, position: int) -> None:
    """Invert one byte (negative positions count from the end)."""
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(bytes(content))


def square_or_die(value: int) -> int:
    """A task for worker processes: 13 kills the process at once, as the kernel does when memory is short."""
    if value == 13:
        os.kill(os.getpid(), 9)
    return value * value
