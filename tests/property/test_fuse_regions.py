"""SFusion against Python sets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.captions.fuse import fuse, region_iou
from regionzoo.captions.store import from_regions

N_POINTS = 12
# Lists, not sets: a vertex may be listed twice.
region = st.lists(st.integers(0, N_POINTS - 1), max_size=6).map(sorted)
source = st.lists(region, max_size=5)
bound = st.sampled_from([0.0, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.6, 1.0])


def pack(regions, prefix):
    names = [f"{prefix}_{k}" for k in range(len(regions))]
    return from_regions("scene0000_00", "hash", N_POINTS, names, [f"text of {name}" for name in names], regions)


def iou(a, b):
    a, b = set(a), set(b)
    return len(a & b) / (len(a | b) + 1e-6)


def fuse_sets_of_points(primary, others, high, low, cascade):
    """(name, text, points) of the fused regions, by the definition."""
    result = [(f"p_{k}", f"text of p_{k}", points) for k, points in enumerate(primary)]
    for number, candidates in enumerate(others, start=1):
        compared = [points for _, _, points in result] if cascade else primary
        accepted = []
        for j, points in enumerate(candidates):
            largest = max((iou(other, points) for other in compared), default=0.0)
            if points and low[number - 1] <= largest <= high[number - 1]:
                accepted.append((f"app_{number}_{len(accepted)}", f"text of s{number}_{j}", points))
        result += accepted
    return result


@settings(max_examples=200, deadline=None)
@given(primary=source, others=st.lists(st.tuples(source, bound, bound), max_size=3), cascade=st.booleans())
def test_fusion_equals_sets(primary, others, cascade):
    high = [max(a, b) for _, a, b in others]
    low = [min(a, b) for _, a, b in others]
    candidates = [regions for regions, _, _ in others]
    packed = [pack(regions, f"s{k}") for k, regions in enumerate(candidates, start=1)]
    fused = fuse(pack(primary, "p"), packed, high, low, cascade)
    found = [(fused.names[k], fused.texts[k], fused.region(k).tolist()) for k in range(len(fused))]
    assert found == fuse_sets_of_points(primary, candidates, high, low, cascade)


@settings(max_examples=100, deadline=None)
@given(first=source, second=source)
def test_iou_equals_sets_and_leaves_its_input_alone(first, second):
    a, b = pack(first, "a"), pack(second, "b")
    overlap = region_iou(a, b)
    assert overlap.shape == (len(first), len(second))
    assert overlap.toarray().tolist() == [[iou(x, y) for y in second] for x in first]
    assert [a.region(k).tolist() for k in range(len(a))] == first
    assert [b.region(k).tolist() for k in range(len(b))] == second


frame = st.tuples(st.lists(region, max_size=4), st.lists(region, max_size=4), st.lists(region, max_size=3))


@settings(max_examples=100, deadline=None)
@given(frames=st.lists(frame, max_size=4), high=st.tuples(bound, bound), cascade=st.booleans())
def test_a_drive_is_fused_like_its_keyframes_one_by_one(frames, high, cascade):
    """Regions of a drive lie in one keyframe each, whose points are a range of the drive's."""

    def packed(regions, name):
        texts = [f"{name} {k}" for k in range(len(regions))]
        return from_regions("scene-0001", "hash", N_POINTS * max(len(frames), 1), texts, texts, regions)

    def shifted(k, source):
        return [[point + k * N_POINTS for point in region] for region in frames[k][source]]

    def fused(sources):
        first, *others = (packed(regions, name) for name, regions in zip("abc", sources, strict=True))
        result = fuse(first, others, high, (0.0, 0.0), cascade)
        return [(name.rsplit("_", 1)[0], result.region(k).tolist()) for k, name in enumerate(result.names)]

    keyframes = range(len(frames))
    whole = fused([[region for k in keyframes for region in shifted(k, source)] for source in range(3)])
    # Sorted by what they were added by; within that, the order is that of the keyframes.
    parts = [pair for k in keyframes for pair in fused([shifted(k, source) for source in range(3)])]
    added = [[pair for pair in parts if pair[0] == name] for name in ("app_1", "app_2")]
    own = [pair[1] for pair in parts if not pair[0].startswith("app_")]
    assert [pair[1] for pair in whole] == own + [pair[1] for pairs in added for pair in pairs]
    assert [pair[0] for pair in whole[len(own) :]] == [pair[0] for pairs in added for pair in pairs]
