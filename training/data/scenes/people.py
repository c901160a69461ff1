# SPDX-License-Identifier: Apache-2.0
"""People: limbs as rounded bars between joints, walking, standing or riding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np

from .camera import NEAR, Pose
from .canvas import Canvas
from .mesh import Colour

_SKINS = ((168, 190, 228), (140, 165, 208), (110, 140, 190), (70, 95, 140), (48, 66, 98))
_HAIR = ((28, 30, 36), (40, 60, 88), (90, 140, 180), (150, 150, 150), (30, 50, 110))
_CLOTHES = (
    (40, 38, 36), (60, 56, 52), (90, 60, 40), (120, 80, 50), (50, 50, 150), (60, 60, 190),
    (110, 110, 108), (200, 198, 195), (60, 110, 70), (70, 130, 190), (60, 170, 220),
    (150, 100, 130), (200, 160, 110), (45, 60, 85), (110, 140, 165),
)  # fmt: skip
_TROUSERS = ((90, 62, 44), (60, 44, 34), (34, 32, 30), (70, 68, 66), (110, 130, 150), (44, 50, 60))
_CORNERS = 5  # of each round end


@dataclass(frozen=True)
class Look:
    """How a person is built and dressed; sizes in m, colours BGR."""

    height: float
    girth: float
    skin: Colour
    hair: Colour
    top: Colour
    legs: Colour
    shoes: Colour
    skirt: float = 0.0
    long_hair: bool = False
    bag: Colour | None = None
    umbrella: Colour | None = None
    helmet: Colour | None = None


def look(random: Random, rain: bool = False, child: float = 0.08) -> Look:
    """Draw somebody."""
    small = random.random() < child
    height = random.uniform(1.05, 1.45) if small else random.gauss(1.71, 0.085)
    return Look(
        height=min(max(height, 1.0), 1.98),
        girth=random.uniform(0.88, 1.22),
        skin=random.choices(_SKINS, (4, 4, 2, 1.5, 1))[0],
        hair=random.choice(_HAIR),
        top=tuple(c * random.uniform(0.85, 1.1) for c in random.choice(_CLOTHES)),
        legs=random.choice(_TROUSERS if random.random() < 0.8 else _CLOTHES),
        shoes=random.choice(((28, 28, 28), (220, 220, 220), (40, 60, 90))),
        skirt=random.choice((0.0, 0.0, 0.0, 0.35, 0.6)),
        long_hair=random.random() < 0.4,
        bag=random.choice(_CLOTHES) if random.random() < 0.4 else None,
        umbrella=random.choice(_CLOTHES) if rain and random.random() < 0.55 else None,
    )


def rider_look(random: Random, motorcycle: bool) -> Look:
    """Draw somebody who rides."""
    helmet = random.choice(_CLOTHES) if motorcycle or random.random() < 0.5 else None
    one = look(random, child=0.0)
    return Look(
        one.height, one.girth, one.skin, one.hair, one.top, one.legs, one.shoes,
        long_hair=one.long_hair and helmet is None,
        bag=one.bag,
        helmet=helmet,
    )  # fmt: skip


Bar = tuple[np.ndarray, np.ndarray, float, float, Colour]


@dataclass(frozen=True)
class Person:
    """Somebody on foot.

    Attributes:
        look: how they look.
        stride: 0 standing .. 1 walking fast.
        phase: where in the step they are at time 0, radians.
        cadence: rad/s.
    """

    look: Look
    stride: float
    phase: float
    cadence: float = 6.0

    @property
    def size(self) -> tuple[float, float, float]:
        """(width, height, length) m."""
        return (0.5, self.look.height, 0.35)

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw them at a time in s."""
        step = self.phase + self.cadence * time * (self.stride > 0)
        draw_bars(canvas, pose, _walking(self.look, self.stride, step), self.look)


