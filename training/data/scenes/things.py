# SPDX-License-Identifier: Apache-2.0
"""What stands, drives or walks in a street: a model and its place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from .camera import Pose
from .canvas import Canvas
from .ground import Road

SIGHT = 125.0  # m ahead; what is farther is not drawn


class Model(Protocol):
    """What can be drawn at a pose; `size` is (width, height, length) m."""

    @property
    def size(self) -> tuple[float, float, float]:
        """(width, height, length) m."""
        ...

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw it standing at a pose at a time in s."""
        ...


@dataclass(frozen=True)
class Thing:
    """A model at its place in the street.

    Attributes:
        model: what it is.
        s, d: its place at time 0, m along and to the right of the road's axis.
        label: as in Cityscapes; None: it is not labelled.
        turn: its heading relative to the street's, radians.
        speed: along its heading, m/s.
        y: the height of what it stands on, m.
        nearer: m by which it is drawn as if nearer, to order what stands at one place.
        shadow: whether it throws one.
    """

    model: Model
    s: float
    d: float
    label: str | None = None
    turn: float = 0.0
    speed: float = 0.0
    y: float = 0.0
    nearer: float = 0.0
    shadow: bool = True

    def pose(self, road: Road, time: float) -> Pose:
        """Where it is at a time in s."""
        way = self.speed * time
        at = road.place(
            self.s + way * math.cos(self.turn), self.d + way * math.sin(self.turn), self.turn
        )
        return Pose(at.x, at.z, at.heading, self.y)
