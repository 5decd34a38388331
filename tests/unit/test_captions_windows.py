"""Places of sliding windows: stated counts, and an oracle that marks pixels."""

import numpy as np
import pytest

from regionzoo.captions.windows import WINDOW_SIZE, WINDOW_STRIDE, sliding_windows, window_starts

AXES = [(WINDOW_SIZE[0], WINDOW_STRIDE[0]), (WINDOW_SIZE[1], WINDOW_STRIDE[1]), (10, 7), (7, 10)]


def marked_starts(length, size, stride):
    """The rule in the words of the reference: candidates that leave more than one pixel over, then what is bare."""
    starts = [start for start in range(length) if start % stride == 0 and length - start - size > 1]
    bare = np.ones(length, bool)
    bare[starts[-1] :][:size] = False
    bare[: starts[-1]] = False
    if 2 * bare.sum() > size:
        starts.append(length - 1 - size)
    return starts


@pytest.mark.parametrize(("size", "stride"), AXES)
def test_starts_against_the_oracle(size, stride):
    for length in range(size + 2, 5 * size):
        assert window_starts(length, size, stride) == marked_starts(length, size, stride)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (968, 1296, [0, 280, 560], [0, 350, 700]),
        (900, 1600, [0, 280, 499], [0, 350, 700, 1050]),
        (480, 640, [0], [0]),
        # Exactly half a window left over is not enough for another one.
        (600, 750, [0], [0]),
        (601, 751, [0, 200], [0, 250]),
        (682, 852, [0, 280], [0, 350]),
    ],
)
def test_windows_of_known_sizes(height, width, rows, columns):
    windows = sliding_windows(height, width)
    assert windows == [(x, y, x + 500, y + 400) for y in rows for x in columns]
    crop = np.zeros((height, width))[windows[-1][1] : windows[-1][3], windows[-1][0] : windows[-1][2]]
    assert crop.shape == (400, 500)


def test_a_small_image_is_one_window():
    assert sliding_windows(242, 324) == [(0, 0, 324, 242)]
    assert sliding_windows(401, 501) == [(0, 0, 500, 400)]
    assert sliding_windows(300, 852) == [(0, 0, 500, 300), (350, 0, 850, 300)]


def test_windows_stay_inside_and_leave_less_than_half_a_window():
    rng = np.random.default_rng(0)
    for height, width in rng.integers((402, 502), 2500, (50, 2)):
        windows = np.array(sliding_windows(int(height), int(width)))
        assert windows.min() >= 0
        assert windows[:, 2].max() < width
        assert windows[:, 3].max() < height
        assert width - windows[:, 2].max() <= 250
        assert height - windows[:, 3].max() <= 200
