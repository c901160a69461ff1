# SPDX-License-Identifier: Apache-2.0
"""A pinhole camera over a flat street, and where things stand in it.

The world is in metres: x right, y up, z along the street. Pictures are in pixels: x right, y down,
the corner of the first pixel at (0, 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

NEAR = 0.6  # m in front of the camera; what is nearer is cut off
_FAR_OUTSIDE = 8000.0  # px; keeps projections within OpenCV's fixed-point range


@dataclass(frozen=True)
class Camera:
    """Where the camera is, where it looks, and its lens.

    Attributes:
        position: (3,) m.
        rotation: (3, 3), world to camera axes (x right, y down, z forward).
        focal: px.
        centre: (u, v) px, where the optical axis meets the picture.
        size: (width, height) px.
    """

    position: np.ndarray
    rotation: np.ndarray
    focal: float
    centre: tuple[float, float]
    size: tuple[int, int]

    @classmethod
    def looking(
        cls,
        position: tuple[float, float, float],
        yaw: float,
        pitch: float,
        roll: float,
        focal: float,
        centre: tuple[float, float],
        size: tuple[int, int],
    ) -> Camera:
        """Return a camera turned to the right by yaw, up by pitch, tilted by roll (radians)."""
        (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a), math.sin(a)) for a in (yaw, pitch, roll))
        turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        rotation = np.diag([1.0, -1.0, 1.0]) @ tilt @ nod @ turn
        return cls(np.array(position, float), rotation, focal, centre, size)

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Return (N, 3) world points in camera axes."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels (N, 2) of points in camera axes, which lie in front of the camera."""
        flat = points[:, :2] * (self.focal / np.maximum(points[:, 2:], 1e-3)) + self.centre
        return np.clip(flat, -_FAR_OUTSIDE, _FAR_OUTSIDE)

    def outline(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels (K, 2) of a planar outline of world points, cut at NEAR."""
        return self.project(clip_near(self.to_camera(points)))

    def plane(self, origin: np.ndarray, right: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Return the homography (3, 3) from (a, b) on the plane origin + a right + b up."""
        axes = np.stack([right, up, origin - self.position], axis=1)
        lens = np.array(
            [[self.focal, 0, self.centre[0]], [0, self.focal, self.centre[1]], [0, 0, 1]]
        )
        return lens @ self.rotation @ axes

    @property
    def horizon(self) -> float:
        """The row of the horizon in the middle of the picture, px."""
        forward = self.rotation.T[:, 2] * [1, 0, 1]
        ahead = self.rotation @ forward
        return self.centre[1] + self.focal * ahead[1] / ahead[2]


def clip_near(points: np.ndarray) -> np.ndarray:
    """Cut a planar outline (N, 3) in camera axes at the plane z = NEAR."""
    inside = points[:, 2] >= NEAR
    if inside.all():
        return points
    kept = []
    for here, there, a, b in zip(
        points, np.roll(points, -1, 0), inside, np.roll(inside, -1), strict=True
    ):
        if a:
            kept.append(here)
        if a != b:
            kept.append(here + (there - here) * ((NEAR - here[2]) / (there[2] - here[2])))
    return np.array(kept).reshape(-1, 3)


@dataclass(frozen=True)
class Pose:
    """Where a thing stands and where its front points: 0 along the street, clockwise, radians."""

    x: float
    z: float
    heading: float = 0.0
    y: float = 0.0

    @property
    def position(self) -> np.ndarray:
        """(3,) m."""
        return np.array([self.x, self.y, self.z])

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3), the thing's axes (x right, y up, z forward) to the world's."""
        c, s = math.cos(self.heading), math.sin(self.heading)
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Return (N, 3) points in the thing's axes as world points."""
        return points @ self.rotation.T + self.position

    def offset(self, right: float, forward: float, turn: float = 0.0, up: float = 0.0) -> Pose:
        """Return the pose of a part."""
        c, s = math.cos(self.heading), math.sin(self.heading)
        return Pose(
            self.x + c * right + s * forward,
            self.z - s * right + c * forward,
            self.heading + turn,
            self.y + up,
        )
