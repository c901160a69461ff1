# SPDX-License-Identifier: Apache-2.0
"""What is drawn on: the picture, and for each pixel the labelled object that is seen there.

Things are drawn back to front; each covers what lies behind it in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .camera import NEAR, Camera
from .light import Light

_SHIFT = 4  # OpenCV draws at 1/16 px
_GLOW = np.exp(-(np.linspace(-2.6, 2.6, 48) ** 2))[:, None] * np.exp(
    -(np.linspace(-2.6, 2.6, 48) ** 2)
)


@dataclass
class Instance:
    """A labelled object on the canvas: its number, its label, and how many pixels it had alone."""

    number: int
    label: str
    area: int


class Canvas:
    """A picture of `camera.size` under some light.

    Attributes:
        picture: (H, W, 3) uint8 BGR.
        numbers: (H, W) int16, the number of the instance seen there; 0 for none.
        instances: those drawn so far.
    """

    def __init__(self, camera: Camera, light: Light) -> None:
        width, height = camera.size
        self.camera, self.light = camera, light
        self.picture = np.zeros((height, width, 3), np.uint8)
        self.numbers = np.zeros((height, width), np.int16)
        self.instances: list[Instance] = []
        self._number = 0

    def start(self, label: str | None) -> None:
        """Make what follows one labelled object, or none."""
        self._number = 0
        if label is not None:
            self._number = len(self.instances) + 1
            self.instances.append(Instance(self._number, label, 0))

    def finish(self) -> None:
        """End the object: note how much of the picture it covers before others cover it."""
        if self._number:
            area = int(cv2.countNonZero(cv2.compare(self.numbers, self._number, cv2.CMP_EQ)))
            self.instances[-1].area = area
        self._number = 0

    # ---- drawing in pixels

    def polygon(self, points: np.ndarray, colour: np.ndarray, mark: bool = True) -> None:
        """Fill an outline (N, 2) px with a colour (3,) 0..255; without `mark`, unlabelled."""
        if len(points) < 3:
            return
        fixed = np.rint((points - 0.5) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(self.picture, [fixed], colour.tolist(), cv2.LINE_AA, _SHIFT)
        if mark:
            cv2.fillPoly(self.numbers, [fixed], self._number, cv2.LINE_8, _SHIFT)

    def faces(self, outlines: list[np.ndarray], colours: np.ndarray) -> None:
        """Fill fixed-point outlines, as from `fixed`, in this order."""
        picture, numbers, number = self.picture, self.numbers, self._number
        for outline, colour in zip(outlines, colours.tolist(), strict=True):
            cv2.fillPoly(picture, [outline], colour, cv2.LINE_AA, _SHIFT)
            cv2.fillPoly(numbers, [outline], number, cv2.LINE_8, _SHIFT)

    @staticmethod
    def fixed(points: np.ndarray) -> np.ndarray:
        """Return pixels (N, 2) in OpenCV's fixed point."""
        return np.rint((points - 0.5) * (1 << _SHIFT)).astype(np.int32)

    def mark(self, points: np.ndarray) -> None:
        """Count an outline (N, 2) px to the object without painting it."""
        cv2.fillPoly(self.numbers, [self.fixed(points)], self._number, cv2.LINE_8, _SHIFT)

    def line(self, points: np.ndarray, width: float, colour: np.ndarray, closed: bool) -> None:
        """Draw a line through (N, 2) px, at least one pixel wide."""
        fixed, thick = [self.fixed(points)], max(1, round(width))
        cv2.polylines(self.picture, fixed, closed, colour.tolist(), thick, cv2.LINE_AA, _SHIFT)
        cv2.polylines(self.numbers, fixed, closed, self._number, thick, cv2.LINE_8, _SHIFT)

    def sprite(self, picture: np.ndarray, alpha: np.ndarray, x: int, y: int) -> None:
        """Put a cut-out (h, w, 3) with its alpha (h, w) uint8 at the corner (x, y) px."""
        window = self._window(x, y, x + picture.shape[1], y + picture.shape[0])
        if window is None:
            return
        rows, columns = window
        part = np.s_[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
        seen = alpha[part]
        cv2.copyTo(picture[part], seen, self.picture[rows, columns])
        self.numbers[rows, columns][seen > 0] = self._number

    def glow(self, u: float, v: float, radius: float, colour: np.ndarray, tall: float = 1) -> None:
        """Add light around a lamp."""
        wide, high = max(3, int(2 * radius)), max(3, int(2 * radius * tall))
        x, y = int(u - wide / 2), int(v - high / 2)
        window = self._window(x, y, x + wide, y + high)
        if window is None or wide > 600 or high > 900:
            return
        rows, columns = window
        blob = cv2.resize(_GLOW, (wide, high))
        blob = blob[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
        target = self.picture[rows, columns]
        cv2.add(target, (blob[..., None] * colour).astype(np.uint8), target)

    def _window(self, x1: int, y1: int, x2: int, y2: int) -> tuple[slice, slice] | None:
        height, width = self.numbers.shape
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
        return (slice(y1, y2), slice(x1, x2)) if x1 < x2 and y1 < y2 else None

    # ---- drawing in the world

    def lamp(self, point: np.ndarray, radius: float, colour: np.ndarray) -> None:
        """Add light around a lamp at a world point (3,); radius in m."""
        seen = self.camera.to_camera(point[None])
        depth = float(seen[0, 2])
        if depth > NEAR:
            u, v = self.camera.project(seen)[0]
            self.glow(u, v, max(radius * self.camera.focal / depth, 1.5), colour)

    def surface(self, points: np.ndarray, colour: np.ndarray, normal: np.ndarray) -> None:
        """Fill a flat outline (N, 3) of world points, lit and in the air."""
        seen = self.camera.outline(points)
        if len(seen) >= 3:
            distance = float(np.linalg.norm(points.mean(0) - self.camera.position))
            lit = self.light.shade(colour[None], normal[None], np.zeros(1))
            self.polygon(seen, self.light.through_air(lit, distance)[0])

    def texture(
        self,
        texture: Texture,
        corner: np.ndarray,
        right: np.ndarray,
        up: np.ndarray,
        normal: np.ndarray,
        mask: bool = False,
    ) -> None:
        """Paint a texture on the rectangle from its lower left corner along `right` and `up`.

        Vectors in m as seen from the front; with `mask` only where the texture's alpha is set.
        """
        outline = self.camera.outline(
            np.array([corner, corner + right, corner + right + up, corner + up])
        )
        if len(outline) < 3:
            return
        low, high = np.floor(outline.min(0)).astype(int), np.ceil(outline.max(0)).astype(int) + 1
        window = self._window(*low.tolist(), *high.tolist())
        if window is None:
            return
        rows, columns = window
        size = (columns.stop - columns.start, rows.stop - rows.start)
        spread = np.linalg.norm(np.diff(outline, axis=0, append=outline[:1]), axis=1)
        level, level_alpha, level_lit = texture.level(spread[0::2].max(), spread[1::2].max())
        height, width = level.shape[:2]
        # Texture pixels to the plane, the plane to the picture, the picture to the window.
        onto = np.array([[1 / width, 0, 0], [0, -1 / height, 1], [0, 0, 1]])
        move = np.array([[1, 0, -columns.start - 0.5], [0, 1, -rows.start - 0.5], [0, 0, 1]])
        onto = move @ self.camera.plane(corner, right, up) @ onto
        distance = float(np.linalg.norm(corner + right / 2 + up / 2 - self.camera.position))
        # Signs throw headlights back.
        table = self.light.table(normal, distance, 0.45 if mask and self.light.lamps else 0.0)
        flags = cv2.INTER_LINEAR
        warped = cv2.warpPerspective(level, onto, size, None, flags, cv2.BORDER_REPLICATE)
        warped = cv2.LUT(warped, table)
        if level_lit is not None and self.light.lamps:
            shine = cv2.warpPerspective(level_lit, onto, size, None, flags, cv2.BORDER_REPLICATE)
            warped = cv2.add(warped, shine)
        inside = np.zeros(size[::-1], np.uint8)
        cv2.fillPoly(inside, [self.fixed(outline - [columns.start, rows.start])], 255, 8, _SHIFT)
        target = self.picture[rows, columns]
        if mask and level_alpha is not None:
            alpha = cv2.warpPerspective(level_alpha, onto, size, None, flags)
            share = alpha[..., None].astype(np.float32) / 255
            target[:] = target + (warped.astype(np.float32) - target) * share
            inside = np.where(alpha > 127, 255, 0).astype(np.uint8)
        else:
            cv2.copyTo(warped, inside, target)
        self.numbers[rows, columns][inside > 0] = self._number


class Texture:
    """A picture for a surface, with smaller copies for when it is far away.

    Args:
        picture: (h, w, 3) uint8 BGR.
        alpha: (h, w) uint8, where it is not transparent.
        lit: (h, w, 3) uint8, the light that it gives off when lamps are lit.
    """

    def __init__(
        self, picture: np.ndarray, alpha: np.ndarray | None = None, lit: np.ndarray | None = None
    ) -> None:
        self._full = (picture, alpha, lit)
        self._levels: dict[tuple[int, int], tuple[np.ndarray | None, ...]] = {}

    def level(self, width: float, height: float) -> tuple[np.ndarray | None, ...]:
        """Return picture, alpha and light, shrunk to about the size at which they are seen."""
        full_height, full_width = self._full[0].shape[:2]
        halvings = tuple(
            int(np.clip(np.log2(max(full / max(seen, 1), 1)), 0, 6))
            for full, seen in ((full_width, width), (full_height, height))
        )
        if halvings not in self._levels:
            size = (max(full_width >> halvings[0], 2), max(full_height >> halvings[1], 2))
            self._levels[halvings] = tuple(
                None if one is None else cv2.resize(one, size, interpolation=cv2.INTER_AREA)
                for one in self._full
            )
        return self._levels[halvings]
