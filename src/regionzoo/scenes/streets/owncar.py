"""The recording car itself, as its own lidar sees it."""

from __future__ import annotations

from regionzoo.scenes.streets.things import Finish, Part, ball, box, post

_PAINT = Finish((200, 200, 205), 0.08)


def own_car() -> tuple[Part, ...]:
    """Roof, rear, bonnet and mirrors of a small car, x forward from the middle of its rear axle."""
    return (
        box((0.62, 0.0, 1.42), (1.5, 1.06, 0.16), _PAINT),
        box((0.25, 0.0, 1.50), (0.5, 0.9, 0.12), _PAINT),
        box((2.75, 0.0, 0.80), (0.8, 1.3, 0.24), _PAINT),
        ball((2.05, 0.86, 0.98), (0.16, 0.24, 0.2), _PAINT),
        ball((2.05, -0.86, 0.98), (0.16, 0.24, 0.2), _PAINT),
        post((0.1, 0.0, 1.55), 0.02, 0.1, _PAINT),
    )
