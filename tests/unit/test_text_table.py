"""Text tables: building, storing, refusing."""

import hashlib

import numpy as np
import pytest

from regionzoo.artifacts import write_safetensors
from regionzoo.errors import UserError
from regionzoo.text.table import TextTable, build_table, load_table, save_table


class HashEncoder:
    """Unit vectors from the hash of a string: an encoder in every respect but meaning."""

    identity = "hash"
    dimension = 8

    def __init__(self):
        self.facts = {"encoder": "hash", "weights_sha256": "none"}
        self.calls = []

    def encode(self, strings):
        self.calls.append(tuple(strings))
        seeds = [int.from_bytes(hashlib.sha256(string.encode()).digest()[:8], "little") for string in strings]
        rows = np.array([np.random.default_rng(seed).normal(size=8) for seed in seeds]).reshape(-1, 8)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def count_truncated(self, strings):
        return sum(len(string) > 10 for string in strings)


STRINGS = ["sofa", "chair", "sofa", "a brown couch", "Tür", "桌子", 'a "quoted" one']


def test_unique_sorted_and_encoded_once():
    encoder = HashEncoder()
    table = build_table(iter(STRINGS), encoder)
    assert table.strings == tuple(sorted(set(STRINGS)))
    assert encoder.calls == [table.strings]
    assert table.vectors.dtype == np.float32
    assert table.vectors.shape == (6, 8)
    assert table.dimension == 8
    assert table.facts == {"encoder": "hash", "weights_sha256": "none", "truncated": "2"}


def test_lookup():
    table = build_table(STRINGS, HashEncoder())
    positions = table.lookup(STRINGS)
    assert positions.dtype == np.int64
    assert [table.strings[position] for position in positions] == STRINGS
    np.testing.assert_array_equal(table.vectors[positions], HashEncoder().encode(STRINGS))
    assert table.lookup([]).shape == (0,)
    with pytest.raises(UserError, match=r"no vector for 'bench'.*run the text rule"):
        table.lookup(["sofa", "bench"])


def test_round_trip_is_exact_and_reproducible(tmp_path):
    table = build_table(STRINGS, HashEncoder())
    save_table(tmp_path / "a.safetensors", table)
    save_table(tmp_path / "b.safetensors", build_table(reversed(STRINGS), HashEncoder()))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = load_table(tmp_path / "a.safetensors")
    assert loaded.strings == table.strings
    assert loaded.facts == table.facts
    np.testing.assert_array_equal(loaded.vectors, table.vectors)


def test_empty_table(tmp_path):
    save_table(tmp_path / "t.safetensors", build_table([], HashEncoder()))
    assert len(load_table(tmp_path / "t.safetensors")) == 0


def test_absent_and_damaged(tmp_path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(UserError, match="no such text table"):
        load_table(path)
    save_table(path, build_table(STRINGS, HashEncoder()))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="damaged"):
        load_table(path)
    write_safetensors(path, {"x": np.zeros(1)}, {"format": "0"})
    with pytest.raises(UserError, match="format 0, expected 1"):
        load_table(path)


@pytest.mark.parametrize(
    ("strings", "vectors", "reason"),
    [
        (("a", "b"), np.eye(3, dtype=np.float32), "2 strings but vectors of shape"),
        (("b", "a"), np.eye(2, dtype=np.float32), "not sorted"),
        (("a", "a"), np.eye(2, dtype=np.float32), "not sorted and unique"),
        (("a", "b"), 2 * np.eye(2, dtype=np.float32), "not of length 1"),
        (("a", "b"), np.full((2, 2), np.nan, np.float32), "not of length 1"),
    ],
)
def test_content_that_cannot_be_right(tmp_path, strings, vectors, reason):
    path = tmp_path / "t.safetensors"
    save_table(path, TextTable(strings, vectors))
    with pytest.raises(UserError, match=reason):
        load_table(path)
