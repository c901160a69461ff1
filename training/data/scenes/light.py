# SPDX-License-Identifier: Apache-2.0
"""Weather and time of day: what lights a surface, and the air between it and the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np

WEATHERS = ('clear', 'overcast', 'dusk', 'night', 'rain', 'fog')


@dataclass(frozen=True)
class Light:
    """Colours are BGR; those of light are factors, those of the air 0..255.

    Attributes:
        weather: one of WEATHERS.
        sun: (3,) unit vector towards the sun.
        ambient: light from everywhere.
        direct: light from the sun.
        zenith: the sky overhead.
        haze: the sky at the horizon, into which distant things fade.
        density: of the air, 1/m.
        clouds: 0..1, how much of the sky they cover.
        shadow: 0..1, how dark the shadows on the ground are.
        wet: 0..1, how much the road mirrors.
        lamps: whether lamps and windows are lit.
    """

    weather: str
    sun: np.ndarray
    ambient: np.ndarray
    direct: np.ndarray
    zenith: np.ndarray
    haze: np.ndarray
    density: float
    clouds: float
    shadow: float
    wet: float
    lamps: bool

    def shade(self, colours: np.ndarray, normals: np.ndarray, glow: np.ndarray) -> np.ndarray:
        """Return colours (F, 3) as lit on surfaces (F, 3); `glow` (F,) is 1 for lit lamps."""
        facing = np.maximum(normals @ self.sun, 0)[:, None]
        # Less light comes from below; it tells the sides of a thing apart on grey days.
        sky = (0.82 + 0.18 * normals[:, 1])[:, None]
        lit = colours * (self.ambient * sky + self.direct * facing)
        return lit + (colours - lit) * glow[:, None]

    def through_air(self, colours: np.ndarray, distance: float) -> np.ndarray:
        """Return colours (..., 3) as seen from `distance` m."""
        clear = math.exp(-self.density * max(distance, 0.0))
        return colours * clear + self.haze * (1 - clear)

    def table(self, normal: np.ndarray, distance: float, glow: float = 0.0) -> np.ndarray:
        """Return the look-up table (256, 1, 3) for a texture on a surface at a distance."""
        levels = np.repeat(np.arange(256.0)[:, None], 3, 1)
        lit = self.shade(levels, np.repeat(normal[None], 256, 0), np.full(256, glow))
        table = np.clip(self.through_air(lit, distance), 0, 255)
        return table.astype(np.uint8)[:, None]


def _bgr(*values: float) -> np.ndarray:
    return np.array(values, float)


def sample_light(random: Random, weights: tuple[float, ...]) -> Light:
    """Draw the weather (by weights in the order of WEATHERS) and the light that it makes."""
    weather = random.choices(WEATHERS, weights)[0]
    elevation = {'clear': random.uniform(25, 62), 'dusk': random.uniform(4, 11)}.get(weather, 60)
    azimuth = random.uniform(-math.pi, math.pi)
    up, flat = math.sin(math.radians(elevation)), math.cos(math.radians(elevation))
    sun = np.array([flat * math.sin(azimuth), up, flat * math.cos(azimuth)])
    # A few percent between the pictures of one weather.
    tone = 1 + np.array([random.gauss(0, 0.035) for _ in range(3)])
    strength = random.uniform(0.85, 1.12)
    none = np.zeros(3)

    def light(
        ambient: np.ndarray,
        direct: np.ndarray,
        zenith: np.ndarray,
        haze: np.ndarray,
        density: float,
        clouds: float,
        shadow: float,
        wet: float = 0.0,
        lamps: bool = False,
    ) -> Light:
        return Light(
            weather, sun, ambient * tone * strength, direct * strength, zenith, haze * tone,
            density, clouds, shadow, wet, lamps,
        )  # fmt: skip

    if weather == 'clear':
        return light(
            _bgr(0.72, 0.66, 0.61), _bgr(0.46, 0.54, 0.6), _bgr(205, 140, 72),
            _bgr(232, 218, 198), random.uniform(0.001, 0.003), random.uniform(0, 0.5), 0.5,
        )  # fmt: skip
    if weather == 'overcast':
        return light(
            _bgr(0.92, 0.9, 0.88), _bgr(0.12, 0.12, 0.12), _bgr(196, 188, 180),
            _bgr(222, 219, 216), random.uniform(0.002, 0.005), random.uniform(0.6, 1), 0.32,
            wet=random.choice([0, 0, 0.3]),
        )  # fmt: skip
    if weather == 'dusk':
        return light(
            _bgr(0.58, 0.5, 0.49), _bgr(0.12, 0.26, 0.45), _bgr(122, 84, 62),
            _bgr(128, 158, 222), random.uniform(0.002, 0.004), random.uniform(0.1, 0.7), 0.35,
            lamps=True,
        )  # fmt: skip
    if weather == 'night':
        return light(
            _bgr(0.31, 0.32, 0.33), none, _bgr(34, 24, 20), _bgr(58, 50, 48),
            random.uniform(0.002, 0.005), random.uniform(0, 0.6), 0.25,
            wet=random.choice([0, 0, 0.6]), lamps=True,
        )  # fmt: skip
    if weather == 'rain':
        return light(
            _bgr(0.74, 0.72, 0.69), none, _bgr(150, 142, 136), _bgr(186, 182, 178),
            random.uniform(0.006, 0.012), 0.9, 0.35, wet=random.uniform(0.6, 1),
            lamps=random.random() < 0.5,
        )  # fmt: skip
    return light(
        _bgr(0.86, 0.85, 0.83), none, _bgr(205, 204, 202), _bgr(212, 211, 209),
        random.uniform(0.014, 0.03), 1.0, 0.15, lamps=random.random() < 0.4,
    )  # fmt: skip
