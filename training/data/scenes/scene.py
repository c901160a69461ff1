# SPDX-License-Identifier: Apache-2.0
"""A generated picture with its labels, and a generated drive.

Picture k depends on the seed, the split and k alone, so any part of a set can be made anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np

from kd_yolo_ros.errors import UserError

from .camera import Camera
from .ground import Road
from .outlines import visible_outlines
from .sensor import Sensor, random_sensor
from .street import Street, plan_street
from .styles import CITIES, City
from .things import SIGHT

SIZE = (1024, 512)


@dataclass(frozen=True)
class LabelledObject:
    """What is visible of an object.

    Attributes:
        label: as in Cityscapes; `persongroup` and the like for those that cannot be told apart.
        polygon: (K, 2) float64 px.
    """

    label: str
    polygon: np.ndarray

    @property
    def box(self) -> np.ndarray:
        """(4,) x1 y1 x2 y2, the polygon's extremes."""
        return np.concatenate([self.polygon.min(0), self.polygon.max(0)])


@dataclass(frozen=True)
class Scene:
    """A picture (H, W, 3) uint8 BGR, its objects from back to front, the camera, the weather."""

    picture: np.ndarray
    objects: tuple[LabelledObject, ...]
    camera: Camera
    city: str
    weather: str


def city_of(split: str, index: int) -> City:
    """Return the city of a picture; train and val have none in common.

    Raises:
        UserError: there is no such split.
    """
    if split not in CITIES:
        raise UserError(f"'{split}' is no split of generated scenes; take {' or '.join(CITIES)}.")
    return CITIES[split][index % len(CITIES[split])]


def _random(*key: object) -> Random:
    """Return a source of random numbers that is the same in every process and version."""
    digest = hashlib.sha256('/'.join(map(str, key)).encode()).digest()
    return Random(int.from_bytes(digest[:16], 'big'))


@dataclass(frozen=True)
class _Mount:
    """How the camera sits in its car."""

    offset: float
    height: float
    yaw: float
    pitch: float
    roll: float
    focal: float  # px of a picture 1 px wide
    centre: tuple[float, float]  # shares of the picture

    def camera(self, road: Road, s: float, d: float, size: tuple[int, int]) -> Camera:
        at = road.place(s, d + self.offset)
        width, height = size
        return Camera.looking(
            (at.x, self.height, at.z),
            at.heading + self.yaw,
            self.pitch,
            self.roll,
            self.focal * width,
            (self.centre[0] * width, self.centre[1] * height),
            size,
        )


def _mount(random: Random) -> _Mount:
    return _Mount(
        offset=random.gauss(0, 0.25),
        height=random.uniform(1.15, 1.65),
        yaw=random.gauss(0, 0.045),
        pitch=random.gauss(-0.01, 0.018),
        roll=random.gauss(0, 0.008),
        focal=random.uniform(0.98, 1.2),
        centre=(0.5 + random.gauss(0, 0.01), 0.48 + random.gauss(0, 0.015)),
    )


def render(seed: int, split: str, index: int, size: tuple[int, int] = SIZE) -> Scene:
    """Draw one picture.

    Args:
        seed: of the whole set.
        split: 'train' or 'val'; they have different cities.
        index: number of the picture in its split.
        size: (width, height) px.

    Raises:
        UserError: there is no such split.
    """
    city = city_of(split, index)
    random = _random(seed, split, index)
    street = plan_street(random, city)
    mount, sensor = _mount(random), random_sensor(random, street.light.weather == 'night')
    camera = mount.camera(street.ground.road, 0.0, random.choice(street.lanes), size)
    return _record(street, camera, sensor, city, 0.0, _random(seed, split, index, 'noise'))


def drive(
    seed: int,
    frames: int,
    fps: float = 17.0,
    size: tuple[int, int] = SIZE,
    split: str = 'val',
    index: int = 0,
    only: range | None = None,
) -> Iterator[Scene]:
    """Draw what a moving camera sees, with labels on every frame.

    Args:
        seed: of the whole set.
        frames: how many pictures.
        fps: pictures per second.
        size: (width, height) px.
        split: 'train' or 'val'.
        index: number of the drive.
        only: of the frames, those to draw; all without.

    Raises:
        UserError: there is no such split.
    """
    city = city_of(split, index)
    random = _random(seed, split, index, 'drive')
    speed = random.uniform(5, 11)
    street = plan_street(random, city, SIGHT + speed * frames / fps, speed)
    mount, sensor = _mount(random), random_sensor(random, street.light.weather == 'night')
    lane = random.choice(street.lanes)
    for frame in range(frames) if only is None else only:
        time = frame / fps
        camera = mount.camera(street.ground.road, speed * time, lane, size)
        noise = _random(seed, split, index, 'drive', frame)
        yield _record(street, camera, sensor, city, time, noise)


def _record(
    street: Street, camera: Camera, sensor: Sensor, city: City, time: float, noise: Random
) -> Scene:
    canvas = street.draw(camera, time)
    objects = tuple(LabelledObject(*found) for found in visible_outlines(canvas))
    picture = sensor.expose(canvas, noise)
    return Scene(picture, objects, camera, city.name, street.light.weather)
