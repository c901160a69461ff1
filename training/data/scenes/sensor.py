# SPDX-License-Identifier: Apache-2.0
"""What lens and sensor do to a picture: rain on the way, blur, vignetting, exposure, noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

import cv2
import numpy as np

from .canvas import Canvas
from .ground import GROUND
from .textures import sensor_noise

_SPARE = 64  # px by which the noise is larger than the picture


@dataclass(frozen=True)
class Sensor:
    """The properties of one camera.

    Attributes:
        blur: standard deviation, px of a picture 1024 px wide.
        vignetting: 0..1, how much darker the corners are.
        gain: factor on the brightness.
        gamma: exponent on it.
        noise: standard deviation, grey levels.
    """

    blur: float
    vignetting: float
    gain: float
    gamma: float
    noise: float

    def expose(self, canvas: Canvas, random: Random) -> np.ndarray:
        """Return the picture (H, W, 3) uint8 as recorded; `random` is for its noise."""
        light = canvas.light
        picture = canvas.picture
        if light.wet > 0:
            _mirror(canvas)
        if light.weather == 'rain':
            _streaks(picture, random)
        height, width = picture.shape[:2]
        sigma = self.blur * width / 1024
        if sigma > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), sigma)
        levels = np.linspace(0, 1, 256) ** self.gamma * self.gain * 255
        picture = cv2.LUT(picture, np.clip(levels, 0, 255).astype(np.uint8))
        step = round(self.vignetting * 8)
        if step:
            picture = cv2.multiply(picture, _vignette(height, width, step), scale=1 / 255)
        x, y = random.randrange(_SPARE), random.randrange(_SPARE)
        noise = _noise(height, width, max(1, round(self.noise * 2)))
        return cv2.add(picture, noise[y : y + height, x : x + width], dtype=cv2.CV_8U)


def random_sensor(random: Random, dark: bool) -> Sensor:
    """Draw a camera; it is noisier in the dark."""
    return Sensor(
        blur=random.choice((0.0, 0.45, 0.55, 0.7, 0.9)),
        vignetting=random.uniform(0, 0.4),
        gain=random.uniform(0.85, 1.14),
        gamma=random.uniform(0.88, 1.12),
        noise=random.uniform(2.0, 4.5) if dark else random.uniform(0.5, 2.0),
    )


@cache
def _vignette(height: int, width: int, step: int) -> np.ndarray:
    rows, columns = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fall = 1 - (step / 8) * (rows**2 * 0.3 + columns**2 * 0.7)
    return np.repeat((fall * 255).astype(np.uint8)[..., None], 3, 2)


@cache
def _noise(height: int, width: int, half_levels: int) -> np.ndarray:
    full = sensor_noise(height + _SPARE, width + _SPARE).astype(np.float32)
    return np.rint(full * (half_levels / 32)).astype(np.int16)


def _mirror(canvas: Canvas) -> None:
    """Let the wet ground mirror what stands on it."""
    picture, wet = canvas.picture, canvas.light.wet
    height, width = picture.shape[:2]
    horizon = int(canvas.camera.horizon)
    rows = height - horizon
    if rows < 8 or horizon < 8:
        return
    above = cv2.resize(picture[max(horizon - rows, 0) : horizon][::-1], (width, rows))
    # What stands near is mirrored lower: its foot is below the horizon.
    move = np.array([[1, 0, 0], [0, 1.0, rows * 0.16]])
    above = cv2.warpAffine(above, move, (width, rows), borderMode=cv2.BORDER_REPLICATE)
    above = cv2.blur(above, (3, max(3, rows // 9)))
    below = picture[horizon : horizon + rows]
    mixed = cv2.addWeighted(below, 1 - 0.42 * wet, above, 0.42 * wet, -6 * wet)
    ground = canvas.numbers[horizon : horizon + rows] == GROUND
    cv2.copyTo(mixed, ground.astype(np.uint8), below)


def _streaks(picture: np.ndarray, random: Random) -> None:
    height, width = picture.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    slant = random.uniform(-0.15, 0.15)
    for _ in range(int(160 * width / 1024)):
        x, y = random.uniform(0, width), random.uniform(-20, height)
        length = random.uniform(0.02, 0.07) * height
        end = (int(x + slant * length), int(y + length))
        cv2.line(layer, (int(x), int(y)), end, random.randrange(18, 48), 1, cv2.LINE_AA)
    layer = cv2.blur(layer, (1, 3))
    cv2.add(picture, cv2.merge([layer] * 3), picture)
