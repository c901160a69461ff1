# SPDX-License-Identifier: Apache-2.0
"""Bicycles and motorcycles, parked or ridden, and those who ride them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np

from .bodywork import paint
from .camera import NEAR, Pose
from .canvas import Canvas
from .mesh import Colour
from .people import Look, draw_bars, riding

_TURNS = np.linspace(0, 2 * math.pi, 20, endpoint=False)
_RING = np.stack([np.zeros(20), np.sin(_TURNS), np.cos(_TURNS)], 1)

_FAT = 0.08  # m; tyres of motorcycles are thicker

Rod = tuple[tuple[float, float, float], tuple[float, float, float], float, str]


@dataclass(frozen=True, eq=False)
class Cycle:
    """A two-wheeler of rods and wheels.

    Attributes:
        colour: of the frame.
        wheel: radius of the wheels, m.
        base: distance of the axles, m.
        tyre: thickness of the tyres, m.
        rods: (from, to, thickness in m, colour's name).
        panels: filled outlines in the plane of the frame with their half width and colour.
        size: (width, height, length) m.
    """

    colour: Colour
    wheel: float
    base: float
    tyre: float
    rods: tuple[Rod, ...]
    panels: tuple[tuple[tuple[tuple[float, float], ...], float, str], ...]
    size: tuple[float, float, float]
    lamp: bool = False

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw it standing at a pose."""
        del time
        camera, light = canvas.camera, canvas.light
        depth = float(camera.to_camera(pose.position[None])[0, 2])
        if depth < NEAR + self.size[2] / 2:
            return
        scale = camera.focal / depth
        points, strokes = self._strokes
        pixels = camera.project(camera.to_camera(pose.to_world(points)))
        names = list(_TONES)
        colours = np.array([self.colour if name == 'frame' else _TONES[name] for name in names])
        normals = np.repeat([[0, 0.4, -0.7]], len(names), 0)
        lit = light.through_air(light.shade(colours, normals, np.zeros(len(names))), depth)
        tones = dict(zip(names, lit, strict=True))
        for kind, part, thick, name in strokes:
            if kind == 'mark':
                canvas.mark(pixels[part])
            elif kind == 'fill':
                canvas.polygon(pixels[part], tones[name])
            elif kind != 'spoke' or scale > 24:
                canvas.line(pixels[part], thick * scale, tones[name], kind == 'ring')
        if self.lamp and light.lamps:
            front = pose.to_world(np.array([[0, self.size[1] * 0.8, self.base / 2 + 0.2]]))[0]
            if pose.rotation[2, 2] < 0:
                canvas.lamp(front, 0.5, np.array([190.0, 220, 230]))
            else:
                rear = pose.to_world(np.array([[0, 0.75, -self.base / 2 - 0.2]]))[0]
                canvas.lamp(rear, 0.25, np.array([30.0, 30, 220]))

    @cached_property
    def _strokes(self) -> tuple[np.ndarray, list[tuple[str, slice, float, str]]]:
        """All points (N, 3), and what to draw through which of them: kind, part, width, tone."""
        points: list[np.ndarray] = []
        strokes: list[tuple[str, slice, float, str]] = []

        def add(kind: str, outline: np.ndarray, thick: float, name: str) -> None:
            start = sum(map(len, points))
            points.append(np.asarray(outline, float))
            strokes.append((kind, slice(start, start + len(outline)), thick, name))

        wheel, tyre = self.wheel, self.tyre
        for z in (-self.base / 2, self.base / 2):
            hub = np.array([0, wheel, z])
            add('mark', hub + _RING * wheel, 0, '')
            # Seen from the front a wheel is a bar, not a line.
            add('line', np.array([[0, 2 * wheel, z], [0, 0, z]]), tyre, 'rubber')
            if tyre < _FAT:
                for spoke in hub + _RING[::3] * wheel:
                    add('spoke', np.array([hub, spoke]), 0, 'spoke')
            else:
                for share, name in ((1, 'rubber'), (0.6, 'rim'), (0.25, 'dark')):
                    add('fill', hub + _RING * wheel * share, 0, name)
            add('ring', hub + _RING * (wheel - tyre / 2), tyre, 'rubber')
        for outline, half, name in self.panels:
            for x in (-half, half):
                add('fill', np.array([(x, y, z) for z, y in outline]), 0, name)
            # The ends of the panel join its two sides.
            low, high = min(y for _, y in outline), max(y for _, y in outline)
            z = sum(z for z, _ in outline) / len(outline)
            across = [(-half, low, z), (half, low, z), (half, high, z), (-half, high, z)]
            add('fill', np.array(across), 0, name)
        for a, b, thick, name in self.rods:
            add('line', np.array([a, b]), thick, name)
        return np.concatenate(points), strokes


_TONES: dict[str, Colour] = {
    'rubber': (32, 31, 30),
    'spoke': (150, 150, 150),
    'rim': (120, 118, 116),
    'dark': (40, 40, 40),
    'seat': (28, 28, 30),
    'chrome': (185, 185, 182),
    'light': (220, 230, 240),
    'red': (40, 40, 190),
    'frame': (0, 0, 0),  # the cycle's own
}


def bicycle(random: Random) -> Cycle:
    """Return a city or racing bicycle; a third carry a basket or a child's seat."""
    colour = tuple(c * 0.9 for c in paint(random))
    wheel, base = random.uniform(0.32, 0.36), random.uniform(1.0, 1.12)
    back, front = -base / 2, base / 2
    crank, seat, head = (0.0, 0.3, -0.05), (0.0, 0.88, -0.25), (0.0, 0.82, front - 0.22)
    low = random.random() < 0.4  # a step-through frame
    rods: list[Rod] = [
        ((0, wheel, back), crank, 0.03, 'frame'),
        ((0, wheel, back), (0, 0.75, -0.2), 0.026, 'frame'),
        (crank, seat, 0.036, 'frame'),
        (crank, (0, 0.66, front - 0.18), 0.04, 'frame'),
        ((0, 0.5 if low else 0.74, -0.15), (0, 0.78, front - 0.2), 0.036, 'frame'),
        ((0, wheel, front), (0, 1.0, front - 0.26), 0.034, 'frame'),
        ((-0.29, 1.02, front - 0.3), (0.29, 1.02, front - 0.3), 0.03, 'dark'),
        (head, (0, 1.02, front - 0.28), 0.03, 'dark'),
        ((0, 0.9, -0.36), (0, 0.92, -0.12), 0.07, 'seat'),
        ((-0.1, 0.9, -0.34), (0.1, 0.9, -0.34), 0.06, 'seat'),
        ((0, 0.3, 0.0), (0.1, 0.14, 0.05), 0.025, 'dark'),
        ((0, 0.3, 0.0), (-0.1, 0.46, 0.0), 0.025, 'dark'),
        ((0, wheel, back), (0, 0.72, back - 0.12), 0.02, 'dark'),
        ((0, 0.72, back - 0.2), (0, 0.72, -0.25), 0.03, 'dark'),
        ((0, 0.66, back - 0.22), (0, 0.72, back - 0.22), 0.05, 'red'),
    ]
    panels: list = []
    if random.random() < 0.3:
        z = front - 0.05
        panels.append((((z, 0.78), (z + 0.28, 0.78), (z + 0.32, 1.02), (z, 1.02)), 0.17, 'dark'))
    return Cycle(
        colour, wheel, base, 0.04, tuple(rods), tuple(panels), (0.6, 1.05, base + 2 * wheel)
    )


def motorcycle(random: Random) -> Cycle:
    """Return a motorcycle or a scooter."""
    colour = paint(random)
    scooter = random.random() < 0.45
    wheel, base = (0.24, 1.2) if scooter else (0.31, random.uniform(1.35, 1.5))
    back, front = -base / 2, base / 2
    rods: list[Rod] = [
        ((0, wheel, front), (0, 0.98, front - 0.28), 0.09, 'chrome'),
        ((-0.36, 1.04, front - 0.36), (0.36, 1.04, front - 0.36), 0.045, 'dark'),
        ((-0.3, 1.06, front - 0.3), (-0.34, 1.22, front - 0.3), 0.02, 'dark'),
        ((0.3, 1.06, front - 0.3), (0.34, 1.22, front - 0.3), 0.02, 'dark'),
        ((0.14, 0.3, back - 0.25), (0.14, 0.32, 0.1), 0.1, 'chrome'),
        ((0, 0.92, front - 0.2), (0, 0.92, front - 0.17), 0.17, 'light'),
        ((-0.06, 0.72, back - 0.24), (0.06, 0.72, back - 0.24), 0.08, 'red'),
    ]
    if scooter:
        body = ((back - 0.25, 0.42), (back - 0.2, 0.75), (-0.05, 0.72), (0.02, 0.32))
        shield = (
            (front - 0.45, 0.3),
            (front - 0.35, 1.0),
            (front - 0.2, 0.98),
            (front - 0.25, 0.4),
        )
        deck = ((-0.05, 0.24), (-0.05, 0.34), (front - 0.3, 0.34), (front - 0.3, 0.24))
        seat = ((back - 0.2, 0.74), (back - 0.15, 0.83), (0.0, 0.82), (0.0, 0.72))
        panels = (
            (body, 0.2, 'frame'),
            (deck, 0.2, 'dark'),
            (shield, 0.24, 'frame'),
            (seat, 0.14, 'seat'),
        )
    else:
        engine = (
            (back + 0.35, 0.25),
            (back + 0.3, 0.6),
            (front - 0.45, 0.62),
            (front - 0.5, 0.25),
        )
        tank = ((-0.1, 0.72), (0.0, 0.98), (front - 0.35, 0.98), (front - 0.3, 0.7))
        tail = ((back - 0.3, 0.82), (back - 0.3, 0.7), (-0.05, 0.6), (-0.05, 0.8))
        seat = ((back - 0.25, 0.82), (back - 0.2, 0.9), (-0.1, 0.86), (-0.05, 0.76))
        panels = (
            (engine, 0.17, 'dark'),
            (tail, 0.12, 'frame'),
            (tank, 0.17, 'frame'),
            (seat, 0.14, 'seat'),
        )
    fender = tuple(
        (front + 0.37 * math.cos(a), wheel + 0.37 * math.sin(a)) for a in (0.6, 1.2, 1.9, 2.4)
    )
    return Cycle(
        colour, wheel, base, 0.13, tuple(rods), (*panels, (fender, 0.07, 'frame')),
        (0.75, 1.15, base + 2 * wheel), lamp=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Rider:
    """Somebody on a two-wheeler, without it."""

    look: Look
    motorcycle: bool
    phase: float

    @property
    def size(self) -> tuple[float, float, float]:
        """(width, height, length) m."""
        return (0.55, 1.75, 0.7)

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw them at a time in s."""
        if self.motorcycle:
            bars = riding(self.look, 0.83, (1.04, 0.33), math.nan)
        else:
            bars = riding(self.look, 0.9, (1.02, 0.24), self.phase + 7 * time)
        draw_bars(canvas, pose, bars, self.look)
