# SPDX-License-Identifier: Apache-2.0
"""Fronts of houses as textures: windows, doors, shops, bricks, balconies, lit rooms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

import cv2
import numpy as np

from .canvas import Texture
from .mesh import Colour
from .styles import City
from .textures import clouds

_SCALE = 26  # px/m
_FRONTS = 14  # different fronts of a city
_SHOPS = (
    (60, 50, 170),
    (60, 120, 60),
    (150, 90, 40),
    (40, 150, 215),
    (45, 45, 45),
    (120, 60, 110),
)


@dataclass(frozen=True)
class Front:
    """The front of a house, and its size in m."""

    texture: Texture
    width: float
    height: float
    wall: np.ndarray
    roof: np.ndarray


@cache
def fronts(city: City) -> tuple[Front, ...]:
    """Return the fronts of a city's houses."""
    random = Random(city.number)
    return tuple(_front(random, city) for _ in range(_FRONTS))


def _front(random: Random, city: City) -> Front:
    storey = random.uniform(2.9, 3.5)
    floors = max(2, round(random.uniform(*city.heights) / storey))
    width, height = random.uniform(9, 18), floors * storey + 0.9
    wall = np.array(random.choice(city.walls), float) * random.uniform(0.82, 1.08)
    size = (round(width * _SCALE), round(height * _SCALE))
    picture = np.full((size[1], size[0], 3), np.clip(wall, 0, 255), np.uint8)
    _roughen(picture, random)
    if random.random() < city.brick:
        _bricks(picture, wall)
    lit = np.zeros_like(picture)
    office = city.heights[1] > 24 and random.random() < 0.6
    pitch = random.uniform(1.5, 2.0) if office else random.uniform(2.2, 3.1)
    columns = max(2, int(width / pitch))
    frame = random.choice(((235, 235, 232), (60, 60, 60), (70, 90, 120), (225, 230, 232)))
    shop = random.random() < 0.6
    trim = np.clip(wall * random.choice((0.75, 1.18)), 0, 255)
    shutters = (
        random.choice(((60, 90, 50), (50, 60, 110), (110, 80, 50)))
        if random.random() < 0.25
        else None
    )
    share = 0.8 if office else random.uniform(0.38, 0.5)
    tall = 0.62 if office else random.uniform(0.5, 0.62)
    balcony = not office and random.random() < 0.35
    for floor in range(floors):
        bottom = height - floor * storey
        if floor == 0:
            _ground_floor(picture, lit, random, width, height, storey, columns, shop, frame)
            continue
        for k in range(columns):
            cell = width / columns
            x = (k + 0.5) * cell - cell * share / 2
            y = bottom - storey * (0.22 + tall)
            w, h = cell * share, storey * tall
            _window(picture, lit, random, (x, y, w, h), frame, trim, office)
            if shutters and w < 1.6:
                for side in (x - w * 0.42, x + w * 1.02):
                    _fill(picture, (side, y, w * 0.4, h), shutters)
            if balcony and k % 2 == floor % 2:
                _fill(picture, (x - 0.4, y + h * 0.95, w + 0.8, 0.12), trim * 0.8)
                for bar in np.arange(x - 0.4, x + w + 0.4, 0.18):
                    _fill(picture, (bar, y + h * 0.58, 0.05, h * 0.4), (50, 50, 50))
                _fill(picture, (x - 0.4, y + h * 0.55, w + 0.8, 0.07), (50, 50, 50))
        if random.random() < 0.5:
            _fill(picture, (0, bottom - 0.12, width, 0.14), trim)
    _fill(picture, (0, 0, width, 0.45), trim)
    _fill(picture, (0, 0.45, width, 0.12), trim * 0.6)
    if random.random() < 0.5:  # a drain pipe
        _fill(picture, (random.choice((0.2, width - 0.35)), 0.5, 0.13, height), (90, 92, 94))
    # Neighbours throw a soft line between two fronts.
    picture[:, :2] = (picture[:, :2] * 0.6).astype(np.uint8)
    roof = random.choice(((52, 62, 120), (60, 64, 70), (70, 80, 132), (48, 50, 54)))
    return Front(Texture(picture, lit=lit), width, height, wall, np.array(roof, float))


