# SPDX-License-Identifier: Apache-2.0
"""Solid things of flat painted faces.

Faces that turn away are not drawn; the others are drawn in the order in which they were added, so
a body comes before the details on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .camera import NEAR, Pose, clip_near
from .canvas import Canvas

Colour = Sequence[float]

_AXES = np.eye(3)


@dataclass(frozen=True)
class Lamp:
    """A light on a thing: where, which way it shines (3,), its BGR colour, its radius in m."""

    place: np.ndarray
    towards: np.ndarray
    colour: np.ndarray
    radius: float


@dataclass(frozen=True)
class Mesh:
    """Faces in the thing's own axes (x right, y up, z forward; m).

    Attributes:
        vertices: (V, 3).
        faces: for each face the numbers of its vertices.
        normals: (F, 3) outwards; zero for faces seen from both sides.
        centres: (F, 3).
        colours: (F, 3) BGR 0..255.
        glow: (F,) 0..1, how much of the colour does not depend on the light.
        detail: (F,) px/m from which on the face is worth drawing.
        lamps: what shines when lamps are lit.
    """

    vertices: np.ndarray
    faces: tuple[np.ndarray, ...]
    normals: np.ndarray
    centres: np.ndarray
    colours: np.ndarray
    glow: np.ndarray
    detail: np.ndarray
    lamps: tuple[Lamp, ...] = ()

    def draw(self, canvas: Canvas, pose: Pose) -> None:
        """Draw it standing at a pose."""
        camera = canvas.camera
        points = camera.to_camera(pose.to_world(self.vertices))
        depths = points[:, 2]
        if depths.max() < NEAR:
            return
        eye = (camera.position - pose.position) @ pose.rotation
        turned = ((eye - self.centres) * self.normals).sum(1)
        scale = camera.focal / max(float(depths.min()), NEAR)
        chosen = np.flatnonzero(((turned > 0) | ~self.normals.any(1)) & (self.detail <= scale))
        normals = self.normals[chosen] @ pose.rotation.T
        colours = canvas.light.shade(self.colours[chosen], normals, self.glow[chosen])
        colours = canvas.light.through_air(colours, float(depths.mean()))
        if depths.min() > NEAR:
            fixed = canvas.fixed(camera.project(points))
            canvas.faces([fixed[self.faces[i]] for i in chosen], colours)
        else:
            for i, colour in zip(chosen, colours, strict=True):
                canvas.polygon(camera.project(clip_near(points[self.faces[i]])), colour)
        if canvas.light.lamps:
            self._shine(canvas, pose, eye)

    def _shine(self, canvas: Canvas, pose: Pose, eye: np.ndarray) -> None:
        for lamp in self.lamps:
            away = eye - lamp.place
            facing = float(away @ lamp.towards) / max(float(np.linalg.norm(away)), 1e-6)
            if facing > 0.1:
                where = pose.to_world(lamp.place[None])[0]
                canvas.lamp(where, lamp.radius, lamp.colour * min(1.0, facing + 0.2))


def _normal(points: Sequence[Sequence[float]], out: Sequence[float]) -> tuple[float, float, float]:
    """Return the unit normal of a flat outline on the side of `out`."""
    # Newell's sum takes any outline; plain numbers are faster here than small arrays.
    nx = ny = nz = 0.0
    for k, (ax, ay, az) in enumerate(points):
        bx, by, bz = points[k - 1]
        nx, ny, nz = nx + ay * bz - az * by, ny + az * bx - ax * bz, nz + ax * by - ay * bx
    length = math.sqrt(nx * nx + ny * ny + nz * nz) or 1.0
    length = length if nx * out[0] + ny * out[1] + nz * out[2] >= 0 else -length
    return (nx / length, ny / length, nz / length)


class MeshBuilder:
    """Collects faces; `build` returns the mesh."""

    def __init__(self) -> None:
        self._points: list[np.ndarray] = []
        self._normals: list[tuple[float, float, float]] = []
        self._colours: list[Colour] = []
        self._glow: list[float] = []
        self._detail: list[float] = []
        self._lamps: list[Lamp] = []

    def face(
        self,
        points: Sequence[Sequence[float]],
        colour: Colour,
        out: Sequence[float] | None,
        glow: float = 0.0,
        detail: float = 0.0,
    ) -> None:
        """Add a flat face; `out` points to its front, None: it is seen from both sides."""
        self._points.append(np.array(points, float))
        self._normals.append((0.0, 0.0, 0.0) if out is None else _normal(points, out))
        self._colours.append(colour)
        self._glow.append(glow)
        self._detail.append(detail)

    def on(
        self,
        axis: str,
        at: float,
        rectangle: tuple[float, float, float, float],
        colour: Colour,
        glow: float = 0.0,
        detail: float = 0.0,
    ) -> None:
        """Add a rectangle that looks along an axis such as '+x' or '-z', at a coordinate.

        The rectangle is (a1, b1, a2, b2): z and y for x axes, x and z for y axes, else x and y.
        """
        a1, b1, a2, b2 = rectangle
        sign = 1.0 if axis[0] == '+' else -1.0
        corners = ((a1, b1), (a2, b1), (a2, b2), (a1, b2))
        if axis[1] == 'x':
            self.face([(at, b, a) for a, b in corners], colour, (sign, 0, 0), glow, detail)
        elif axis[1] == 'y':
            self.face([(a, at, b) for a, b in corners], colour, (0, sign, 0), glow, detail)
        else:
            self.face([(a, b, at) for a, b in corners], colour, (0, 0, sign), glow, detail)

    def box(
        self,
        low: Sequence[float],
        high: Sequence[float],
        colour: Colour,
        top: Colour | None = None,
        detail: float = 0.0,
    ) -> None:
        """Add an upright box between two corners (x, y, z)."""
        (x1, y1, z1), (x2, y2, z2) = low, high
        for axis, at in (('-x', x1), ('+x', x2)):
            self.on(axis, at, (z1, y1, z2, y2), colour, detail=detail)
        for axis, at in (('-z', z1), ('+z', z2)):
            self.on(axis, at, (x1, y1, x2, y2), colour, detail=detail)
        self.on('+y', y2, (x1, z1, x2, z2), colour if top is None else top, detail=detail)

    def disc(
        self,
        centre: Sequence[float],
        radius: float,
        colour: Colour,
        out: Sequence[float],
        glow: float = 0.0,
        detail: float = 0.0,
        two_sided: bool = False,
        corners: int = 14,
    ) -> None:
        """Add a disc that looks along `out`, one of the axes."""
        first, second = (_AXES[i] for i in range(3) if abs(out[i]) < 0.5)
        angles = np.arange(corners) * (2 * math.pi / corners)
        around = np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * second
        points = np.array(centre, float) + radius * around
        self.face(points.tolist(), colour, None if two_sided else out, glow, detail)

    def lamp(
        self, place: Sequence[float], towards: Sequence[float], colour: Colour, radius: float
    ) -> None:
        """Add a light that shines when lamps are lit."""
        self._lamps.append(
            Lamp(np.array(place, float), np.array(towards, float), np.array(colour, float), radius)
        )

    def build(self) -> Mesh:
        """Return the mesh of everything added."""
        counts = np.array([len(points) for points in self._points])
        starts = np.cumsum([0, *counts])
        vertices = np.concatenate(self._points)
        return Mesh(
            vertices,
            tuple(np.arange(a, b) for a, b in zip(starts, starts[1:], strict=False)),
            np.array(self._normals),
            np.add.reduceat(vertices, starts[:-1], axis=0) / counts[:, None],
            np.array(self._colours, float),
            np.array(self._glow),
            np.array(self._detail),
            tuple(self._lamps),
        )


@dataclass(frozen=True)
class Solid:
    """A thing of one or more meshes, each with its own place (right, forward, up).

    Attributes:
        parts: the meshes; those farther from the camera are drawn first.
        size: (width, height, length) m.
    """

    parts: tuple[tuple[Mesh, tuple[float, float, float]], ...]
    size: tuple[float, float, float]

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw it standing at a pose."""
        del time  # nothing of it moves by itself
        eye = canvas.camera.position
        placed = [(mesh, pose.offset(at[0], at[1], up=at[2])) for mesh, at in self.parts]
        if len(placed) > 1:
            placed.sort(key=lambda part: -np.linalg.norm(part[1].position - eye))
        for mesh, at in placed:
            mesh.draw(canvas, at)
