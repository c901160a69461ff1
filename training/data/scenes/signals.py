# SPDX-License-Identifier: Apache-2.0
"""Traffic lights for vehicles and for people on foot, on poles and on arms over the road."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .camera import Pose
from .canvas import Canvas
from .mesh import Mesh, MeshBuilder, Solid

_BOX = (34, 36, 36)
_STEEL = (120, 122, 122)
_LENSES = {'red': (40, 40, 250), 'yellow': (40, 190, 255), 'green': (150, 240, 70)}
_PHASES = (('red', 9.0), ('red yellow', 1.0), ('green', 9.0), ('yellow', 2.0))
_CYCLE = sum(seconds for _, seconds in _PHASES)


def state_at(time: float) -> str:
    """Return the lit lamps at a time in s of the signal's cycle."""
    rest = time % _CYCLE
    for state, seconds in _PHASES:
        if rest < seconds:
            return state
        rest -= seconds
    return 'red'


@cache
def _housing(state: str, lamps: tuple[str, ...], scale: float, backboard: bool) -> Mesh:
    build = MeshBuilder()
    half, pitch, depth = 0.15 * scale, 0.3 * scale, 0.18 * scale
    high = pitch * len(lamps)
    if backboard:
        build.on('-z', 0.05, (-half * 1.9, -0.15, half * 1.9, high + 0.15), (22, 22, 22))
        build.on(
            '-z', 0.04, (-half * 1.9, -0.15, half * 1.9, high + 0.15), (24, 24, 24), detail=20
        )
    build.box((-half, 0, -depth), (half, high, depth), _BOX)
    for k, name in enumerate(reversed(lamps)):
        y = (k + 0.5) * pitch
        on = name in state.split()
        lens = _LENSES[name] if on else tuple(0.22 * c + 12 for c in _LENSES[name])
        build.disc((0, y, -depth - 0.01), half * 0.78, (12, 12, 12), (0, 0, -1), detail=14)
        build.disc((0, y, -depth - 0.02), half * 0.66, lens, (0, 0, -1), glow=1.0 if on else 0.0)
        if on:
            bright = tuple(min(255.0, c * 0.5 + 140) for c in lens)
            build.disc((0, y, -depth - 0.03), half * 0.32, bright, (0, 0, -1), 1.0, 30)
            build.lamp((0, y, -depth - 0.05), (0, 0, -1), tuple(0.8 * c for c in lens), 0.5)
        for sign in (-1.0, 1.0):  # the visor
            x = sign * half * 0.8
            build.face([(x, y, -depth), (x, y, -depth - 0.16), (x, y + half * 0.6, -depth - 0.2),
                        (x, y + half * 0.6, -depth)], (20, 20, 20), None, detail=34)  # fmt: skip
        build.on(
            '+y',
            y + half * 0.8,
            (-half * 0.8, -depth - 0.2, half * 0.8, -depth),
            (26, 26, 26),
            detail=26,
        )
    return build.build()


@dataclass(frozen=True)
class Signal:
    """The housing with its lamps; it looks against its heading.

    Attributes:
        bottom: its lower edge, m.
        right, ahead: its place from that of the pole, m.
        start: where in its cycle it is at time 0, s.
        lamps: from the top.
        scale: 1 for lamps of 20 cm.
        backboard: whether a black board is behind it.
    """

    bottom: float
    right: float
    start: float
    lamps: tuple[str, ...] = ('red', 'yellow', 'green')
    scale: float = 1.0
    backboard: bool = False
    ahead: float = -0.12

    @property
    def size(self) -> tuple[float, float, float]:
        """(width, height, length) m."""
        return (0.3, self.bottom + 0.9, 0.3)

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw it at a time in s."""
        state = state_at(self.start + time)
        if 'yellow' not in self.lamps:
            state = 'green' if state == 'green' else 'red'
        housing = _housing(state, self.lamps, self.scale, self.backboard)
        housing.draw(canvas, pose.offset(self.right, self.ahead, up=self.bottom))


@cache
def signal_pole(height: float, arm: float) -> Solid:
    """Return a pole with an arm (m, to the left for negative) at its top; 0 for none."""
    build = MeshBuilder()
    build.box((-0.07, 0, -0.07), (0.07, height, 0.07), _STEEL)
    if arm:
        x1, x2 = sorted((0.0, arm))
        build.box((x1, height - 0.25, -0.06), (x2, height - 0.1, 0.06), _STEEL)
    return Solid(((build.build(), (0, 0, 0)),), (0.2, height, 0.2))
