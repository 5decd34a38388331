"""Hostile and damaged index files: one line, nothing run, nothing written, the caller unharmed."""

import numpy as np
import pytest
from pickled import hostile_streams, write_pickle
from released_captions import random_captions, store_scenes, write_index, write_texts

from regionzoo.captions.imported.build import import_captions
from regionzoo.errors import UserError
from regionzoo.foreign.confined import Limits, run_confined

SIZES = {"scene0000_00": 40, "scene0000_01": 70}


@pytest.fixture
def refused(tmp_path):
    """Expects that an index of these bytes is refused without a trace; returns the message."""
    store_scenes(tmp_path / "scenes", SIZES)
    texts = write_texts(tmp_path / "c.json", random_captions(SIZES))

    def refused(content):
        path = tmp_path / "i.pkl"
        path.write_bytes(content)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UserError, match=r"i\.pkl: .*nothing of it was used") as told:
            import_captions(texts, path, tmp_path / "scenes", list(SIZES), tmp_path / "out")
        assert sorted(tmp_path.rglob("*")) == before
        assert str(told.value).isprintable()
        return str(told.value)

    return refused


@pytest.mark.parametrize("name", ["inside a scene", "bytes", "instance", "nested endlessly", "nothing"])
def test_hostile_indices(tmp_path, refused, name):
    refused(hostile_streams(tmp_path / "marker")[name])


@pytest.mark.parametrize("share", [0.02, 0.999])
def test_truncated_indices(tmp_path, refused, share):
    content = write_index(tmp_path / "whole.pkl", random_captions(SIZES), "list").read_bytes()
    assert "cut short" in refused(content[: int(len(content) * share)])


def test_bytes_behind_the_end(tmp_path, refused):
    content = write_index(tmp_path / "whole.pkl", random_captions(SIZES), "list").read_bytes()
    assert "3 bytes are left over" in refused(content + b"abc")


def test_one_array_claimed_by_endless_regions_does_not_fill_the_disk(tmp_path):
    index = write_pickle(tmp_path / "i.pkl", {"a": dict.fromkeys(map(str, range(9000)), np.arange(1000))})
    assert index.stat().st_size < 100_000
    limits = Limits(memory=1 << 30, seconds=60, disk=1 << 20)
    task = {"path": str(index), "wanted": ["a"], "most": 1000}
    with pytest.raises(UserError, match=r"i\.pkl: cannot be converted \(File too large\)"):
        run_confined("regionzoo.captions.imported.index_reader", task, index, tmp_path, limits)
    assert (tmp_path / "ids.bin").stat().st_size <= 1 << 20
