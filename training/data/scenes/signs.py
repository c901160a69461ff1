# SPDX-License-Identifier: Apache-2.0
"""Traffic signs of the European shapes, on poles; their backs are bare and not labelled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from random import Random

import cv2
import numpy as np

from .camera import Pose
from .canvas import Canvas, Texture
from .mesh import MeshBuilder, Solid

_SIDE = 96  # px of a sign's texture
RED, BLUE, YELLOW = (36, 30, 190), (165, 80, 20), (20, 195, 245)
WHITE, BLACK, GREY = (240, 240, 240), (25, 25, 25), (150, 150, 148)
_STEEL = (128, 130, 130)

# How often each occurs, and its width and height in m.
KINDS = {
    'limit': (3, 0.62, 0.62), 'yield': (3, 0.85, 0.75), 'stop': (1, 0.85, 0.85),
    'priority': (3, 0.62, 0.62), 'no entry': (2, 0.62, 0.62), 'crossing': (3, 0.62, 0.62),
    'parking': (4, 0.55, 0.55), 'no parking': (4, 0.58, 0.58), 'keep right': (3, 0.62, 0.62),
    'warning': (3, 0.85, 0.75), 'one way': (2, 0.9, 0.32), 'direction': (2, 1.7, 0.55),
    'plate': (3, 0.55, 0.33), 'closed': (1, 0.62, 0.62), 'cycle way': (2, 0.58, 0.58),
}  # fmt: skip


@cache
def sign_texture(kind: str, variant: int) -> Texture:
    """Return the picture of a sign; variants differ in number, symbol or text."""
    width, height = KINDS[kind][1:]
    size = (_SIDE, round(_SIDE * height / width))
    big = (size[0] * 4, size[1] * 4)
    picture = np.full((big[1], big[0], 3), 128, np.uint8)
    alpha = np.zeros(big[::-1], np.uint8)
    _draw(picture, alpha, kind, variant)
    shrink = {'dsize': size, 'interpolation': cv2.INTER_AREA}
    return Texture(cv2.resize(picture, **shrink), cv2.resize(alpha, **shrink))


def _outline(corners: int, turn: float, w: int, h: int, scale: float) -> np.ndarray:
    angles = turn + np.arange(corners) * 2 * math.pi / corners
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * scale * w / 2 + (w / 2, h / 2)
    return np.rint(points).astype(np.int32)


def _triangle(w: int, h: int, share: float, down: bool) -> np.ndarray:
    middle = h * (0.36 if down else 0.64)
    points = [(0, 0), (w, 0), (w / 2, h)] if down else [(0, h), (w, h), (w / 2, 0)]
    return np.rint(
        [((x - w / 2) * share + w / 2, (y - middle) * share + middle) for x, y in points]
    ).astype(np.int32)


def _draw(picture: np.ndarray, alpha: np.ndarray, kind: str, variant: int) -> None:
    h, w = alpha.shape
    middle, radius = (w // 2, h // 2), w // 2 - 2

    def fill(points: np.ndarray, colour: tuple[int, int, int], cut: bool = False) -> None:
        cv2.fillPoly(picture, [points], colour)
        if cut:
            cv2.fillPoly(alpha, [points], 255)

    def circle(share: float, colour: tuple[int, int, int], cut: bool = False) -> None:
        cv2.circle(picture, middle, int(radius * share), colour, -1)
        if cut:
            cv2.circle(alpha, middle, int(radius * share), 255, -1)

    def text(words: str, share: float, colour: tuple[int, int, int], y: float = 0.5) -> None:
        font, thick = cv2.FONT_HERSHEY_DUPLEX, 14
        (tw, th), _ = cv2.getTextSize(words, font, 1, 2)
        scale = share * w / tw
        place = (int(w / 2 - tw * scale / 2), int(h * y + th * scale / 2))
        cv2.putText(picture, words, place, font, scale, colour, thick, cv2.LINE_AA)

    def bar(x1: float, y1: float, x2: float, y2: float, colour: tuple[int, int, int]) -> None:
        cv2.rectangle(picture, (int(x1 * w), int(y1 * h)), (int(x2 * w), int(y2 * h)), colour, -1)

    def arrow(x1: float, y1: float, x2: float, y2: float, colour: tuple[int, int, int]) -> None:
        a, b = (int(x1 * w), int(y1 * h)), (int(x2 * w), int(y2 * h))
        cv2.arrowedLine(picture, a, b, colour, w // 9, cv2.LINE_AA, tipLength=0.4)

    def person(x: float, y: float, size: float, colour: tuple[int, int, int]) -> None:
        cv2.circle(
            picture, (int(x * w), int((y - 0.16 * size) * h)), int(0.06 * size * h), colour, -1
        )
        for dx, dy in ((-0.1, 0.2), (0.1, 0.2)):
            a, b = (
                (int(x * w), int((y + 0.02) * h)),
                (int((x + dx * size) * w), int((y + dy * size) * h)),
            )
            cv2.line(picture, a, b, colour, int(0.06 * size * w))
        a, b = (int(x * w), int((y - 0.08 * size) * h)), (int(x * w), int((y + 0.05 * size) * h))
        cv2.line(picture, a, b, colour, int(0.1 * size * w))

    rectangular = kind in ('crossing', 'parking', 'one way', 'direction', 'plate')
    if rectangular:
        corners = np.array([[4, 4], [w - 4, 4], [w - 4, h - 4], [4, h - 4]], np.int32)
        colour = {'plate': WHITE, 'direction': (YELLOW, BLUE, WHITE)[variant % 3]}.get(kind, BLUE)
        fill(corners, colour, cut=True)
        edge = WHITE if colour == BLUE else BLACK
        cv2.rectangle(picture, (12, 12), (w - 12, h - 12), edge, 5)
    if kind == 'limit':
        circle(1, RED, cut=True)
        circle(0.78, WHITE)
        text(('30', '50', '20', '70')[variant % 4], 0.5, BLACK)
    elif kind == 'yield':
        fill(_triangle(w, h, 1, True), RED, cut=True)
        fill(_triangle(w, h, 0.6, True), WHITE)
    elif kind == 'stop':
        fill(_outline(8, math.pi / 8, w, h, 1.06), WHITE, cut=True)
        fill(_outline(8, math.pi / 8, w, h, 0.98), RED)
        text('STOP', 0.75, WHITE)
    elif kind == 'priority':
        fill(_outline(4, 0, w, h, 1), WHITE, cut=True)
        fill(_outline(4, 0, w, h, 0.76), YELLOW)
    elif kind == 'no entry':
        circle(1, RED, cut=True)
        bar(0.18, 0.42, 0.82, 0.58, WHITE)
    elif kind == 'crossing':
        fill(
            np.array([[w // 2, h // 8], [w * 7 // 8, h * 7 // 8], [w // 8, h * 7 // 8]], np.int32),
            WHITE,
        )
        person(0.5, 0.6, 1.0, BLACK)
    elif kind == 'parking':
        text('P', 0.42, WHITE)
    elif kind == 'no parking':
        circle(1, RED, cut=True)
        circle(0.8, BLUE)
        for k in range(1 + variant % 2):
            sign = 1 if k == 0 else -1
            a, b = (
                (int(w * 0.2), int(h * (0.5 - 0.3 * sign))),
                (int(w * 0.8), int(h * (0.5 + 0.3 * sign))),
            )
            cv2.line(picture, a, b, RED, w // 9)
    elif kind in ('keep right', 'cycle way'):
        circle(1, WHITE, cut=True)
        circle(0.95, BLUE)
        if kind == 'cycle way':
            for x in (0.32, 0.68):
                cv2.circle(picture, (int(x * w), int(0.58 * h)), w // 9, WHITE, w // 30)
            points = np.rint(
                np.array([(0.32, 0.58), (0.45, 0.4), (0.64, 0.4), (0.5, 0.58), (0.45, 0.4)])
                * (w, h)
            )
            cv2.polylines(picture, [points.astype(np.int32)], False, WHITE, w // 28)
        else:
            arrow(
                *((0.25, 0.25, 0.75, 0.75), (0.2, 0.5, 0.82, 0.5), (0.5, 0.82, 0.5, 0.18))[
                    variant % 3
                ],
                WHITE,
            )
    elif kind == 'warning':
        fill(_triangle(w, h, 1, False), RED, cut=True)
        fill(_triangle(w, h, 0.66, False), WHITE)
        if variant % 3 == 0:
            person(0.5, 0.66, 0.7, BLACK)
        elif variant % 3 == 1:
            bar(0.47, 0.38, 0.53, 0.68, BLACK)
            bar(0.47, 0.74, 0.53, 0.8, BLACK)
        else:
            arrow(0.4, 0.85, 0.55, 0.45, BLACK)
    elif kind == 'one way':
        arrow(0.12, 0.5, 0.86, 0.5, WHITE)
    elif kind == 'direction':
        ink = BLACK if variant % 3 != 1 else WHITE
        text(('Mitte 2', 'Nordtor', 'Hafen 5', 'Ostring')[variant % 4], 0.62, ink, 0.45)
        arrow(0.06, 0.75, 0.3, 0.75, ink)
    elif kind == 'plate':
        for k in range(3):
            bar(0.15, 0.2 + 0.22 * k, 0.6 + 0.1 * ((variant + k) % 3), 0.3 + 0.22 * k, BLACK)
    elif kind == 'closed':
        circle(1, RED, cut=True)
        circle(0.78, WHITE)


@dataclass(frozen=True)
class Sign:
    """The front of a sign above the ground, or its bare back.

    Attributes:
        texture: its picture.
        width, height: m.
        bottom: its lower edge, m.
        right: its middle from the pole, m.
    """

    texture: Texture
    width: float
    height: float
    bottom: float
    right: float = 0.0

    @property
    def size(self) -> tuple[float, float, float]:
        """(width, height, length) m."""
        return (self.width, self.bottom + self.height, 0.1)

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw its front, which looks against its heading (at who drives along)."""
        del time
        right = pose.rotation[:, 0] * self.width
        corner = pose.offset(self.right, -0.06).position - right / 2 + [0, self.bottom, 0]
        normal = -pose.rotation[:, 2]
        if normal @ (canvas.camera.position - corner) > 0:
            up = np.array([0, self.height, 0])
            canvas.texture(self.texture, corner, right, up, normal, mask=True)


def random_sign(random: Random, bottom: float, right: float = 0.0) -> tuple[Sign, Solid]:
    """Draw a sign, and the bare back that is seen from behind."""
    kind = random.choices(list(KINDS), [weight for weight, *_ in KINDS.values()])[0]
    _, width, height = KINDS[kind]
    factor = random.choice((0.9, 1.0, 1.15, 1.3))
    width, height = width * factor, height * factor
    build = MeshBuilder()
    if width == height:
        build.disc((right, bottom + height / 2, -0.03), width / 2, GREY, (0, 0, 1))
    else:
        build.on(
            '+z', -0.03, (right - width / 2, bottom, right + width / 2, bottom + height), GREY
        )
    sign = Sign(sign_texture(kind, random.randrange(12)), width, height, bottom, right)
    return sign, Solid(((build.build(), (0, 0, 0)),), sign.size)


@cache
def pole(height: float, radius: float = 0.04) -> Solid:
    """Return a steel pole."""
    build = MeshBuilder()
    build.box((-radius, 0, -radius), (radius, height, radius), _STEEL)
    return Solid(((build.build(), (0, 0, 0)),), (2 * radius, height, 2 * radius))
