# SPDX-License-Identifier: Apache-2.0
"""What stands about in a street and is not labelled: lamps, bins, billboards, shelters, plants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from random import Random

import cv2
import numpy as np

from .camera import NEAR, Pose
from .canvas import Canvas
from .mesh import MeshBuilder, Solid

_STEEL = (112, 114, 114)
_LEAVES = 230  # of each branch


def _solid(build: MeshBuilder, size: tuple[float, float, float]) -> Solid:
    return Solid(((build.build(), (0.0, 0.0, 0.0)),), size)


@cache
def street_lamp(height: float, arm: float) -> Solid:
    """Return a lamp post whose arm reaches `arm` m to the right."""
    build = MeshBuilder()
    build.box((-0.06, 0, -0.06), (0.06, height, 0.06), _STEEL)
    x1, x2 = sorted((0.0, arm))
    build.box((x1, height - 0.1, -0.04), (x2, height, 0.04), _STEEL)
    a, b = sorted((arm, arm * 0.65))
    build.box((a, height - 0.14, -0.14), (b, height + 0.02, 0.14), (90, 92, 92))
    build.on('-y', height - 0.15, (a, -0.12, b, 0.12), (190, 235, 255), glow=0.8)
    place = (arm * 0.83, height - 0.2, 0)
    build.lamp(place, (0, -0.5, -0.87), (120, 190, 225), 0.9)
    return _solid(build, (0.2, height, 0.2))


def thing(random: Random) -> Solid:
    """Return a bin, mailbox, switch box, bench, bollard, planter or container."""
    build = MeshBuilder()
    kind = random.randrange(8)
    if kind == 0:  # a wheeled bin
        colour = random.choice(((40, 40, 40), (70, 110, 50), (130, 70, 30), (40, 170, 210)))
        build.box((-0.28, 0.08, -0.35), (0.28, 1.0, 0.35), colour)
        build.box((-0.3, 1.0, -0.38), (0.3, 1.1, 0.38), tuple(c * 0.8 for c in colour))
        build.disc((-0.3, 0.12, 0.2), 0.12, (25, 25, 25), (-1, 0, 0))
        return _solid(build, (0.6, 1.1, 0.75))
    if kind == 1:  # a mailbox
        build.box((-0.05, 0, -0.05), (0.05, 0.7, 0.05), _STEEL)
        build.box(
            (-0.27, 0.7, -0.2), (0.27, 1.45, 0.2), random.choice(((30, 190, 240), (40, 40, 190)))
        )
        build.on('-z', -0.21, (-0.2, 1.2, 0.2, 1.28), (30, 30, 30), detail=10)
        return _solid(build, (0.55, 1.45, 0.4))
    if kind == 2:  # a switch box
        build.box((-0.5, 0, -0.2), (0.5, 1.25, 0.2), (120, 132, 128))
        build.on('-z', -0.21, (-0.02, 0.05, 0.02, 1.2), (80, 90, 86), detail=16)
        for _ in range(3):
            x, y = random.uniform(-0.4, 0.2), random.uniform(0.3, 0.9)
            sticker = [random.uniform(40, 220) for _ in range(3)]
            build.on('-z', -0.22, (x, y, x + 0.2, y + 0.2), sticker, detail=16)
        return _solid(build, (1.0, 1.25, 0.4))
    if kind == 3:  # a bench
        wood = (70, 105, 150)
        build.box((-0.25, 0.4, -0.9), (0.25, 0.47, 0.9), wood)
        build.box((0.2, 0.5, -0.9), (0.25, 0.9, 0.9), wood)
        for z in (-0.7, 0.7):
            build.box((-0.2, 0, z - 0.04), (0.2, 0.4, z + 0.04), (50, 50, 50))
        return _solid(build, (0.5, 0.9, 1.8))
    if kind == 4:  # a bollard
        build.box(
            (-0.09, 0, -0.09), (0.09, 0.95, 0.09), random.choice(((60, 60, 60), (200, 200, 200)))
        )
        build.box((-0.095, 0.7, -0.095), (0.095, 0.82, 0.095), (50, 50, 200))
        return _solid(build, (0.2, 0.95, 0.2))
    if kind == 5:  # a planter
        build.box((-0.6, 0, -0.6), (0.6, 0.6, 0.6), (140, 145, 150), top=(40, 60, 80))
        for _ in range(14):
            x, z = random.uniform(-0.5, 0.5), random.uniform(-0.5, 0.5)
            leaf = (random.uniform(30, 60), random.uniform(80, 130), random.uniform(40, 90))
            centre = (x, 0.75 + random.uniform(0, 0.35), z)
            build.disc(centre, 0.22, leaf, (0, 0, -1), two_sided=True, corners=7)
        return _solid(build, (1.2, 1.2, 1.2))
    if kind == 6:  # a glass container
        colour = random.choice(((70, 110, 50), (200, 200, 200), (60, 80, 110)))
        build.box((-0.7, 0, -0.7), (0.7, 1.4, 0.7), colour)
        build.box((-0.5, 1.4, -0.5), (0.5, 1.7, 0.5), tuple(c * 0.9 for c in colour))
        build.disc((-0.71, 1.1, 0), 0.2, (20, 20, 20), (-1, 0, 0), detail=10)
        return _solid(build, (1.4, 1.7, 1.4))
    build.disc((0, 0.35, 0), 0.17, (30, 110, 235), (0, 0, -1), two_sided=True, corners=3)
    build.box((-0.2, 0, -0.2), (0.2, 0.05, 0.2), (40, 40, 40))  # a cone
    build.face(
        [(-0.15, 0.05, 0), (0.15, 0.05, 0), (0.04, 0.7, 0), (-0.04, 0.7, 0)], (30, 90, 235), None
    )
    build.face(
        [(-0.11, 0.28, -0.01), (0.11, 0.28, -0.01), (0.07, 0.48, -0.01), (-0.07, 0.48, -0.01)],
        (235, 235, 235),
        None,
    )
    return _solid(build, (0.4, 0.7, 0.4))


def container(random: Random) -> Solid:
    """Return a skip or a shipping container at the kerb: as large as a car, but none."""
    colour = random.choice(((160, 90, 40), (60, 110, 60), (50, 60, 170), (60, 160, 220)))
    build = MeshBuilder()
    length, height = random.choice(((3.6, 1.5), (6.0, 2.5)))
    build.box((-1.1, 0.1, -length / 2), (1.1, height, length / 2), colour,
              top=(60, 70, 80) if height < 2 else None)  # fmt: skip
    for k in range(int(length / 0.35)):
        z = -length / 2 + 0.2 + 0.35 * k
        for axis, x in (('-x', -1.11), ('+x', 1.11)):
            build.on(
                axis,
                x,
                (z, 0.15, z + 0.12, height - 0.1),
                tuple(c * 0.75 for c in colour),
                detail=8,
            )
    for k in range(5):
        x = -0.95 + 0.42 * k
        build.on(
            '-z',
            -length / 2 - 0.01,
            (x, 0.15, x + 0.14, height - 0.1),
            tuple(c * 0.75 for c in colour),
            detail=8,
        )
    return _solid(build, (2.2, height, length))


def billboard(random: Random) -> Solid:
    """Return a poster on a stand, often with a picture of a sign-like disc on it."""
    build = MeshBuilder()
    wide, high, low = random.choice(((1.2, 1.8, 0.5), (3.6, 2.5, 1.2)))
    for x in (-wide * 0.4, wide * 0.4):
        build.box((x - 0.05, 0, -0.05), (x + 0.05, low, 0.05), _STEEL)
    build.box(
        (-wide / 2 - 0.06, low - 0.06, -0.08),
        (wide / 2 + 0.06, low + high + 0.06, 0.08),
        (60, 62, 62),
    )
    for axis, z in (('-z', -0.09), ('+z', 0.09)):
        ground = [random.uniform(60, 230) for _ in range(3)]
        build.on(axis, z, (-wide / 2, low, wide / 2, low + high), ground, glow=0.25)
        out = (0, 0, -1 if axis[0] == '-' else 1)
        disc = [random.uniform(30, 240) for _ in range(3)]
        x, y = random.uniform(-0.2, 0.2) * wide, low + random.uniform(0.45, 0.65) * high
        build.disc((x, y, z * 1.1), high * 0.24, disc, out, glow=0.25)
        ink = [random.uniform(10, 240) for _ in range(3)]
        for k in range(2):
            y = low + 0.12 * high + 0.12 * high * k
            build.on(
                axis,
                z * 1.1,
                (-wide * 0.4, y, wide * (0.1 + 0.15 * k), y + 0.07 * high),
                ink,
                0.25,
                8,
            )
    return _solid(build, (wide, low + high, 0.3))


def shelter() -> Solid:
    """Return a bus stop's shelter, open to the left."""
    build = MeshBuilder()
    for z in (-1.9, 1.9):
        build.box((0.65, 0, z - 0.05), (0.75, 2.4, z + 0.05), (70, 72, 72))
    build.on('-x', 0.7, (-1.9, 0.3, 1.9, 2.2), (150, 150, 140))
    build.on('-x', 0.69, (-0.6, 0.5, 0.6, 2.0), (90, 120, 190), detail=8)
    build.box((-0.6, 2.4, -2.0), (0.8, 2.5, 2.0), (84, 86, 86))
    build.box((0.2, 0.45, -1.4), (0.6, 0.5, 1.4), (60, 80, 110))
    return _solid(build, (1.4, 2.5, 4.0))