@dataclass(frozen=True)
class Crowd:
    """Several people too far away to be told apart, each at (right, forward) m."""

    people: tuple[tuple[Person, float, float, float], ...]
    size: tuple[float, float, float]

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw them, the farthest first."""
        placed = [
            (one, pose.offset(right, ahead, turn)) for one, right, ahead, turn in self.people
        ]
        for one, at in sorted(placed, key=lambda item: -item[1].z):
            one.draw(canvas, at, time)


def _walking(look: Look, stride: float, phase: float) -> list[Bar]:
    h, girth = look.height, look.girth
    swing = math.sin(phase) * 0.42 * stride
    hip, shoulder, neck = 0.52 * h, 0.82 * h, 0.86 * h
    bounce = 0.012 * h * abs(math.cos(phase)) * stride
    bars: list[Bar] = []
    for sign in (-1.0, 1.0):
        angle = swing * sign
        top = np.array([sign * 0.055 * h, hip + bounce, 0.0])
        knee = top + [0, -0.25 * h * math.cos(angle), 0.25 * h * math.sin(angle)]
        # The leg behind bends: its foot leaves the ground.
        bend = angle - max(0.0, -math.cos(phase) * sign * 0.9) * stride - 0.05
        foot = knee + [0, -0.245 * h * math.cos(bend), 0.245 * h * math.sin(bend)]
        bars.append((top, knee, 0.052 * h * girth, 0.037 * h, look.legs))
        bars.append((knee, foot, 0.037 * h, 0.024 * h, look.legs if not look.skirt else look.skin))
        bars.append((foot, foot + [0, -0.012 * h, 0.08 * h], 0.024 * h, 0.02 * h, look.shoes))
    if look.skirt:
        low = np.array([0.0, hip - look.skirt * 0.4 * h, 0.0])
        bars.append((np.array([0.0, hip, 0.0]), low, 0.085 * h, 0.12 * h * girth, look.top))
    for sign in (-1.0, 1.0):
        angle = -swing * sign * 0.9
        top = np.array([sign * 0.115 * h * girth, shoulder - 0.015 * h + bounce, 0.0])
        if look.umbrella is not None and sign > 0:
            elbow = top + [0.02 * h, -0.15 * h, 0.05 * h]
            hand = elbow + [-0.06 * h, 0.08 * h, 0.1 * h]
        else:
            elbow = top + [
                sign * 0.02 * h,
                -0.17 * h * math.cos(angle),
                0.17 * h * math.sin(angle),
            ]
            more = angle + 0.35
            hand = elbow + [0, -0.15 * h * math.cos(more), 0.15 * h * math.sin(more)]
        bars.append((top, elbow, 0.034 * h, 0.028 * h, look.top))
        bars.append((elbow, hand, 0.026 * h, 0.021 * h, look.top))
        bars.append((hand, hand + [0, -0.02 * h, 0], 0.021 * h, 0.018 * h, look.skin))
    _torso(bars, look, np.array([0.0, hip + bounce, 0.0]), np.array([0.0, shoulder + bounce, 0.0]))
    _head(bars, look, np.array([0.0, neck + bounce, 0.0]))
    if look.umbrella is not None:
        grip = np.array([0.08 * h, shoulder - 0.06 * h, 0.14 * h])
        tip = grip + [0, 0.42 * h, -0.04 * h]
        bars.append((grip, tip, 0.008, 0.008, (60, 60, 60)))
        for k in range(3):  # a dome of three discs
            at = tip - [0, 0.05 * (2 - k), 0]
            wide = (0.5, 0.38, 0.2)[k]
            bars.append(
                (at - [wide * 0.8, 0, 0], at + [wide * 0.8, 0, 0], 0.07, 0.07, look.umbrella)
            )
    return bars


def _torso(bars: list[Bar], look: Look, hip: np.ndarray, shoulder: np.ndarray) -> None:
    h, girth = look.height, look.girth
    # Two columns side by side: broad from the front, narrow from the side.
    for sign in (-1.0, 1.0):
        low, high = (
            hip + [sign * 0.035 * h * girth, 0, 0],
            shoulder + [sign * 0.06 * h * girth, 0, 0],
        )
        low = low - [0, 0.02 * h, 0]
        bars.append((low, high - [0, 0.02 * h, 0], 0.068 * h * girth, 0.058 * h * girth, look.top))
    if look.bag is not None:
        back = np.array([0, 0, -0.09 * h])
        bars.append((hip + back + [0, 0.08 * h, 0], shoulder + back - [0, 0.03 * h, 0],
                     0.07 * h, 0.062 * h, look.bag))  # fmt: skip


def _head(bars: list[Bar], look: Look, neck: np.ndarray) -> None:
    h = look.height
    chin, crown = neck + [0, 0.035 * h, 0.01 * h], neck + [0, 0.085 * h, 0.005 * h]
    bars.append((neck - [0, 0.03 * h, 0], chin, 0.026 * h, 0.03 * h, look.skin))
    bars.append((chin, crown, 0.04 * h, 0.047 * h, look.skin))
    cover = look.hair if look.helmet is None else look.helmet
    grow = 0.05 if look.helmet is None else 0.064
    bars.append((crown + [0, 0.012 * h, -0.014 * h], crown + [0, 0.012 * h, -0.014 * h],
                 grow * h, grow * h, cover))  # fmt: skip
    if look.long_hair:
        bars.append((crown - [0, 0, 0.02 * h], neck - [0, 0.04 * h, 0.03 * h], 0.045 * h,
                     0.035 * h, look.hair))  # fmt: skip


def riding(look: Look, saddle: float, bars_at: tuple[float, float], phase: float) -> list[Bar]:
    """Return somebody who sits.

    Args:
        look: who.
        saddle: its height above the ground, m; it is 0.25 m behind the middle of the vehicle.
        bars_at: (height, forward) of the handlebars, m.
        phase: of the pedals, radians; NaN: the feet rest.
    """
    h = look.height
    hip = np.array([0.0, saddle + 0.07, -0.25])
    lean = 0.2 + 0.25 * (bars_at[0] < saddle + 0.1)
    shoulder = hip + [0, 0.31 * h * math.cos(lean), 0.31 * h * math.sin(lean)]
    bars: list[Bar] = []
    for sign in (-1.0, 1.0):
        if math.isnan(phase):
            foot = np.array([sign * 0.2, 0.36, 0.05])
        else:
            turn = phase + (math.pi if sign > 0 else 0)
            foot = np.array(
                [sign * 0.11, 0.3 + 0.17 * math.sin(turn), 0.05 + 0.17 * math.cos(turn)]
            )
        top = hip + [sign * 0.08, 0, 0.02]
        middle, reach = (top + foot) / 2, np.linalg.norm(foot - top)
        bend = math.sqrt(max((0.255 * h) ** 2 - (reach / 2) ** 2, 0.003))
        knee = middle + [sign * 0.03, 0.25 * bend, bend * 0.95]
        bars.append((top, knee, 0.05 * h, 0.036 * h, look.legs))
        bars.append((knee, foot, 0.036 * h, 0.024 * h, look.legs))
        bars.append((foot, foot + [0, -0.02, 0.12], 0.024 * h, 0.02 * h, look.shoes))
        arm = shoulder + [sign * 0.115 * h, -0.02 * h, 0]
        hand = np.array([sign * 0.26, bars_at[0] + 0.03, bars_at[1]])
        elbow = (arm + hand) / 2 + [sign * 0.05, -0.07, 0]
        bars.append((arm, elbow, 0.034 * h, 0.028 * h, look.top))
        bars.append((elbow, hand, 0.027 * h, 0.02 * h, look.top))
        bars.append((hand, hand, 0.022 * h, 0.022 * h, look.skin))
    _torso(bars, look, hip, shoulder)
    _head(bars, look, shoulder + [0, 0.04 * h, 0.02 * h])
    return bars


def draw_bars(canvas: Canvas, pose: Pose, bars: list[Bar], look: Look) -> None:
    """Draw rounded bars (from, to, radius, radius, colour), the farthest first."""
    camera, light = canvas.camera, canvas.light
    ends = camera.to_camera(pose.to_world(np.array([[a, b] for a, b, *_ in bars]).reshape(-1, 3)))
    depth = float(ends[:, 2].mean())
    if ends[:, 2].min() < NEAR:
        return
    scale = camera.focal / depth
    pixels = camera.project(ends).reshape(-1, 2, 2)
    radii = np.array([[a, b] for *_, a, b, _ in bars]) * scale
    colours = np.array([colour for *_, colour in bars], float)
    side = np.array([light.sun @ camera.rotation[0], 0.2, -0.6])
    normal = np.repeat((side / np.linalg.norm(side))[None], len(bars), 0)
    zero = np.zeros(len(bars))
    lit = light.through_air(light.shade(colours, normal, zero), depth)
    order = np.argsort(-ends[:, 2].reshape(-1, 2).mean(1), kind='stable')
    outlines = canvas.fixed(_rounded(pixels, radii).reshape(-1, 2)).reshape(len(bars), -1, 2)
    if scale * look.height < 55:
        canvas.faces([outlines[i] for i in order], lit[order])
        return
    # Near people get a bright and a dark side.
    towards = 1.0 if light.sun @ camera.rotation[0] >= 0 else -1.0
    inner = pixels + [[[towards * 0.3, -0.1]]] * radii[..., None]
    highlights = canvas.fixed(_rounded(inner, radii * 0.58).reshape(-1, 2))
    highlights = highlights.reshape(len(bars), -1, 2)
    both = [outline for i in order for outline in (outlines[i], highlights[i])]
    tones = np.stack([lit * 0.84, np.minimum(lit * 1.06, 255)], 1)[order].reshape(-1, 3)
    canvas.faces(both, tones)


def _rounded(pixels: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return the outlines (N, 2 * _CORNERS, 2) of bars (N, 2, 2) px with radii (N, 2) px."""
    along = pixels[:, 1] - pixels[:, 0]
    angle = np.arctan2(along[:, 1], along[:, 0])
    fan = np.linspace(-math.pi / 2, math.pi / 2, _CORNERS)
    ends = []
    for end, turn in ((1, 0.0), (0, math.pi)):
        theta = angle[:, None] + fan + turn
        circle = np.stack([np.cos(theta), np.sin(theta)], -1)
        ends.append(pixels[:, end, None] + circle * radii[:, end, None, None])
    return np.concatenate(ends, 1)
