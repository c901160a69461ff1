# SPDX-License-Identifier: Apache-2.0
"""The plan of a street: its lanes, kerbs and crossings, and where there is room for what."""

from __future__ import annotations

import math
from random import Random
from typing import NamedTuple

from .light import sample_light
from .styles import City
from .things import SIGHT, Model, Thing

LANE = 3.25
KERB = 0.12


class Crossing(NamedTuple):
    """A street that crosses at s m, `half` m to each side, with or without traffic lights."""

    s: float
    half: float
    signals: bool


class Plan:
    """A street while it is being furnished.

    Args:
        random: the source of everything.
        city: its style.
        length: m of the street in which things stand.
        pace: m/s of the camera, which those ahead in its lane keep too.
    """

    def __init__(self, random: Random, city: City, length: float, pace: float) -> None:
        self.random, self.city, self.length, self.pace = random, city, length, pace
        self.light = sample_light(random, city.weather)
        self.each_way = random.choices((1, 2), city.lanes)[0]
        self.tracks = random.random() < city.tram
        self.median = 3.3 if self.tracks else 0.0
        self.parking = tuple(random.random() < 0.6 for _ in range(2))  # left, right
        self.cycle_lane = random.random() < 0.3
        self.pavement = tuple(random.uniform(2.4, 5.2) for _ in range(2))
        driving = self.median + self.each_way * LANE
        self.kerbs = tuple(
            driving + 2.2 * parked + (1.6 if self.cycle_lane else 0.3) for parked in self.parking
        )
        self.crossings = self._crossings()
        self.things: list[Thing] = []
        self.lamps: list[tuple[float, float]] = []
        # (s, d, half length, half width) of vehicles; the first is the camera's.
        self._taken = [(-2.0, self.median + LANE / 2, 6.0, LANE)]

    @property
    def moving(self) -> bool:
        """Whether the camera drives through it, rather than taking one picture."""
        return self.length > SIGHT

    @property
    def lanes(self) -> list[float]:
        """D of the lanes in which the camera may drive, m."""
        return [self.median + LANE * (k + 0.5) for k in range(self.each_way)]

    def _crossings(self) -> list[Crossing]:
        found, s = [], self.random.uniform(12, 75)
        while s < self.length + 10:
            half, signals = self.random.uniform(3.6, 6.8), self.random.random() < 0.66
            found.append(Crossing(s, half, signals))
            s += self.random.uniform(45, 110)
        return found

    def free(self, s: float, margin: float) -> bool:
        """Tell whether s is at least `margin` m from all crossing streets."""
        return all(abs(s - one.s) > one.half + margin for one in self.crossings)

    def edge(self, side: int) -> float:
        """Return the distance of the left (-1) or right (1) kerb from the axis, m."""
        return self.kerbs[side > 0]

    def add(
        self,
        model: Model,
        s: float,
        d: float,
        label: str | None = None,
        turn: float = 0.0,
        speed: float = 0.0,
        y: float = 0.0,
        nearer: float = 0.0,
        shadow: bool = True,
    ) -> None:
        """Add a thing; the arguments are those of `Thing`."""
        self.things.append(Thing(model, s, d, label, turn, speed, y, nearer, shadow))

    def clear(self, s: float, d: float, half_s: float, half_d: float) -> bool:
        """Tell whether no vehicle is within half_s along and half_d across the street."""
        return not any(
            abs(s - other_s) < half_s + other_half_s and abs(d - other_d) < half_d + other_half_d
            for other_s, other_d, other_half_s, other_half_d in self._taken
        )

    def add_vehicle(
        self, model: Model, s: float, d: float, label: str, turn: float, speed: float = 0.0
    ) -> bool:
        """Add a vehicle where no other one is; tell whether there was room."""
        width, _, length = model.size
        along, across = abs(math.cos(turn)), abs(math.sin(turn))
        half = (
            (length * along + width * across) / 2 + 0.4,
            (length * across + width * along) / 2 + 0.1,
        )
        if not self.clear(s, d, *half):
            return False
        self._taken.append((s, d, *half))
        self.add(model, s, d, label, turn, speed)
        return True