@cache
def _crown(kind: int, size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return a tree's picture, its alpha and its width as a share of its height."""
    random, source = Random(kind), np.random.default_rng(kind)
    slim = kind % 4 == 3  # a poplar or a conifer
    width = 0.42 if slim else random.uniform(0.62, 0.85)
    h, w = 512, int(512 * width)
    picture, alpha = np.zeros((h, w, 3), np.uint8), np.zeros((h, w), np.uint8)
    bark = np.array((52, 66, 82)) * random.uniform(0.7, 1.1)
    trunk = np.array(
        [(w * 0.48, h * 0.5), (w * 0.52, h * 0.5), (w * 0.533, h), (w * 0.467, h)], np.int32
    )
    for target, colour in ((picture, bark.tolist()), (alpha, 255)):
        cv2.fillPoly(target, [trunk], colour)
        for _ in range(5):
            a = (int(w * 0.5), int(h * random.uniform(0.5, 0.7)))
            b = (int(w * random.uniform(0.2, 0.8)), int(h * random.uniform(0.25, 0.45)))
            cv2.line(target, a, b, colour, 7)
    tone = random.choice(((38, 92, 58), (30, 78, 62), (44, 104, 84), (40, 96, 120), (34, 70, 44)))
    low = 0.78 if slim else 0.68
    branches = []
    for _ in range(16 if slim else 22):
        angle, reach = source.uniform(0, 2 * math.pi), math.sqrt(source.uniform(0, 1))
        x, y = 0.5 + 0.33 * reach * math.cos(angle), low * (0.5 + 0.36 * reach * math.sin(angle))
        if slim:
            x = 0.5 + (x - 0.5) * (0.2 + 0.9 * y / low)
        branches.append((reach, x, y, source.uniform(0.09, 0.15)))
    # From the dark inside to the sunlit outside; in each branch the upper leaves are bright.
    for depth, (_, x, y, spread) in enumerate(sorted(branches, reverse=True)):
        shade = 0.62 + 0.3 * depth / len(branches)
        for k in range(_LEAVES):
            dx, dy = np.clip(source.normal(0, spread / 2, 2), -spread * 0.85, spread * 0.85)
            place = (int(w * (x + dx)), int(h * (y + dy * width)))
            if not h * 0.01 < place[1] < h * 0.86:
                continue
            high = 1.0 - 1.6 * dy / spread * 0.35 + 0.25 * (low - y)
            bright = shade * high * (0.8 + 0.4 * k / _LEAVES) * source.uniform(0.75, 1.25)
            colour = np.clip(np.array(tone) * max(bright, 0.35), 0, 255).tolist()
            axes = (int(h * source.uniform(0.006, 0.014)), int(h * source.uniform(0.004, 0.009)))
            turn = source.uniform(0, 180)
            cv2.ellipse(picture, place, axes, turn, 0, 360, colour, -1)
            cv2.ellipse(alpha, place, axes, turn, 0, 360, 255, -1)
    shrunk = (max(2, int(size * width)), size)
    picture = cv2.resize(picture, shrunk, interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(alpha, shrunk, interpolation=cv2.INTER_AREA)
    return picture, (alpha > 120).astype(np.uint8) * 255, width


@dataclass(frozen=True)
class Tree:
    """A tree, or with a low crown a bush."""

    kind: int
    height: float
    mirrored: bool = False

    @property
    def size(self) -> tuple[float, float, float]:
        """(width, height, length) m; the width is that of the shadow."""
        return (self.height * 0.45, self.height, self.height * 0.45)

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw it, always facing the camera."""
        del time
        camera = canvas.camera
        foot = camera.to_camera(pose.position[None])
        depth = float(foot[0, 2])
        if depth < NEAR + 2:
            return
        u, v = camera.project(foot)[0]
        high = self.height * camera.focal / depth
        if not (-high < u < camera.size[0] + high) or high < 3:
            return
        # A few fixed sizes for the cache, stretched to the exact one.
        level = next((s for s in (32, 64, 128, 256) if s >= high), 512)
        picture, alpha, share = _crown(self.kind, level)
        size = (max(2, int(high * share)), max(2, int(high)))
        if size[1] > 1600:
            return
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_NEAREST)
        if self.mirrored:
            picture, alpha = picture[:, ::-1], alpha[:, ::-1]
        table = canvas.light.table(np.array([0.0, 0.5, -0.5]), depth)
        picture = cv2.LUT(np.ascontiguousarray(picture), table)
        canvas.sprite(picture, np.ascontiguousarray(alpha), int(u - size[0] / 2), int(v - size[1]))
