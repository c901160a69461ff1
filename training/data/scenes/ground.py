# SPDX-License-Identifier: Apache-2.0
"""The road with its markings, kerbs and pavements, and the light and shadow on them."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from .camera import NEAR, Camera, Pose, clip_near
from .canvas import Canvas
from .mesh import Colour
from .textures import grain

GROUND = -1  # in Canvas.numbers: bare ground, which mirrors when it is wet
_FAR = 170.0
_STEPS = np.linspace(0, 1, 12) ** 2
_NONE = np.empty(0)


@dataclass(frozen=True)
class Road:
    """The axis of the street, a parabola: s m along it, d m to the right of it."""

    curvature: float

    def place(self, s: float, d: float, turn: float = 0.0) -> Pose:
        """Return the pose of what drives along the street at (s, d), turned by `turn`."""
        return Pose(d + self.curvature * s * s / 2, s, np.arctan(self.curvature * s) + turn)


@dataclass(frozen=True)
class Strip:
    """A flat band of the ground, or with `kerb` the upright face of a kerb at d1."""

    d1: float
    d2: float
    s1: float
    s2: float
    colour: Colour
    y: float = 0.0
    kerb: bool = False

    @property
    def sides(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(d, y) of its two long sides."""
        return (self.d1, 0.0 if self.kerb else self.y), (self.d2, self.y)

    def stations(self, road: Road, near: float) -> np.ndarray:
        """Return the s of its corners, or nothing where it lies behind `near` or too far."""
        s1, s2 = max(self.s1, near), min(self.s2, near + _FAR)
        if s2 <= s1:
            return _NONE
        if road.curvature == 0 or s2 - s1 < 4:
            return np.array((s1, s2))
        return s1 + (s2 - s1) * _STEPS  # closer together where the camera is


@dataclass
class Ground:
    """All that is flat, in the order in which it is drawn.

    Attributes:
        road: the axis.
        strips: bands, markings and kerbs.
        base: colour of what lies beyond, BGR.
    """

    road: Road
    base: Colour
    strips: list[Strip] = field(default_factory=list)

    def draw(self, canvas: Canvas) -> None:
        """Paint it; shadows and haze come with `Shade.apply`."""
        camera = canvas.camera
        near = float(camera.position[2]) - 2.0
        height, width = canvas.numbers.shape
        horizon = int(np.clip(camera.horizon, 1, height - 2))
        light = canvas.light
        base = light.shade(np.array([self.base], float), np.array([[0.0, 1, 0]]), np.zeros(1))
        canvas.picture[horizon:] = np.clip(base, 0, 255)
        canvas.numbers[horizon:] = GROUND
        stations = [strip.stations(self.road, near) for strip in self.strips]
        seen = [
            (one, along) for one, along in zip(self.strips, stations, strict=True) if len(along)
        ]
        normals = np.array([(0.7, 0.3, -0.6) if strip.kerb else (0, 1, 0) for strip, _ in seen])
        colours = np.array([strip.colour for strip, _ in seen], float)
        colours = light.shade(colours, normals, np.zeros(len(seen)))
        # The corners of all of them at once: there are hundreds.
        counts = [len(along) for _, along in seen]
        s = np.concatenate([part for _, along in seen for part in (along, along[::-1])])
        sides = [side for strip, _ in seen for side in strip.sides]
        d, y = np.repeat(np.array(sides), np.repeat(counts, 2), axis=0).T
        points = np.stack([d + self.road.curvature * s * s / 2, y, s], 1)
        points = camera.to_camera(points)
        flat = camera.project(points)
        end = 0
        for count, colour in zip(counts, colours, strict=True):
            start, end = end, end + 2 * count
            if points[start:end, 2].min() >= NEAR:
                canvas.polygon(flat[start:end], colour, mark=False)
            else:
                cut = camera.project(clip_near(points[start:end]))
                canvas.polygon(cut, colour, mark=False)


