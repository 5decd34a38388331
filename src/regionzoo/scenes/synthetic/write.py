"""The raw files of a scan, byte by byte as the official download has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from regionzoo.scenes.synthetic.scan import Mesh

COLOR_SIZE = (1296, 968)
DEPTH_SIZE = (640, 480)
COLOR_FX, COLOR_CX, COLOR_CY = 1170.187988, 647.75, 483.75
DEPTH_FX, DEPTH_CX, DEPTH_CY = 571.623718, 319.5, 239.5

NYU40_COLORS = np.array(
    [
        (0, 0, 0), (174, 199, 232), (152, 223, 138), (31, 119, 180), (255, 187, 120), (188, 189, 34),
        (140, 86, 75), (255, 152, 150), (214, 39, 40), (197, 176, 213), (148, 103, 189), (196, 156, 148),
        (23, 190, 207), (178, 76, 76), (247, 182, 210), (66, 188, 102), (219, 219, 141), (140, 57, 197),
        (202, 185, 52), (51, 176, 203), (200, 54, 131), (92, 193, 61), (78, 71, 183), (172, 114, 82),
        (255, 127, 14), (91, 163, 138), (153, 98, 156), (140, 153, 101), (158, 218, 229), (100, 125, 154),
        (178, 127, 135), (120, 185, 128), (146, 111, 194), (44, 160, 44), (112, 128, 144), (96, 207, 209),
        (227, 119, 194), (213, 92, 176), (94, 106, 211), (82, 84, 163), (100, 85, 144),
    ],
    np.uint8,
)  # fmt: skip
"""RGB of the NYU40 ids 0..40 as the dataset's own label meshes have them."""


def write_mesh(path: Path, mesh: Mesh, colors: np.ndarray, labels: np.ndarray | None = None) -> None:
    """Write a binary PLY: 16 bytes a vertex (18 with ``labels``, uint16 [N]) and 13 bytes a face."""
    fields = [("xyz", "<f4", 3), ("rgba", "u1", 4)]
    properties = ["float x", "float y", "float z", "uchar red", "uchar green", "uchar blue", "uchar alpha"]
    if labels is not None:
        fields.append(("label", "<u2"))
        properties.append("ushort label")
    vertices = np.zeros(len(mesh.coords), fields)
    vertices["xyz"] = mesh.coords
    vertices["rgba"][:, :3] = colors
    vertices["rgba"][:, 3] = 255
    if labels is not None:
        vertices["label"] = labels
    faces = np.zeros(len(mesh.faces), [("count", "u1"), ("index", "<i4", 3)])
    faces["count"], faces["index"] = 3, mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment MLIB generated",
        f"element vertex {len(vertices)}",
        *(f"property {name}" for name in properties),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    path.write_bytes("\n".join(header).encode("ascii") + vertices.tobytes() + faces.tobytes())


def write_segments(path: Path, scene_id: str, superpoint: np.ndarray) -> None:
    """Write the over-segmentation."""
    params = {"kThresh": "0.0001", "segMinVerts": "20", "minPoints": "750", "maxPoints": "30000"}
    params |= {"thinThresh": "0.05", "flatThresh": "0.001", "minLength": "0.02", "maxLength": "1"}
    content = {"params": params, "sceneId": f"scannet.{scene_id}", "segIndices": superpoint.tolist()}
    path.write_text(json.dumps(content, separators=(",", ":")))


def write_aggregation(path: Path, scene_id: str, groups: list[tuple[str, list[int]]]) -> None:
    """Write the annotation: (raw category, superpoint ids) of each object; the position is its objectId."""
    content = {
        "sceneId": f"scannet.{scene_id}",
        "appId": "Aggregator.v2",
        "segGroups": [
            {"id": index, "objectId": index, "segments": segments, "label": label}
            for index, (label, segments) in enumerate(groups)
        ],
        "segmentsFile": f"scannet.{scene_id}_vh_clean_2.0.010000.segs.json",
    }
    path.write_text(json.dumps(content, separators=(",", ":")))


def write_scene_text(path: Path, alignment: np.ndarray, scene_type: str, frames: int) -> None:
    """Write the key = value file with the axis alignment (4x4, scan to aligned) and the intrinsics."""
    identity = " ".join(f"{value:.6f}" for value in np.eye(4).reshape(-1))
    values = {
        "axisAlignment": " ".join(f"{value:.6f}" for value in alignment.reshape(-1)) + " ",
        "colorHeight": COLOR_SIZE[1],
        "colorToDepthExtrinsics": identity,
        "colorWidth": COLOR_SIZE[0],
        "depthHeight": DEPTH_SIZE[1],
        "depthWidth": DEPTH_SIZE[0],
        "fx_color": f"{COLOR_FX:.6f}",
        "fx_depth": f"{DEPTH_FX:.6f}",
        "fy_color": f"{COLOR_FX:.6f}",
        "fy_depth": f"{DEPTH_FX:.6f}",
        "mx_color": f"{COLOR_CX:.6f}",
        "mx_depth": f"{DEPTH_CX:.6f}",
        "my_color": f"{COLOR_CY:.6f}",
        "my_depth": f"{DEPTH_CY:.6f}",
        "numColorFrames": frames,
        "numDepthFrames": frames,
        "numIMUmeasurements": 2 * frames,
        "sceneType": scene_type,
    }
    path.write_text("".join(f"{key} = {value}\n" for key, value in values.items()))


def write_matrix(path: Path, matrix: np.ndarray) -> None:
    """Write a 4x4 matrix as four lines of '%f' values (-inf is legal)."""
    path.write_text("".join(" ".join(f"{value:f}" for value in row) + "\n" for row in matrix))


def intrinsics(fx: float, cx: float, cy: float) -> np.ndarray:
    """4x4 intrinsic matrix with square pixels."""
    matrix = np.eye(4)
    matrix[0, 0] = matrix[1, 1] = fx
    matrix[0, 2], matrix[1, 2] = cx, cy
    return matrix