def _roughen(picture: np.ndarray, random: Random) -> None:
    height, width = picture.shape[:2]
    dirt = np.tile(clouds(random.randrange(6), 512), (2 + height // 512, 2 + width // 512))
    x, y = random.randrange(512), random.randrange(512)
    dirt = (
        dirt[y : y + height, x : x + width, None]
        if y + height <= len(dirt)
        else dirt[:height, :width, None]
    )
    picture[:] = np.clip(picture * (0.9 + 0.2 * dirt[:, :width]), 0, 255)


def _bricks(picture: np.ndarray, wall: np.ndarray) -> None:
    height, width = picture.shape[:2]
    source = np.random.default_rng(int(wall[0]))
    rows, step = height // 4 + 1, 9
    tones = source.uniform(0.86, 1.12, (rows, width // step + 2)).astype(np.float32)
    large = cv2.resize(tones, (tones.shape[1] * step, rows * 4), interpolation=cv2.INTER_NEAREST)
    picture[:] = np.clip(picture * large[:height, :width, None], 0, 255)
    picture[::4] = (picture[::4] * 0.86 + 20).astype(np.uint8)


def _fill(
    picture: np.ndarray, rectangle: tuple[float, float, float, float], colour: Colour
) -> None:
    x, y, w, h = rectangle
    x1, y1 = max(round(x * _SCALE), 0), max(round(y * _SCALE), 0)
    x2, y2 = max(round((x + w) * _SCALE), x1 + 1), max(round((y + h) * _SCALE), y1 + 1)
    picture[y1:y2, x1:x2] = np.clip(np.array(colour), 0, 255)


def _window(
    picture: np.ndarray,
    lit: np.ndarray,
    random: Random,
    rectangle: tuple[float, float, float, float],
    frame: Colour,
    trim: np.ndarray,
    office: bool,
) -> None:
    x, y, w, h = rectangle
    _fill(picture, (x - 0.1, y - 0.1, w + 0.2, h + 0.2), trim)
    _fill(picture, (x - 0.16, y + h + 0.05, w + 0.32, 0.12), trim * 1.1)
    _fill(picture, (x, y, w, h), frame)
    tone = random.uniform(0.7, 1.35)
    inner = (x + 0.07, y + 0.07, w - 0.14, h - 0.14)
    _fill(picture, inner, (72 * tone, 62 * tone, 54 * tone))
    _fill(picture, (x + 0.07, y + 0.07, w - 0.14, h * 0.4), (118 * tone, 104 * tone, 90 * tone))
    if random.random() < 0.4:  # a curtain or a blind
        curtain = random.choice(((205, 210, 212), (170, 185, 195), (150, 160, 190)))
        _fill(picture, (x + 0.07, y + 0.07, w - 0.14, h * random.uniform(0.2, 0.8)), curtain)
    elif random.random() < 0.5:
        _fill(picture, (x + 0.07, y + 0.07, w * 0.22, h - 0.14), (190, 196, 200))
    if random.random() < 0.34:
        warm = random.choice(((70, 150, 205), (90, 160, 190), (120, 165, 175)))
        level = random.uniform(0.35, 1.0)
        _fill(lit, inner, [c * level for c in warm])
    bars = (0.5,) if not office else ()
    for bar in bars:
        _fill(picture, (x + w * bar - 0.03, y, 0.06, h), frame)
        _fill(lit, (x + w * bar - 0.03, y, 0.06, h), (0, 0, 0))


def _ground_floor(
    picture: np.ndarray,
    lit: np.ndarray,
    random: Random,
    width: float,
    height: float,
    storey: float,
    columns: int,
    shop: bool,
    frame: Colour,
) -> None:
    top = height - storey
    door = random.randrange(columns)
    cell = width / columns
    if shop:
        colour = random.choice(_SHOPS)
        _fill(picture, (0.2, top, width - 0.4, storey), np.array(colour) * 0.75)
        _fill(picture, (0.2, top + 0.1, width - 0.4, 0.55), colour)
        text = random.choice(((235, 235, 235), (60, 200, 240), (30, 30, 30)))
        x = random.uniform(0.8, width * 0.3)
        for _ in range(random.randint(4, 9)):  # letters too small to be read
            w = random.uniform(0.12, 0.3)
            _fill(picture, (x, top + 0.24, w, 0.28), text)
            x += w + 0.08
            if x > width - 0.8:
                break
        _fill(lit, (0.4, top + 0.15, width - 0.8, 0.45), np.array(colour) * 0.5)
        inside = random.uniform(0.7, 1.2)
        for k in range(columns):
            x = k * cell + 0.25
            pane = (x, top + 0.8, cell - 0.4, storey - (0.9 if k == door else 1.3))
            _fill(picture, pane, (82 * inside, 86 * inside, 88 * inside))
            for _ in range(4):  # what is in the window
                thing = (
                    x + random.uniform(0, cell * 0.6),
                    height - random.uniform(0.8, 1.7),
                    0.3,
                    0.5,
                )
                _fill(picture, thing, [random.uniform(60, 210) for _ in range(3)])
            _fill(lit, pane, (105, 150, 170) if random.random() < 0.7 else (20, 25, 28))
        if random.random() < 0.4:  # an awning
            stripe = np.array(random.choice(_SHOPS), float)
            for k, x in enumerate(np.arange(0.3, width - 0.6, 0.35)):
                _fill(picture, (x, top + 0.6, 0.35, 0.6), stripe if k % 2 else (225, 225, 225))
        return
    _fill(picture, (0, height - 0.7, width, 0.7), (110, 116, 120))
    for k in range(columns):
        x = (k + 0.5) * cell
        if k == door:
            wood = random.choice(((40, 60, 100), (60, 80, 50), (50, 45, 90), (60, 60, 62)))
            _fill(picture, (x - 0.75, height - 2.6, 1.5, 2.6), (210, 215, 216))
            _fill(picture, (x - 0.6, height - 2.4, 1.2, 2.4), wood)
            _fill(picture, (x - 0.45, height - 2.25, 0.9, 0.7), (70, 66, 60))
            _fill(lit, (x - 0.45, height - 2.25, 0.9, 0.5), (70, 140, 180))
        else:
            w = min(1.3, cell * 0.5)
            _window(picture, lit, random, (x - w / 2, top + 0.8, w, storey * 0.45), frame,
                    np.array((190, 195, 198)), False)  # fmt: skip
    if random.random() < 0.3:  # somebody was here with a spray can
        colour = tuple(random.uniform(40, 200) for _ in range(3))
        x = random.uniform(0.5, width - 3)
        points = np.array(
            [(x + 0.3 * k, height - random.uniform(0.5, 1.5)) for k in range(random.randint(5, 8))]
        )
        scaled = np.rint(points * _SCALE).astype(np.int32)
        cv2.polylines(picture, [scaled], False, colour, 3, cv2.LINE_AA)