class Shade:
    """Light and shadow on the ground, at half the picture's resolution."""

    def __init__(self, camera: Camera) -> None:
        width, height = camera.size
        self._camera = camera
        self._shadow = np.zeros((height // 2, width // 2), np.uint8)
        self._pool = np.zeros((height // 2, width // 2), np.uint8)

    def _fill(self, image: np.ndarray, points: np.ndarray, value: int) -> None:
        seen = self._camera.outline(points)
        if len(seen) >= 3:
            hull = cv2.convexHull(np.rint(seen * 8).astype(np.int32))
            cv2.fillConvexPoly(image, hull, value, cv2.LINE_AA, 4)

    def shadow(self, pose: Pose, size: tuple[float, float, float], sun: np.ndarray | None) -> None:
        """Add the shadow of a box (width, height, length) m; without sun only below it."""
        w, h, length = size
        corners = np.array(
            [(x, 0.0, z) for x in (-w / 2, w / 2) for z in (-length / 2, length / 2)]
        )
        points = pose.to_world(corners * 1.04)
        if sun is not None and sun[1] > 0.05:
            throw = -sun * (h / sun[1]) * [1, 0, 1]
            throw = throw * min(1.0, 4 * h / max(float(np.linalg.norm(throw)), 1e-6))
            lifted = points + throw
            points = np.concatenate([points, lifted])
            hull = cv2.convexHull(points[:, [0, 2]].astype(np.float32))[:, 0]
            points = np.stack([hull[:, 0], np.zeros(len(hull)), hull[:, 1]], 1)
        else:
            points = points[[0, 1, 3, 2]]
        self._fill(self._shadow, points, 255)

    def pool(self, x: float, z: float, radius: float, value: int = 200) -> None:
        """Add the light of a lamp on the ground around (x, z) m."""
        turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        points = np.stack([x + radius * np.cos(turn), 0 * turn, z + radius * np.sin(turn)], 1)
        self._fill(self._pool, points, value)

    def beam(self, pose: Pose) -> None:
        """Add the light of headlights ahead of a pose."""
        points = [(-1.2, 0, 2), (1.2, 0, 2), (4, 0, 22), (-4, 0, 22)]
        self._fill(self._pool, pose.to_world(np.array(points, float)), 150)

    def apply(self, canvas: Canvas) -> None:
        """Darken, brighten, roughen and fade the ground in the picture."""
        camera, light = canvas.camera, canvas.light
        height, width = canvas.numbers.shape
        top = int(np.clip(camera.horizon - 8, 0, height - 2))
        size = (width, height - top)
        shadow = cv2.GaussianBlur(self._shadow, (0, 0), 1.3)[top // 2 :]
        gain = 1 - cv2.resize(shadow, size).astype(np.float32) * (light.shadow / 255)
        if light.lamps:
            pool = cv2.GaussianBlur(self._pool, (0, 0), width / 110)[top // 2 :]
            strong = 2.0 if light.weather == 'night' else 0.6
            gain += cv2.resize(pool, size).astype(np.float32) * (strong / 255)
        rows = np.maximum(np.arange(top, height, dtype=np.float32) + 0.5 - camera.horizon, 0.5)
        distance = camera.position[1] * camera.focal / rows
        clear = np.exp(-light.density * distance)[:, None]
        # Stones are smaller than a pixel in the distance: their noise averages out.
        rough = _asphalt(camera, top, size)
        fine = np.minimum(1.0, 7 / distance)[:, None] ** 0.7
        brightness = float(light.ambient.mean() + light.direct.mean() * light.sun[1])
        gain += rough * (fine * 0.011) * min(brightness, 1)
        gain *= clear
        part = canvas.picture[top:]
        ground = cv2.multiply(part, cv2.merge([gain] * 3), dtype=cv2.CV_8U)
        haze = ((1 - clear) * light.haze).astype(np.uint8)
        cv2.add(ground, np.repeat(haze[:, None], width, 1), ground)
        bare = cv2.compare(canvas.numbers[top:], GROUND, cv2.CMP_EQ)
        cv2.copyTo(ground, bare, part)


def _asphalt(camera: Camera, top: int, size: tuple[int, int]) -> np.ndarray:
    """Return the ground's noise as seen in the picture from row `top` on."""
    axes = camera.plane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))
    scale = 0.024  # m per texel
    shrink = np.diag([scale, scale, 1.0])
    move = np.array([[1, 0, 0], [0, 1, -top], [0, 0, 1.0]])
    onto = move @ axes @ shrink
    flags = cv2.INTER_LINEAR
    return cv2.warpPerspective(grain(5), onto, size, None, flags, cv2.BORDER_WRAP)
