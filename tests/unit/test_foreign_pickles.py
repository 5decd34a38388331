"""Pickled values and arrays are read as they were written, and nothing that a stream asks for is ever done."""

import math
import os
import pickletools
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pickled import PROTOCOLS, hostile_streams, pickled

from regionzoo.foreign.files import describe
from regionzoo.foreign.machine import Machine, Refused
from regionzoo.foreign.opcodes import load as load_next
from regionzoo.foreign.stand_ins import NAMES, Array
from regionzoo.foreign.torch_streams import PICKLED

torch = pytest.importorskip("torch")

ALL = pytest.mark.parametrize("protocol", PROTOCOLS)
NUMBERS = st.one_of(st.integers(-300, 70_000), st.integers(-(2**63), 2**64))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), st.text(max_size=20), st.binary(max_size=300)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.integers(-(2**31), 2**31 - 1), max_size=40),
        st.lists(st.integers(0, 255), max_size=40).map(tuple),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(0, 99)), inner, max_size=4),
    ),
    max_leaves=12,
)


def load(content):
    return load_next(Machine(memoryview(content), PICKLED, NAMES))


def plain(value):
    """The value with views as bytes and runs of numbers as numbers."""
    if type(value) is list:
        return [y for x in value for y in (map(int, x.tolist()) if type(x) is np.ndarray else (plain(x),))]
    if type(value) is tuple:
        return tuple(map(plain, value))
    if type(value) is dict:
        return {key: plain(inner) for key, inner in value.items()}
    return bytes(value) if type(value) is memoryview else value


def alike(one, other):
    if type(one) is not type(other):
        return False
    if type(one) is float:
        return one == other or (math.isnan(one) and math.isnan(other))
    if type(one) is dict:
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    return len(one) == len(other) and all(map(alike, one, other)) if type(one) in (list, tuple) else one == other


@ALL
@given(value=VALUES)
@settings(max_examples=60, deadline=None)
def test_plain_values(protocol, value):
    assert alike(plain(load(pickled(value, protocol))), value)


@given(
    values=st.lists(
        st.one_of(st.integers(0, 255), st.integers(0, 65535), st.integers(-(2**31), 2**31 - 1)), max_size=60
    ),
    tail=st.sampled_from([[], [(1, 2)], [None], [{}], [2**40]]),
    protocol=st.sampled_from(PROTOCOLS),
)
@example(values=list(range(250, 2500)), tail=[(7, 8, 9)], protocol=2)
@example(values=list(range(65_000, 66_100)), tail=[], protocol=4)
def test_long_lists_of_numbers(values, tail, protocol):
    assert plain(load(pickled(values + tail, protocol))) == values + tail


def test_what_follows_a_run_of_numbers_takes_single_numbers_from_it():
    """The opcodes behind a long run pop, copy and remember its last numbers only."""
    numbers = b"".join(b"K" + bytes([n]) for n in range(20))
    listed = plain(load(b"\x80\x02](" + numbers + b"02q\x07\x86h\x07e."))
    assert listed == [*range(18), (18, 18), 18]


def test_dicts_of_other_kinds():
    for value in (OrderedDict(a=[1], b=[2]), defaultdict(list, a=[1]), defaultdict(dict, a={"b": [1]})):
        for protocol in PROTOCOLS:
            assert load(pickled(value, protocol)) == dict(value)


@ALL
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["?", "u1", "<i4", ">i4", "<i8", "<u2", "<f4", ">f8", "<f2"])
def test_numpy_arrays(protocol, order, kind):
    array = np.asarray(np.arange(12).reshape(3, 4), dtype=kind, order=order)
    for stored in (array, array[1], array[:0], array[1:, ::2], np.array(array[2, 3])):
        (found,) = load(pickled([stored], protocol))
        values = found.values() if isinstance(found, Array) else found
        assert values.shape == stored.shape
        np.testing.assert_array_equal(values, stored)
    assert load(pickled(array[2, 3], protocol)) == array[2, 3]


def test_numpy_1_and_2_name_their_modules_differently():
    array = np.arange(5)
    for protocol in PROTOCOLS:
        content = pickled(array, min(protocol, 2))
        assert b"numpy._core.multiarray\n" in content
        old = content.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
        np.testing.assert_array_equal(load(old).values(), array)


def tensors():
    base = torch.arange(24)
    return [
        base,
        base.int(),
        base.short(),
        base.float(),
        base.bool(),
        base[3:9],
        base[::5],
        base.reshape(4, 6).T,
        base[:0],
    ]


@ALL
def test_tensors_through_pickle(protocol):
    for tensor, found in zip(tensors(), load(pickled(tensors(), protocol)), strict=True):
        np.testing.assert_array_equal(found.values(), tensor.numpy())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_files_of_torch_save(tmp_path, zipped):
    stored = (*tensors(), np.arange(6.0).reshape(2, 3), "text", None)
    torch.save(stored, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    found = describe(tmp_path / "a.pth")
    for value, other in zip(stored[:-2], found[:-2], strict=True):
        np.testing.assert_array_equal(other.values(), np.asarray(value))
    assert found[-2:] == ("text", None)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_tensors_that_claim_more_than_they_hold():
    good = torch.arange(4)
    for shape, strides, offset in (((8,), (1,), 0), ((10**12,), (0,), 0), ((4,), (1,), 1), ((2, 2), (3, 1), 0)):
        odd = torch.arange(4)
        odd.__class__ = type("Odd", (torch.Tensor,), {"__reduce_ex__": lambda self, _: self.reduction})
        odd.reduction = (
            torch._utils._rebuild_tensor_v2,
            (good.storage(), offset, shape, strides, False, OrderedDict()),
        )
        with pytest.raises(Refused, match="memory"):
            load(pickled(odd)).values()
    assert load(pickled(torch.zeros(2, dtype=torch.bfloat16))).shape == (2,)
    with pytest.raises(Refused, match="another type"):
        load(pickled(torch.zeros(2, dtype=torch.bfloat16))).values()


def test_an_array_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        load(pickled(np.arange(3))).values()[0] = 7


@pytest.mark.parametrize("name", hostile_streams(os.devnull))
def test_hostile_streams_are_refused(name, tmp_path):
    marker = tmp_path / "marker"
    with pytest.raises(Refused) as told:
        value = load(hostile_streams(marker)[name])
        for item in value if type(value) is list else [value]:
            item.values()
    assert "\n" not in str(told.value) and len(str(told.value)) < 200
    assert not marker.exists()


GOOD = [
    pickled([{"scene_name": "a", "infos": {"0": torch.arange(9), "1": np.arange(9), "2": list(range(40))}}], protocol)
    for protocol in PROTOCOLS
]


@ALL
def test_every_truncation_is_refused(protocol):
    content = GOOD[protocol]
    ends = sorted({position for _, _, position in pickletools.genops(content)} | set(range(0, len(content), 7)))
    for end in ends:
        with pytest.raises(Refused):
            load(content[:end])


@ALL
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_damage_is_refused_or_read_and_nothing_else(protocol, data):
    content = bytearray(GOOD[protocol])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        load(bytes(content))
    except Refused as error:
        assert "\n" not in str(error)


def test_damaged_archives_of_torch_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    for zipped in (True, False):
        torch.save((torch.arange(9), np.arange(9)), path, _use_new_zipfile_serialization=zipped)
        whole = path.read_bytes()
        for end in range(0, len(whole), 41):
            path.write_bytes(whole[:end])
            with pytest.raises(Refused):
                describe(path)
        path.write_bytes(whole + b"x" * 5 if not zipped else whole[:30])
        with pytest.raises(Refused):
            describe(path)
