"""A reader in a process of its own stays within its limits, and whatever becomes of it is one line for the user."""

import os
from pathlib import Path

import numpy as np
import pytest
from pickled import Call, hostile_streams, write_pickle

from regionzoo.errors import UserError
from regionzoo.foreign.arrays import read_tuple
from regionzoo.foreign.confined import Limits, run_confined

torch = pytest.importorskip("torch")

SMALL = Limits(memory=1 << 27, seconds=1, disk=1 << 22)


@pytest.fixture
def do(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))

    def do(what):
        task = {"do": what, "marker": str(tmp_path / "marker")}
        run_confined("greedy_reader", task, Path("the file"), tmp_path, SMALL)

    return do


OVER = {
    "memory": r"needs more than 0\.1 GiB of memory",
    "time": "takes more than 1 s to read",
    "disk": r"cannot be converted \(File too large\)",
    "crash": "its reader was ended by SIGSEGV",
    "recursion": "is nested too deeply",
    "bug": r"its reader failed \(of two lines\)",
    "talk": r"it says: \?\[31mred\? and more",
}


@pytest.mark.parametrize("what", OVER)
def test_ends_of_a_reader(do, what):
    with pytest.raises(UserError, match=f"^the file: {OVER[what]}") as told:
        do(what)
    assert str(told.value).isprintable() and len(str(told.value)) < 600


@pytest.mark.skipif(os.geteuid() == 0, reason="the limit of processes does not bind root")
def test_a_reader_starts_no_process(do, tmp_path):
    with pytest.raises(UserError):
        do("process")
    assert not (tmp_path / "marker").exists()


def test_a_reader_that_is_content(do, tmp_path, capfd):
    do("good")
    assert (tmp_path / "result").read_text() == "done"
    assert capfd.readouterr() == ("", "")


def test_limits_grow_with_the_file():
    small, large = Limits.of_size(1000), Limits.of_size(10**9)
    assert small.memory > 1 << 30 and large.memory > small.memory + 10**9
    assert small.seconds >= 60 and large.seconds > small.seconds
    assert large.disk > 10**9


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_tuples_of_arrays(tmp_path, form):
    stored = (np.arange(6.0).reshape(2, 3), torch.arange(4).int(), "text", np.arange(3, dtype=">i2"), np.zeros((0, 3)))
    path = tmp_path / "a b.pth"
    if form == "pickle":
        write_pickle(path, list(stored))
    else:
        torch.save(stored, path, _use_new_zipfile_serialization=form == "zip")
    found = read_tuple(path)
    assert len(found) == 5 and found[2] is None
    for k in (0, 1, 3, 4):
        np.testing.assert_array_equal(found[k], np.asarray(stored[k]))
        assert found[k].dtype == np.asarray(stored[k]).dtype.newbyteorder("=")


def test_other_things_than_tuples_of_arrays(tmp_path):
    path = tmp_path / "a.pth"
    for content, told in (
        ({"a": 1}, "holds a dict, expected a tuple"),
        ([0] * 101, "holds a list"),
        (3, "holds a int"),
    ):
        with pytest.raises(UserError, match=rf"a\.pth: {told}"):
            read_tuple(write_pickle(path, content))
    with pytest.raises(UserError, match=r"b\.pth: cannot be read \(No such file"):
        read_tuple(tmp_path / "b.pth")
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.pth: is empty"):
        read_tuple(path)


@pytest.mark.parametrize("name", ["os.system", "huge shape"])
def test_hostile_files(tmp_path, name):
    marker, path = tmp_path / "marker", tmp_path / "a.pth"
    path.write_bytes(hostile_streams(marker)[name])
    with pytest.raises(UserError, match=r"a\.pth: .*nothing of it was used") as told:
        read_tuple(path)
    assert "\n" not in str(told.value)
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_hostile_object_in_a_file_of_torch(tmp_path, zipped):
    marker, path = tmp_path / "marker", tmp_path / "a.pth"
    content = (torch.arange(3), Call(os.system, f"touch {marker}"))
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"names 'posix\.system'"):
        read_tuple(path)
    assert not marker.exists()
