"""Objects of a stored scene: its annotation groups without walls and floors."""

from __future__ import annotations

import numpy as np

from regionzoo.classes import class_set
from regionzoo.scenes.store import NO_INSTANCE

STUFF = ("wall", "floor")


def instance_ids(labels: np.ndarray, group: np.ndarray) -> np.ndarray:
    """int32 [N]: each point's group, -100 where it has none or the group is a wall or a floor.

    labels: integer [N], positions in scannet20, -100 unlabelled. group: integer [N], -100 for none (both as stored). A
    group is what most of its points are. The original asks the label table instead and numbers the groups that are left
    without gaps; the partition is the same, and the store needs no raw files. Objects outside the 20 classes keep their
    id: it drops out with their label.
    """
    classes = class_set("scannet20")
    inside = group >= 0
    ids = np.where(inside, group, NO_INSTANCE).astype(np.int32)
    if not inside.any():
        return ids
    columns = len(classes.names) + 1
    known = np.where((labels >= 0) & (labels < columns - 1), labels, columns - 1).astype(np.int64)
    groups = int(group.max()) + 1
    cells = group[inside].astype(np.int64) * columns + known[inside]
    counts = np.bincount(cells, minlength=groups * columns).reshape(groups, columns)
    stuff = np.isin(counts.argmax(axis=1), [classes.index(name) for name in STUFF])
    ids[inside & stuff[np.where(inside, group, 0)]] = NO_INSTANCE
    return ids
