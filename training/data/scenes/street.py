# SPDX-License-Identifier: Apache-2.0
"""A street and all that stands, drives and walks in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import numpy as np

from . import furniture, signals, signs
from .camera import Camera, Pose
from .canvas import Canvas
from .cycles import Rider, bicycle, motorcycle
from .facades import fronts
from .ground import Ground, Road, Shade, Strip
from .houses import House
from .light import Light, sample_light
from .people import Crowd, Person, look, rider_look
from .sky import Sky, random_sky
from .stock import stock
from .styles import City

LANE = 3.25
KERB = 0.12
SIGHT = 125.0  # m ahead; what is farther is not drawn
_WHITE = (205, 208, 208)


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


@dataclass
class Street:
    """Everything but the camera.

    Attributes:
        light: weather and time of day.
        sky: what is above and behind.
        ground: what is flat.
        things: what stands on it.
        lanes: d of the lanes in which the camera may drive, m.
        lamps: (s, d) of the lit lamps' pools on the ground.
    """

    light: Light
    sky: Sky
    ground: Ground
    things: list[Thing] = field(default_factory=list)
    lanes: list[float] = field(default_factory=list)
    lamps: list[tuple[float, float]] = field(default_factory=list)

    def draw(self, camera: Camera, time: float) -> Canvas:
        """Draw it as seen by a camera at a time in s."""
        canvas = Canvas(camera, self.light)
        self.sky.draw(canvas)
        self.ground.draw(canvas)
        seen = list(self._seen(camera, time))
        self._shade(canvas, seen)
        for _, thing, pose in sorted(seen, key=lambda item: -item[0]):
            canvas.start(thing.label)
            thing.model.draw(canvas, pose, time)
            canvas.finish()
        return canvas

    def _seen(self, camera: Camera, time: float) -> Iterator[tuple[float, Thing, Pose]]:
        forward = camera.rotation[2]
        for thing in self.things:
            pose = thing.pose(self.ground.road, time)
            away = pose.position - camera.position
            depth = float(away @ forward)
            reach = thing.model.size[2] / 2 + thing.model.size[0]
            if (
                -reach < depth < SIGHT + 25
                and abs(float(away @ camera.rotation[0])) < depth * 0.62 + reach + 6
            ):
                house = isinstance(thing.model, House)
                far = depth + (thing.model.size[2] / 2 if house else 0)
                yield far - thing.nearer, thing, pose

    def _shade(self, canvas: Canvas, seen: list[tuple[float, Thing, Pose]]) -> None:
        shade, light = Shade(canvas.camera), self.light
        sun = light.sun if light.direct.max() > 0.15 else None
        for _, thing, pose in seen:
            if thing.shadow and pose.z - canvas.camera.position[2] < 90:
                shade.shadow(pose, thing.model.size, sun)
                if light.lamps and thing.label in ('car', 'bus', 'truck') and thing.speed:
                    shade.beam(pose)
        if light.lamps:
            for s, d in self.lamps:
                at = self.ground.road.place(s, d)
                shade.pool(at.x, at.z, 5.5)
            position = canvas.camera.position
            shade.beam(Pose(float(position[0]), float(position[2])))
        shade.apply(canvas)


class StreetPlan:
    """Draws up a street of a city.

    Args:
        random: the source of everything.
        city: its style.
        length: m of the street in which things stand.
        pace: m/s of the camera, which those ahead in its lane keep too.
    """

    def __init__(
        self, random: Random, city: City, length: float = SIGHT, pace: float = 9.0
    ) -> None:
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
        self._taken = [(-2.0, self.median + LANE / 2, 6.0, LANE)]  # where the camera's car is

    def _crossings(self) -> list[tuple[float, float, bool]]:
        """Return (s, half width, whether it has signals) of the crossing streets."""
        found, s = [], self.random.uniform(12, 75)
        while s < self.length + 10:
            found.append((s, self.random.uniform(3.6, 6.8), self.random.random() < 0.66))
            s += self.random.uniform(45, 110)
        return found

    def _free(self, s: float, margin: float) -> bool:
        return all(abs(s - at) > half + margin for at, half, _ in self.crossings)

    def _edge(self, side: int) -> float:
        """Return the distance of the kerb from the axis, m."""
        return self.kerbs[side > 0]

    def _add(
        self, model: Model, s: float, d: float, label: str | None = None, **more: float
    ) -> None:
        self.things.append(Thing(model, s, d, label, **more))  # type: ignore[arg-type]

    def _clear(self, s: float, d: float, half_s: float, half_d: float) -> bool:
        """Tell whether no vehicle is within half_s along and half_d across the street."""
        return not any(
            abs(s - other_s) < half_s + other_half_s and abs(d - other_d) < half_d + other_half_d
            for other_s, other_d, other_half_s, other_half_d in self._taken
        )

    def _park_or_drive(
        self, model: Model, s: float, d: float, label: str, turn: float, speed: float = 0.0
    ) -> None:
        """Add a vehicle where no other one is."""
        width, _, length = model.size
        along, across = abs(math.cos(turn)), abs(math.sin(turn))
        half = (
            (length * along + width * across) / 2 + 0.4,
            (length * across + width * along) / 2 + 0.1,
        )
        if not self._clear(s, d, *half):
            return
        self._taken.append((s, d, *half))
        self._add(model, s, d, label, turn=turn, speed=speed)

    def build(self) -> Street:
        """Return the street."""
        curvature = self.random.choice((0.0, 0.0, self.random.uniform(-0.0022, 0.0022)))
        ground = self._ground(Road(curvature))
        sky = random_sky(self.random)
        for side in (-1, 1):
            self._houses(side)
            self._pavement(side)
            self._parked(side)
            self._walkers(side)
        self._traffic()
        self._cyclists()
        self._crossing_traffic()
        self._groups()
        lanes = [self.median + LANE * (k + 0.5) for k in range(self.each_way)]
        return Street(self.light, sky, ground, self.things, lanes, self.lamps)

    # ---- the ground

    def _ground(self, road: Road) -> Ground:
        random = self.random
        tone = random.uniform(76, 118)
        asphalt = (tone * 1.02, tone, tone * 0.98)
        paving = tuple(
            random.uniform(132, 168) * c for c in random.choice(((1, 1, 1), (0.92, 0.97, 1.04)))
        )
        base = random.choice(((118, 124, 126), (70, 122, 96), (126, 132, 136)))
        left, right = self.kerbs
        ground = Ground(road, base, (-left, right))
        add, end = ground.strips.append, self.length + 60
        for side, kerb in ((-1, left), (1, right)):
            width = self.pavement[side > 0]
            inner, outer = side * kerb, side * (kerb + width)
            add(Strip(inner, outer, -20, end, paving, KERB))
            for s in np.arange(-6, self.length - 65, 2.4):  # joints between the slabs
                add(Strip(inner, outer, s, s + 0.05, tuple(0.86 * c for c in paving), KERB))
            middle = side * (kerb + width * 0.45)
            add(Strip(middle, middle + 0.05, -20, end, tuple(0.88 * c for c in paving), KERB))
        add(Strip(-left, right, -20, end, asphalt))
        for side, kerb in ((-1, left), (1, right)):
            stone = tuple(1.08 * c for c in paving)
            add(Strip(side * kerb, side * (kerb + 0.16), -20, end, stone, KERB))
            add(
                Strip(
                    side * kerb, side * kerb, -20, end, tuple(0.75 * c for c in stone), KERB, True
                )
            )
            if self.parking[side > 0]:
                inner = kerb - 2.2 - (1.6 if self.cycle_lane else 0.3)
                bay = tuple(c * random.uniform(0.9, 1.12) for c in asphalt)
                add(Strip(side * (kerb - 2.2), side * kerb, -20, end, bay))
                add(Strip(side * (kerb - 2.26), side * (kerb - 2.16), -20, end, _WHITE))
                del inner
        for at, half, _ in self.crossings:
            add(Strip(-70, 70, at - half, at + half, asphalt))
        self._wear(ground, asphalt)
        self._markings(ground)
        return ground

    def _wear(self, ground: Ground, asphalt: tuple[float, ...]) -> None:
        random = self.random
        left, right = self.kerbs
        for _ in range(
            random.randrange(8) * round(self.length / SIGHT)
        ):  # where the road was mended
            s, d = random.uniform(0, self.length - 65), random.uniform(-left, right - 1.5)
            factor = random.uniform(0.8, 1.1)
            patch = tuple(c * factor for c in asphalt)
            ground.strips.append(
                Strip(d, d + random.uniform(0.6, 2), s, s + random.uniform(1, 6), patch)
            )
        for _ in range(random.randrange(4) * round(self.length / SIGHT)):  # manholes
            s, d = random.uniform(3, self.length - 85), random.uniform(-left, right)
            ground.strips.append(Strip(d, d + 0.6, s, s + 0.6, tuple(c * 0.6 for c in asphalt)))
            ground.strips.append(
                Strip(d + 0.08, d + 0.52, s + 0.08, s + 0.52, tuple(c * 0.78 for c in asphalt))
            )

    def _markings(self, ground: Ground) -> None:
        random = self.random
        add, end = ground.strips.append, self.length + 40
        faded = random.uniform(0.72, 1.0)
        white = tuple(c * faded for c in _WHITE)

        def line(d: float, dash: float, gap: float, width: float = 0.12) -> None:
            if not gap:
                for s1, s2 in self._between_crossings(-15, end):
                    add(Strip(d - width / 2, d + width / 2, s1, s2, white))
                return
            for s in np.arange(-10, end - 35, dash + gap):
                if self._free(s + dash / 2, dash / 2 + 1):
                    add(Strip(d - width / 2, d + width / 2, s, s + dash, white))

        if self.tracks:
            for middle in (-1.65, 1.65):
                for rail in (-0.72, 0.72):
                    add(Strip(middle + rail - 0.05, middle + rail + 0.05, -20, end, (70, 72, 74)))
            for d in (-3.3, 3.3):
                line(d, 3, 0)
        else:
            line(0, 3, random.choice((0, 3, 6)))
        for side in (-1, 1):
            for k in range(1, self.each_way):
                line(side * (self.median + LANE * k), 3, 6)
            outer = self.median + LANE * self.each_way
            if self.cycle_lane:
                line(side * outer, 1, 1, 0.2)
                if random.random() < 0.3:
                    for s1, s2 in self._between_crossings(-15, end):
                        d1, d2 = sorted((side * (outer + 0.15), side * (outer + 1.5)))
                        add(Strip(d1, d2, s1, s2, (72, 74, 132)))
        left, right = self.kerbs
        for at, half, _ in self.crossings:
            for end_of, sign in ((at - half - 3.4, -1), (at + half + 0.6, 1)):
                if random.random() < 0.7:
                    for d in np.arange(-left + 0.4, right - 0.4, 1.0):
                        add(Strip(d, d + 0.5, end_of, end_of + 2.8, white))
                stop = end_of - 1.2 if sign < 0 else end_of + 3.6
                d1, d2 = (self.median, self.kerbs[1] - 2.2 * self.parking[1]) if sign < 0 else (
                    -self.kerbs[0] + 2.2 * self.parking[0], -self.median)  # fmt: skip
                add(Strip(d1, d2, stop, stop + 0.4, white))

    def _between_crossings(self, start: float, end: float) -> Iterator[tuple[float, float]]:
        for at, half, _ in self.crossings:
            if at - half - 5 > start:
                yield start, at - half - 5
            start = at + half + 5
        if end > start:
            yield start, end

    # ---- along the street

    def _houses(self, side: int) -> None:
        random, choice = self.random, fronts(self.city)
        line = self._edge(side) + self.pavement[side > 0]
        s, free = random.uniform(-12, -4), True
        while s < self.length + 35:
            if random.random() < 0.09:  # a small park
                gap = random.uniform(10, 26)
                for at in np.arange(s + 2, s + gap, 3.5):
                    self._tree(at + random.uniform(-1, 1), side * (line + random.uniform(1, 9)))
                s, free = s + gap, True
                continue
            front = random.choice(choice)
            crossing = next(
                (
                    c
                    for c in self.crossings
                    if c[0] - c[1] - 2.5 < s + front.width and s < c[0] + c[1] + 2.5
                ),
                None,
            )
            if crossing is not None:
                room = crossing[0] - crossing[1] - 2.5 - s
                fitting = [one for one in choice if one.width <= room]
                if not fitting:
                    s, free = max(crossing[0] + crossing[1] + 2.5, s + 0.1), True
                    continue
                front = random.choice(fitting)
            house = House(front, side, free, front.height < 18 and random.random() < 0.7)
            self._add(house, s + front.width / 2, side * line)
            s += front.width
            free = random.random() < 0.08
            s += random.uniform(2, 5) if free else 0.0
            free = free or True  # a lower neighbour shows part of the wall

    def _tree(self, s: float, d: float) -> None:
        random = self.random
        tree = furniture.Tree(random.randrange(10), random.uniform(4.5, 10), random.random() < 0.5)
        self._add(tree, s, d, y=KERB)

    def _pavement(self, side: int) -> None:
        random, city = self.random, self.city
        kerb, width = self._edge(side), self.pavement[side > 0]
        near, far = side * (kerb + 0.55), side * (kerb + width - 0.4)
        trees = random.random() < 0.75
        lamp_at = random.uniform(0, 25)
        s = random.uniform(-2, 5)
        while s < self.length:
            s += random.uniform(3.5, 7)
            if not self._free(s, 2):
                continue
            if s > lamp_at:
                lamp_at = s + random.uniform(24, 32)
                arm = -side * round(random.uniform(1.2, 2.2), 1)
                self._add(
                    furniture.street_lamp(round(random.uniform(6, 8.5), 1), arm), s, near, y=KERB
                )
                self.lamps.append((s, near + arm))
            elif trees and random.random() < city.trees:
                self._tree(s, side * (kerb + 0.8))
            elif random.random() < (0.42 if s < 85 else 0.15) * city.signs:
                self._signs(s, near, facing=side > 0 or random.random() < 0.25)
            elif random.random() < 0.24 * city.cycling:
                self._rack(s, side * (kerb + random.choice((0.9, width - 1.0))))
            elif random.random() < 0.3:
                self._add(stock(self.city).thing(random), s, random.choice((near, far)),
                          turn=random.choice((0, math.pi / 2)), y=KERB)  # fmt: skip
            elif random.random() < 0.1:
                turn = random.choice((0.0, math.pi / 2, math.pi, 0.2))
                self._add(stock(self.city).billboard(random), s, far, turn=turn, y=KERB)
            elif random.random() < 0.06 and width > 3:
                shelter = furniture.shelter()
                self._add(shelter, s, side * (kerb + 1.6), turn=0 if side > 0 else math.pi, y=KERB)
            elif random.random() < 0.06:
                turn = random.uniform(0, 2 * math.pi)
                self._add(
                    motorcycle(random), s, side * (kerb + 1), 'motorcycle', turn=turn, y=KERB
                )

    def _rack(self, s: float, d: float) -> None:
        turn = self.random.choice((0.0, math.pi / 2, math.pi, 0.5))
        for k in range(self.random.choice((1, 1, 2, 3, 4))):
            self._add(bicycle(self.random), s + 0.75 * k, d, 'bicycle',
                      turn=turn + self.random.gauss(0, 0.12), y=KERB)  # fmt: skip

    def _signs(self, s: float, d: float, facing: bool) -> None:
        """Put up a pole with one to three signs, seen from the front or from behind."""
        random = self.random
        turn = (0.0 if facing else math.pi) + random.gauss(0, 0.12)
        bottom, top = random.uniform(1.9, 2.3), 0.0
        for _ in range(random.choices((1, 2, 3), (6, 4, 1))[0]):
            sign, back = signs.random_sign(random, bottom + top)
            top += sign.height + 0.04
            self._add(sign, s, d, 'traffic sign', turn=turn, y=KERB, nearer=0.12, shadow=False)
            self._add(
                back, s, d, turn=turn, y=KERB, nearer=0.1 if not facing else -0.1, shadow=False
            )
        self._add(signs.pole(round(bottom + top, 1)), s, d, y=KERB)

    def _parked(self, side: int) -> None:
        if not self.parking[side > 0]:
            return
        random, s = self.random, self.random.uniform(-4, 3)
        d = side * (self._edge(side) - 1.1)
        turn = 0.0 if side > 0 else math.pi
        while s < self.length - 20:
            s += random.uniform(5.6, 6.6)
            if not self._free(s, 5.5) or random.random() > self.city.parking:
                continue
            if random.random() < 0.03:
                self._add(stock(self.city).container(random), s, d, turn=turn)
            elif random.random() < 0.025:
                self._park_or_drive(stock(self.city).truck(random), s + 3, d, 'truck', turn)
                s += 5
            elif random.random() < 0.04:
                aslant = turn + random.gauss(0, 0.4)
                self._park_or_drive(motorcycle(random), s, d, 'motorcycle', aslant)
            else:
                heading = turn + random.gauss(0, 0.03) + (math.pi if random.random() < 0.08 else 0)
                parked = stock(self.city).parked(random)
                self._park_or_drive(parked, s, d + random.gauss(0, 0.1), 'car', heading)

    # ---- people

    def _person(self) -> Person:
        random = self.random
        stride = 0.0 if random.random() < 0.22 else random.uniform(0.7, 1.05)
        one = look(random, rain=self.light.weather == 'rain')
        return Person(one, stride, random.uniform(0, 2 * math.pi), random.uniform(5.5, 7))

    def _walkers(self, side: int) -> None:
        random = self.random
        kerb, width = self._edge(side), self.pavement[side > 0]
        quiet = {'night': 0.5, 'rain': 0.7}.get(self.light.weather, 1.0)
        lively = random.choice((0.3, 0.7, 1.0, 1.8))
        s = random.uniform(0, 10)
        while True:
            s += random.expovariate(0.075 * lively * quiet * self.city.crowd) + 0.8
            if s > self.length - 30:
                return
            turn = random.choice((0.0, math.pi))
            d = side * (kerb + random.uniform(0.5, width - 0.4))
            for k in range(random.choices((1, 2, 3), (7, 3, 1))[0]):
                one = self._person()
                heading = turn + random.gauss(0, 0.2)
                if one.stride == 0:
                    heading = random.uniform(0, 2 * math.pi)
                self._add(one, s + random.uniform(-0.3, 0.3), d + 0.6 * k, 'person', turn=heading,
                          speed=1.4 * one.stride, y=KERB)  # fmt: skip

    def _groups(self) -> None:
        """Add people or bicycles far away that nobody would tell apart."""
        random = self.random
        for kind, chance in (('persongroup', 0.35), ('bicyclegroup', 0.1), ('cargroup', 0.05)):
            if random.random() > chance:
                continue
            side = random.choice((-1, 1))
            kerb, width = self._edge(side), self.pavement[side > 0]
            members = []
            for _ in range(random.randint(6, 14)):
                if kind == 'persongroup':
                    place = (random.uniform(-1.8, 1.8), random.uniform(-2.5, 2.5))
                    members.append((self._person(), *place, random.uniform(0, 6)))
                elif kind == 'bicyclegroup':
                    place = (random.uniform(-0.4, 0.4), random.uniform(-3, 3))
                    members.append((bicycle(random), *place, 1.57 + random.gauss(0, 0.1)))
                elif len(members) < 4:
                    members.append(
                        (stock(self.city).parked(random), 2.3 * len(members) - 3, 0.0, 0.1)
                    )
            s = random.uniform(50, 85) if kind == 'persongroup' else random.uniform(20, 70)
            d, y = side * (kerb + width / 2), KERB
            if kind == 'cargroup':
                s, d, y = random.uniform(80, 100), side * (kerb + width + 4), 0.0
            if self._free(s, 1):
                self._add(Crowd(tuple(members), (3, 2, 5)), s, d, kind, y=y, shadow=False)

    # ---- traffic

    def _vehicle(self) -> tuple[Model, str]:
        random = self.random
        kind = random.choices(('car', 'truck', 'bus'), (100, 4, 4))[0]
        return getattr(stock(self.city), kind)(random), kind

    def _traffic(self) -> None:
        random = self.random
        dense = random.choice((18, 30, 45, 80))
        for k in range(self.each_way):
            for way in (1, -1):
                d = way * (self.median + LANE * (k + 0.5))
                speed = self.pace if way > 0 else random.uniform(0.7, 1.1) * 9
                s = random.uniform(9, 30) if way > 0 else random.uniform(2, 30)
                while s < self.length + (60 if self.length > SIGHT else 0):
                    model, label = self._vehicle()
                    self._park_or_drive(model, s + model.size[2] / 2, d + random.gauss(0, 0.15),
                                        label, 0.0 if way > 0 else math.pi, speed)  # fmt: skip
                    s += model.size[2] + 4 + random.expovariate(1 / dense)
        if self.tracks:
            for way in (1, -1):
                if random.random() < 0.34:
                    s = random.uniform(28, self.length - 15)
                    turn = 0.0 if way > 0 else math.pi
                    tram = stock(self.city).tram(random)
                    self._park_or_drive(tram, s, way * 1.65, 'train', turn, 7.0)

    def _cyclists(self) -> None:
        random = self.random
        outer = self.median + self.each_way * LANE
        for way in (1, -1):
            s = random.uniform(5, 40)
            while s < self.length - 35:
                s += random.expovariate(0.0055 * self.city.cycling)
                d = way * (outer + (0.8 if self.cycle_lane else -0.4))
                self._ridden(s, d, 0.0 if way > 0 else math.pi, False)
            if random.random() < 0.11:
                self._ridden(
                    random.uniform(8, 70),
                    way * (outer - LANE / 2),
                    0.0 if way > 0 else math.pi,
                    True,
                )
        if random.random() < 0.1 * self.city.cycling:  # somebody crosses the street
            self._ridden(
                random.uniform(12, 50), random.uniform(-4, 4), random.choice((-1, 1)) * 1.4, False
            )

    def _ridden(self, s: float, d: float, turn: float, motor: bool) -> None:
        """Add a two-wheeler and who rides it, which are two objects."""
        random, speed = self.random, 9.0 if motor else 4.5
        cycle = motorcycle(random) if motor else bicycle(random)
        rider = Rider(rider_look(random, motor), motor, random.uniform(0, 6))
        label = 'motorcycle' if motor else 'bicycle'
        count = len(self.things)
        self._park_or_drive(cycle, s, d, label, turn, speed)
        if len(self.things) == count:
            return
        self._add(rider, s, d, 'rider', turn=turn, speed=speed, nearer=0.05, shadow=False)

    def _crossing_traffic(self) -> None:
        random = self.random
        left, right = self.kerbs
        for at, half, with_signals in self.crossings:
            for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
                way = random.choice((-1, 1))
                model, label = self._vehicle()
                # It stands and waits beside the street, or is crossing it.
                outside = right if way < 0 else left
                waiting = self.length > SIGHT or random.random() < 0.5
                beside = -way * (outside + 2.5 + model.size[2] / 2 + random.uniform(0, 12))
                d = beside if waiting else random.uniform(-left, right)
                lane = -way * half / 2
                speed = 0.0 if waiting else 6.0
                if at > 11:
                    self._park_or_drive(model, at + lane, d, label, way * math.pi / 2, speed)
            for near in (at - half - 2, at + half + 2):
                for _ in range(random.choices((0, 1, 2, 4), (4, 3, 2, 1))[0]):
                    if random.random() < 0.5 * self.city.crowd:
                        one = self._person()
                        turn = random.choice((-1, 1)) * math.pi / 2 + random.gauss(0, 0.15)
                        at_s, at_d = near + random.uniform(-1, 1), random.uniform(-left, right)
                        if self._clear(at_s, at_d, 0.3, 0.3):
                            self._add(one, at_s, at_d, 'person', turn=turn,
                                      speed=1.3 * one.stride)  # fmt: skip
            if with_signals:
                self._signals(at, half)
            else:
                self._signs(at - half - 3.5, right + 0.5, facing=True)

    def _signals(self, at: float, half: float) -> None:
        """Put traffic lights at a crossing, for those who come from here and from there."""
        random = self.random
        left, right = self.kerbs
        start = random.uniform(0, 21)
        if self.length > SIGHT:  # a drive gets there on green
            start = 12 + start / 4 - (at - half) / self.pace
        gantry = self.each_way > 1 or random.random() < 0.35
        board = random.random() < 0.4
        low = round(random.uniform(2.1, 2.5), 1)
        places = [(at - half - 4, right + 0.5, 0.0), (at + half + 4, -left - 0.5, math.pi)]
        if random.random() < 0.6:
            places.append((at - half - 4, -0.2 if self.tracks else -left - 0.5, 0.0))
        if random.random() < 0.5:
            places.append((at + half + 5, right + 0.5, 0.0))
        for k, (s, d, turn) in enumerate(places):
            arm = -round(random.uniform(3.5, 6), 1) if gantry and k in (0, 3) else 0.0
            height = 5.6 if arm else low + 1.0
            self._add(signals.signal_pole(height, arm), s, d, turn=turn, y=KERB)
            self._signal(signals.Signal(low, 0.0, start, backboard=False), s, d, turn)
            if arm:
                for share in (1.0, 0.55)[: self.each_way]:
                    self._signal(
                        signals.Signal(4.55, arm * share, start, scale=1.1, backboard=board),
                        s,
                        d,
                        turn,
                    )
                if random.random() < 0.4:
                    sign, back = signs.random_sign(random, 4.5, arm * 0.25)
                    self._add(
                        sign, s, d, 'traffic sign', turn=turn, y=KERB, nearer=0.15, shadow=False
                    )
                    self._add(back, s, d, turn=turn, y=KERB, nearer=-0.15, shadow=False)
            if random.random() < 0.55:  # for those on foot who cross the street
                walk = signals.Signal(low, -0.2, start + 10.5, ('red', 'green'), 0.9)
                self._signal(walk, s, d, turn + random.choice((-1, 1)) * math.pi / 2)
            if random.random() < 0.3 and turn == 0:
                self._signs(s + 0.8, d + 0.3, facing=True)

    def _signal(self, signal: signals.Signal, s: float, d: float, turn: float) -> None:
        self._add(signal, s, d, 'traffic light', turn=turn, y=KERB, nearer=0.2, shadow=False)
