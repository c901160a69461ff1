# SPDX-License-Identifier: Apache-2.0
"""The sky: colours from the horizon up, clouds, the sun, and what closes the street far away."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from .canvas import Canvas
from .textures import clouds


@dataclass(frozen=True)
class Sky:
    """Clouds and skyline of a place.

    Attributes:
        clouds: seed of the clouds.
        shift: where in them the camera looks, 0..1 each.
        skyline: (direction in rad, width in rad, height in rad) of far houses and trees.
    """

    clouds: int
    shift: tuple[float, float]
    skyline: tuple[tuple[float, float, float], ...]

    def draw(self, canvas: Canvas) -> None:
        """Paint it from the top to the horizon."""
        camera, light = canvas.camera, canvas.light
        width, height = camera.size
        horizon = int(np.clip(camera.horizon + 10, 4, height))
        # Nothing in it is small: half the resolution will do.
        rows, columns = (horizon + 1) // 2, (width + 1) // 2
        up = (camera.horizon - 2 * np.arange(rows)) / camera.focal
        share = np.clip(up / 0.42, 0, 1)[:, None] ** 0.7
        column = light.haze * (1 - share) + light.zenith * share
        sky = np.repeat(column[:, None].astype(np.float32), columns, 1)
        if light.clouds > 0:
            noise = clouds(self.clouds)
            x, y = (int(part * 200) for part in self.shift)
            part = cv2.resize(noise[y : y + 150, x : x + 300], (columns, rows))
            cover = np.clip((part - (0.75 - 0.5 * light.clouds)) * 4, 0, 1)
            bright = light.haze * (1.06 if light.weather == 'clear' else 1.0)
            dark = bright * 0.78
            tone = part[..., None] * (bright - dark).astype(np.float32) + dark.astype(np.float32)
            sky += (tone - sky) * (cover * 0.85)[..., None]
        if light.weather in ('clear', 'dusk'):
            _sun(sky, canvas)
        sky = np.clip(sky, 0, 255).astype(np.uint8)
        canvas.picture[:horizon] = cv2.resize(sky, (2 * columns, 2 * rows))[:horizon, :width]
        self._skyline(canvas)

    def _skyline(self, canvas: Canvas) -> None:
        camera, light = canvas.camera, canvas.light
        for k, (direction, wide, high) in enumerate(self.skyline):
            left, right = np.tan(direction - wide / 2), np.tan(direction + wide / 2)
            x, z = camera.position[0], camera.position[2]
            far = np.array(
                [
                    (x + 300 * a, 300 * b, z + 300)
                    for a, b in ((left, -0.005), (left, high), (right, high), (right, -0.005))
                ]
            )
            base = np.array((0.62, 0.62, 0.6)) * 120 if k % 3 else np.array((50.0, 80, 60))
            lit = light.shade(base[None], np.array([[0, 0.3, -0.9]]), np.zeros(1))
            canvas.polygon(camera.outline(far), light.through_air(lit, 420)[0], mark=False)


def _sun(sky: np.ndarray, canvas: Canvas) -> None:
    """Brighten the sky around the sun."""
    camera, light = canvas.camera, canvas.light
    seen = camera.rotation @ light.sun
    if seen[2] <= 0.2:
        return
    u, v = (camera.focal * seen[:2] / seen[2] + camera.centre) / 2
    rows, columns = np.ogrid[: sky.shape[0], : sky.shape[1]]
    square = ((columns - u) ** 2 + (rows - v) ** 2).astype(np.float32) / (camera.focal / 2) ** 2
    glare = 90 * np.exp(-square / 0.02) + 200 * np.exp(-square / 0.0006)
    sky += glare[..., None] * np.array((0.75, 0.9, 1.0), np.float32)


def random_sky(random: Random) -> Sky:
    """Draw the clouds and the skyline."""
    skyline, direction = [], -0.9
    while direction < 0.9:
        wide = random.uniform(0.03, 0.12)
        skyline.append((direction, wide * 1.1, random.uniform(0.008, 0.045)))
        direction += wide
    return Sky(random.randrange(4), (random.random(), random.random()), tuple(skyline))
